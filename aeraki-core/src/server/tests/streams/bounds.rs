//! What streams may hold.

use super::*;

#[tokio::test(start_paused = true)]
async fn many_streams_keep_their_order() {
    const STREAMS: u64 = 100;
    const FRAMES: usize = 100;
    let mut mesh = Mesh::new();
    let openings: String = (0..STREAMS).map(|id| format!("S {id} a\n")).collect();
    mesh.client.send(&openings).await;
    let mut server = mesh.server().await;
    let mut there = Vec::new();
    for _ in 0..STREAMS {
        there.push(server.accept().await);
    }
    let mut frames = String::new();
    for frame in 0..FRAMES {
        (0..STREAMS).for_each(|id| frames.push_str(&format!("D {id} {frame}\n")));
    }
    let (client, echoed) = (&mut mesh.client, STREAMS as usize * (FRAMES + 1));
    let mut got = vec![Vec::new(); STREAMS as usize];
    let (mut write, mut lines) = {
        let (read, write) = tokio::io::split(&mut client.0);
        (write, BufReader::new(read).lines())
    };
    let echo = async {
        for _ in 0..STREAMS as usize * FRAMES {
            let line = server.line().await.expect("a frame");
            server.send(&format!("{line}\n")).await;
        }
    };
    let read = async {
        for _ in 0..echoed {
            let line = lines.next_line().await.expect("text").expect("a line");
            let mut words = line.split(' ').skip(1).map(str::to_owned);
            let id: usize = words.next().expect("an id").parse().expect("a number");
            got[id].push(words.next().expect("a payload"));
        }
    };
    let send = async { write.write_all(frames.as_bytes()).await.expect("open") };
    soon(async { tokio::join!(send, echo, read) }).await;
    let expected: Vec<String> = std::iter::once("yes".to_owned()).chain((0..FRAMES).map(|n| n.to_string())).collect();
    assert!(got.iter().all(|frames| *frames == expected));
    assert_eq!(mesh.count("stream_frames_sent"), 10_000);
}

/// A frame of 100 bytes.
fn long(id: u64) -> String {
    format!("D {id} {:x<1$}\n", "", 97 - id.to_string().len())
}

/// Bytes that may wait for one stream in these tests.
const BOUND: u64 = 10_000;

/// A proxy that holds little, over connections that take one byte more than a frame.
fn tight() -> Mesh {
    let limits = ListenerLimits::default().with_max_stream_bytes(BOUND);
    Mesh::with(Setup { limits, room: 128, ..Setup::default() })
}

/// Returns what `bytes` of such frames weigh.
const fn weight(bytes: u64) -> u64 {
    bytes / 100 * (100 + size_of::<Message>() as u64)
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_read_while_too_much_of_a_stream_waits_for_its_opening() {
    let mut mesh = tight();
    mesh.client.send("S 7 a\n").await;
    let mut server = mesh.server().await;
    let there = server.opening().await;
    let taken = mesh.client.stuff(&long(7)).await;
    let held = mesh.budget.used();
    assert!((weight(BOUND)..weight(BOUND + 200)).contains(&held), "{held}");
    server.send(&format!("S {there} yes\n")).await;
    mesh.client.expect("S 7 yes").await;
    let frame = long(7).trim_end().replacen('7', &there.to_string(), 1);
    for _ in 1..taken {
        server.expect(&frame).await;
    }
    server.send(&format!("Z {there}\n")).await;
    mesh.client.expect("Z 7").await;
    mesh.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_keeps_a_client_from_being_read_is_given_up() {
    let mut mesh = tight();
    mesh.client.send("S 7 a\n").await;
    let mut server = mesh.server().await;
    let there = server.opening().await;
    let frames = long(7).repeat(BOUND as usize / 100 + 1);
    let start = Instant::now();
    mesh.client.send(&frames).await;
    mesh.client.expect("E 7 overflow").await;
    assert_eq!(start.elapsed().as_secs(), 10);
    server.expect(&format!("Z {there} unspecified")).await;
    assert_eq!(mesh.count("stream_stalled"), 1);
    mesh.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn openings_that_keep_a_client_from_being_read_together_are_given_up() {
    let mut mesh = tight();
    mesh.client.send("S 7 a\nS 8 b\n").await;
    let mut server = mesh.server().await;
    let there = [server.opening().await, server.opening().await];
    let half = BOUND as usize / 200;
    mesh.client.send(&(long(7).repeat(half) + &long(8).repeat(half + 1))).await;
    mesh.client.expect("E 8 overflow").await;
    server.expect(&format!("Z {} unspecified", there[1])).await;
    server.send(&format!("S {} yes\n", there[0])).await;
    mesh.client.expect("S 7 yes").await;
    assert_eq!(mesh.count("stream_stalled"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_stops_its_client_and_then_loses_the_stream() {
    let mut mesh = tight();
    let (mut server, there) = mesh.opened(7).await;
    mesh.client.stuff(&long(7)).await;
    let held = mesh.budget.used();
    assert!((weight(BOUND)..weight(BOUND + 200)).contains(&held), "{held}");
    mesh.client.expect("Z 7 overflow").await;
    assert_eq!((mesh.count("stream_stalled"), mesh.count("stream_reset_local")), (1, 1));
    settle().await;
    assert!(mesh.budget.used() < weight(100), "{}", mesh.budget.used());
    while server.line().await.as_deref() != Some(&format!("Z {there} unspecified")) {}
    mesh.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_stops_its_server_and_then_loses_the_stream() {
    let mut mesh = tight();
    let (mut server, there) = mesh.opened(7).await;
    let mut other = mesh.join();
    other.send("S 1 b\n").await;
    let there_too = server.accept().await;
    other.expect("S 1 yes").await;
    server.stuff(&long(there)).await;
    // what the connection writes at a time, and what waits behind that
    let held = mesh.budget.used();
    assert!((weight(BOUND)..weight(BOUND + 400) + 64 * 1024).contains(&held), "{held}");
    let start = Instant::now();
    server.send(&format!("D {there_too} hello\n")).await;
    other.expect("D 1 hello").await;
    assert!(start.elapsed() <= Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!((mesh.count("stream_stalled"), mesh.count("stream_active")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_taken_slowly_all_arrive() {
    let mut mesh = tight();
    let (mut server, there) = mesh.opened(7).await;
    let frames: String = (0..2000).map(|n| format!("D {there} {n}\n")).collect();
    let send = async { server.send(&frames).await };
    let read = async {
        for n in 0..2000 {
            sleep(Duration::from_millis(1)).await;
            mesh.client.expect(&format!("D 7 {n}")).await;
        }
    };
    tokio::join!(send, read);
    assert_eq!((mesh.count("stream_stalled"), mesh.budget.used()), (0, 0));
}
