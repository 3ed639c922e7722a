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
