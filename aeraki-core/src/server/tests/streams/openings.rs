//! How streams begin.

use super::*;

#[tokio::test(start_paused = true)]
async fn frames_go_both_ways_under_the_ids_of_each_side() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.send("D 7 one\nD 7 two\n").await;
    server.expect(&format!("D {there} one")).await;
    server.expect(&format!("D {there} two")).await;
    server.send(&format!("D {there} three\nD {there} four\n")).await;
    mesh.client.expect("D 7 three").await;
    mesh.client.expect("D 7 four").await;
    assert_eq!((mesh.count("stream_active"), mesh.count("stream_total"), mesh.count("request_stream")), (1, 1, 1));
    assert_eq!((mesh.count("stream_frames_received"), mesh.count("stream_frames_sent")), (2, 2));
    assert_eq!(mesh.count("response_success"), 0, "the record is still open");
}

#[tokio::test(start_paused = true)]
async fn streams_and_requests_share_a_connection() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.send("Q 7 ask\nD 7 one\n").await;
    let asked = server.line().await.expect("the request");
    server.expect(&format!("D {there} one")).await;
    server.send(&format!("D {there} two\n{}\n", asked.replace('Q', "R"))).await;
    let mut got = [mesh.client.line().await, mesh.client.line().await].map(|line| line.expect("a line"));
    got.sort();
    assert_eq!(got, ["D 7 two", "R 7 ask"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_opens_with_data_where_the_server_sends_no_answer_of_its_own() {
    let mut mesh = Mesh::new();
    mesh.client.send("S 7 a\n").await;
    let mut server = mesh.server().await;
    let there = server.opening().await;
    server.send(&format!("D {there} first\nD {there} second\n")).await;
    mesh.client.expect("D 7 first").await;
    mesh.client.expect("D 7 second").await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_silent_server_is_open_once_it_was_asked_for() {
    let mut mesh = Mesh::with(Setup { opening: Opening::Silent, ..Setup::default() });
    mesh.client.send("S 7 a\nD 7 one\n").await;
    let mut server = mesh.server().await;
    let there = server.opening().await;
    server.expect(&format!("D {there} one")).await;
    assert_eq!(mesh.count("stream_active"), 1);
    server.send(&format!("F {there}\n")).await;
    mesh.client.expect("F 7").await;
}

#[tokio::test(start_paused = true)]
async fn frames_that_come_early_follow_the_opening() {
    let mut mesh = Mesh::new();
    mesh.client.send("S 7 a\nD 7 one\nD 7 two\nF 7\n").await;
    let mut server = mesh.server().await;
    let there = server.opening().await;
    server.expect_silence().await;
    server.send(&format!("S {there} yes\n")).await;
    server.expect(&format!("D {there} one")).await;
    server.expect(&format!("D {there} two")).await;
    server.expect(&format!("F {there}")).await;
    mesh.client.expect("S 7 yes").await;
    server.send(&format!("F {there}\n")).await;
    mesh.client.expect("F 7").await;
    mesh.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_is_answered_like_a_request_is_no_stream() {
    for kind in ["R", "E"] {
        let mut mesh = Mesh::new();
        mesh.client.send("S 7 a\nD 7 early\n").await;
        let mut server = mesh.server().await;
        let there = server.opening().await;
        server.send(&format!("{kind} {there} no\n")).await;
        mesh.client.expect(&format!("{kind} 7 no")).await;
        mesh.client.send("D 7 late\nF 7\nQ 8 b\n").await;
        assert!(server.line().await.expect("the request").starts_with("Q "), "no frame of the stream");
        assert_eq!((mesh.count("stream_total"), mesh.count("stream_stray")), (0, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn an_opening_without_a_route_or_a_server_is_refused() {
    let mut mesh = Mesh::with(Setup { action: RouteAction::cluster("nowhere"), ..Setup::default() });
    mesh.client.send("S 7 a\nD 7 early\n").await;
    mesh.client.expect("E 7 cluster_not_found").await;
    mesh.expect_rest().await;
    assert_eq!((mesh.count("request"), mesh.count("stream_total")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_route_is_for_the_opening_only() {
    let second = Duration::from_secs(1);
    let action = RouteAction::cluster("c").with_timeout(second);
    let mut mesh = Mesh::with(Setup { action, ..Setup::default() });
    let (mut server, there) = mesh.opened(7).await;
    sleep(10 * second).await;
    server.send(&format!("D {there} late\n")).await;
    mesh.client.expect("D 7 late").await;
    mesh.client.send("S 8 b\n").await;
    let silent = server.opening().await;
    mesh.client.expect("E 8 timeout").await;
    server.expect(&format!("Z {silent} unspecified")).await;
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_stream_that_lives_is_not_used_again() {
    let mut mesh = Mesh::new();
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.send("S 7 b\nD 7 one\n").await;
    mesh.client.expect("E 7 bad_request").await;
    server.expect(&format!("D {there} one")).await;
    mesh.client.send("S 8 b\nS 8 c\n").await;
    mesh.client.expect("E 8 bad_request").await;
    server.accept().await;
    mesh.client.expect("S 8 yes").await;
}

#[tokio::test(start_paused = true)]
async fn openings_beyond_the_limit_are_refused() {
    let limits = ListenerLimits::default().with_max_streams(1);
    let mut mesh = Mesh::with(Setup { limits, ..Setup::default() });
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.send("S 8 b\n").await;
    mesh.client.expect("E 8 shed").await;
    server.send(&format!("Z {there} over\n")).await;
    mesh.client.expect("Z 7 over").await;
    mesh.client.send("S 8 b\n").await;
    server.accept().await;
    mesh.client.expect("S 8 yes").await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_no_stream_is_answered_with_a_reset_unless_it_is_one() {
    let mut mesh = Mesh::new();
    mesh.client.send("D 7 a\nF 8\nZ 9\n").await;
    mesh.client.expect("Z 7 bad_request").await;
    mesh.client.expect("Z 8 bad_request").await;
    mesh.client.expect_silence().await;
    assert_eq!((mesh.count("stream_stray"), mesh.count("request")), (3, 0));
}
