//! How streams end.

use super::*;

#[tokio::test(start_paused = true)]
async fn either_side_may_end_its_direction_first() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.send("F 7\n").await;
    server.expect(&format!("F {there}")).await;
    server.send(&format!("D {there} more\nF {there}\n")).await;
    mesh.client.expect("D 7 more").await;
    mesh.client.expect("F 7").await;
    mesh.expect_rest().await;

    mesh.client.send("S 7 a\n").await;
    let there = server.accept().await;
    mesh.client.expect("S 7 yes").await;
    server.send(&format!("F {there}\n")).await;
    mesh.client.expect("F 7").await;
    mesh.client.send("D 7 more\nF 7\n").await;
    server.expect(&format!("D {there} more")).await;
    server.expect(&format!("F {there}")).await;
    mesh.expect_rest().await;
    assert_eq!((mesh.count("stream_reset_local"), mesh.count("stream_reset_remote")), (0, 0));
    assert_eq!((mesh.count("stream_total"), mesh.count("response_success")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn either_side_may_reset_a_stream() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.send("Z 7 enough\n").await;
    server.expect(&format!("Z {there} enough")).await;
    mesh.expect_rest().await;
    // the server did not know yet
    server.send(&format!("D {there} late\n")).await;
    mesh.client.expect_silence().await;

    mesh.client.send("S 7 a\n").await;
    let there = server.accept().await;
    mesh.client.expect("S 7 yes").await;
    server.send(&format!("Z {there} enough\n")).await;
    mesh.client.expect("Z 7 enough").await;
    // the client did not know yet
    mesh.client.send("D 7 late\nF 7\n").await;
    server.expect_silence().await;
    mesh.client.expect_silence().await;
    mesh.expect_rest().await;
    assert_eq!((mesh.count("stream_reset_remote"), mesh.count("stream_stray")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_client_may_give_up_an_opening() {
    let mut mesh = Mesh::new();
    mesh.client.send("S 7 a\nD 7 one\n").await;
    let mut server = mesh.server().await;
    let there = server.opening().await;
    mesh.client.send("Z 7\n").await;
    server.expect(&format!("Z {there} unspecified")).await;
    mesh.expect_rest().await;
    server.send(&format!("S {there} late\n")).await;
    mesh.client.send("S 7 b\n").await;
    let there = server.accept().await;
    mesh.client.expect("S 7 yes").await;
    server.send(&format!("D {there} one\n")).await;
    mesh.client.expect("D 7 one").await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_server_resets_its_streams_once() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.send("S 8 b\nS 9 c\n").await;
    server.accept().await;
    mesh.client.expect("S 8 yes").await;
    server.opening().await;
    server.send(&format!("D {there} last\n")).await;
    drop(server);
    let mut got = Vec::new();
    while got.len() < 4 {
        got.push(mesh.client.line().await.expect("a line"));
    }
    got.sort();
    assert_eq!(got, ["D 7 last", "E 9 upstream_closed", "Z 7 upstream_closed", "Z 8 upstream_closed"]);
    mesh.client.expect_silence().await;
    mesh.expect_rest().await;
    assert_eq!((mesh.count("stream_reset_local"), mesh.count("local_reply.upstream_closed")), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_client_resets_its_streams() {
    for half in [true, false] {
        let mut mesh = Mesh::new();
        let (mut server, there) = mesh.opened(7).await;
        if half {
            mesh.client.0.shutdown().await.expect("open");
        } else {
            mesh.client = End::new(tokio::io::duplex(1).0);
        }
        server.expect(&format!("Z {there} unspecified")).await;
        (&mut mesh.served).await.expect("no panic");
        mesh.expect_rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_ended_its_streams_and_its_connection_hears_the_rest() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.send("F 7\n").await;
    mesh.client.0.shutdown().await.expect("open");
    server.expect(&format!("F {there}")).await;
    server.send(&format!("D {there} one\n")).await;
    mesh.client.expect("D 7 one").await;
    server.send(&format!("F {there}\n")).await;
    mesh.client.expect("F 7").await;
    assert_eq!(mesh.client.line().await, None);
    mesh.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_which_nothing_moves_is_ended() {
    let limits = StreamTimeouts::default().with_idle(Duration::from_secs(10));
    let mut mesh = Mesh::with(Setup { timeouts: limits, ..Setup::default() });
    let (mut server, there) = mesh.opened(7).await;
    for _ in 0..3 {
        sleep(Duration::from_secs(6)).await;
        mesh.client.send("D 7 a\n").await;
        server.expect(&format!("D {there} a")).await;
        sleep(Duration::from_secs(6)).await;
        server.send(&format!("D {there} b\n")).await;
        mesh.client.expect("D 7 b").await;
    }
    let start = Instant::now();
    mesh.client.expect("Z 7 timeout").await;
    assert_eq!(start.elapsed().as_secs(), 10);
    server.expect(&format!("Z {there} unspecified")).await;
    mesh.expect_rest().await;
    assert_eq!((mesh.count("stream_idle_timeout"), mesh.count("stream_reset_local")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn routes_say_how_long_streams_last_else_listeners_else_five_minutes() {
    let minute = Duration::from_secs(60);
    let timeouts = StreamTimeouts::default();
    for (route, listener, seconds) in [
        (timeouts, timeouts, 300),
        (timeouts, timeouts.with_idle(minute), 60),
        (timeouts.with_idle(2 * minute), timeouts.with_idle(minute), 120),
        (timeouts.with_total(minute), timeouts, 60),
        (timeouts.with_idle(Duration::ZERO), timeouts.with_total(20 * minute), 1200),
    ] {
        let action = RouteAction::cluster("c").with_streams(route);
        let mut mesh = Mesh::with(Setup { action, timeouts: listener, ..Setup::default() });
        let (_server, _) = mesh.opened(7).await;
        let start = Instant::now();
        mesh.client.expect("Z 7 timeout").await;
        assert_eq!(start.elapsed().as_secs(), seconds);
        assert_eq!(mesh.count("stream_idle_timeout") + mesh.count("stream_total_timeout"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_streams() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.drain.begin();
    sleep(Duration::from_secs(50)).await;
    mesh.client.send("D 7 one\n").await;
    server.expect(&format!("D {there} one")).await;
    server.send(&format!("F {there}\n")).await;
    mesh.client.expect("F 7").await;
    mesh.client.send("F 7\n").await;
    server.expect(&format!("F {there}")).await;
    let start = Instant::now();
    assert_eq!(mesh.client.line().await, None);
    assert!(start.elapsed() < Duration::from_secs(2));
    mesh.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn draining_does_not_wait_for_ever() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.drain.begin();
    sleep(Duration::from_secs(50)).await;
    mesh.drain.close();
    assert_eq!(mesh.client.line().await, None);
    server.expect(&format!("Z {there} unspecified")).await;
    mesh.expect_rest().await;
    assert_eq!(mesh.count("cx_destroy_local_with_active_rq"), 1);
}
