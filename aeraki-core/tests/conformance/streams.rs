//! Streams, in a protocol of lines: `S 7 name` opens one, `D` carries data, `F` ends a direction and `Z` both.

use aeraki_core::route::config::{
    AttributeMatch, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Cluster, FractionalPercent,
    HedgePolicy, Mirror, Operation, Patterns, RetryOn, RetryPolicy, Route, RouteAction, RouteConfig,
};
use tokio::task::JoinSet;

use crate::{
    support::{Backend, Fixture, Peer},
    wire::LINES,
};

/// Reads the next frame: its kind, its id, and the rest.
async fn frame(peer: &mut Peer) -> (String, u64, String) {
    let message = peer.message().await;
    let text = String::from_utf8_lossy(message.frame()).trim_end().to_owned();
    let mut words = text.splitn(3, ' ');
    let kind = words.next().unwrap_or_default().to_owned();
    (kind, message.id().number(), words.nth(1).unwrap_or_default().to_owned())
}

async fn expect(peer: &mut Peer, line: &str) {
    let (kind, id, rest) = frame(peer).await;
    assert_eq!(format!("{kind} {id} {rest}").trim_end(), line);
}

/// Accepts the next stream, and returns its id at the server.
async fn accept(server: &mut Peer) -> u64 {
    let (kind, id, _) = frame(server).await;
    assert_eq!(kind, "S");
    server.send(format!("S {id} yes\n")).await;
    id
}

#[tokio::test]
async fn streams_and_requests_of_one_client_interleave() {
    let backend = Backend::bind(LINES).await;
    let fixture = Fixture::to(LINES, backend.address());
    let mut client = fixture.client().await;
    client.send("S 1 chat\nQ 1 ask\nS 2 chat\n").await;
    let mut server = backend.accept().await;
    let first = accept(&mut server).await;
    let (kind, asked, _) = frame(&mut server).await;
    assert_eq!(kind, "Q");
    let second = accept(&mut server).await;
    expect(&mut client, "S 1 yes").await;
    expect(&mut client, "S 2 yes").await;
    server.send(format!("D {second} b\nR {asked} ok\nD {first} a\n")).await;
    let mut got = Vec::new();
    for _ in 0..3 {
        let (kind, id, rest) = frame(&mut client).await;
        got.push(format!("{kind} {id} {rest}"));
    }
    got.sort();
    assert_eq!(got, ["D 1 a", "D 2 b", "R 1 ok"]);
    client.send("F 1\nZ 2\n").await;
    expect(&mut server, &format!("F {first}")).await;
    expect(&mut server, &format!("Z {second}")).await;
    server.send(format!("F {first}\n")).await;
    expect(&mut client, "F 1").await;
    fixture.reaches("stream_active", 0).await;
    assert_eq!((fixture.count("request"), fixture.count("stream_total"), fixture.count("response")), (3, 2, 3));
}

#[tokio::test]
async fn an_opening_passes_the_whole_stack() {
    let (backend, shadow) = (Backend::bind(LINES).await, Backend::bind(LINES).await);
    let rule = AuthorizationRule::default()
        .with_operation(Operation::default().with_attribute("method", Patterns::of(["secret"])));
    let deny = AuthorizationPolicy::new("deny", AuthorizationAction::Deny).with_rule(rule);
    let action = RouteAction::cluster("one").with_mirror(Mirror::new("shadow", FractionalPercent::ALWAYS));
    let chat = Route::new("chat", action).with_match(AttributeMatch::exact("method", "chat"));
    let other = Route::new("other", RouteAction::cluster("one")).with_authorization(deny);
    let clusters =
        [("one", &backend), ("shadow", &shadow)].map(|(name, at)| Cluster::new(name).with_endpoint(at.address()));
    let fixture = Fixture::with(LINES, RouteConfig::new("t", [chat, other]), clusters.into(), |service| service);
    let mut client = fixture.client().await;
    client.send("S 1 secret\n").await;
    expect(&mut client, "E 1 denied").await;
    client.send("S 1 chat\n").await;
    let mut server = backend.accept().await;
    accept(&mut server).await;
    expect(&mut client, "S 1 yes").await;
    assert_eq!((fixture.count("authorization_denied"), fixture.count("stream_total")), (1, 1));
    assert_eq!((fixture.count("mirror_skipped"), fixture.count("mirrored")), (1, 0));
}

#[tokio::test]
async fn an_opening_is_tried_again_until_the_stream_is_open() {
    let backend = Backend::bind(LINES).await;
    let retry = RetryPolicy::new(3).with_on([RetryOn::Reset, RetryOn::ConnectFailure]).with_repeatable(true);
    let route = Route::new("all", RouteAction::cluster("one").with_retry(retry));
    let cluster = Cluster::new("one").with_endpoint(backend.address());
    let fixture = Fixture::with(LINES, RouteConfig::new("t", [route]), vec![cluster], |service| service);
    let mut client = fixture.client().await;
    client.send("S 1 chat\nD 1 early\n").await;
    let mut server = backend.accept().await;
    assert_eq!(frame(&mut server).await.0, "S");
    drop(server);
    let mut server = backend.accept().await;
    let id = accept(&mut server).await;
    expect(&mut server, &format!("D {id} early")).await;
    expect(&mut client, "S 1 yes").await;
    drop(server);
    expect(&mut client, "Z 1 upstream_closed").await;
    assert_eq!((fixture.count("retry"), fixture.count("stream_reset_local")), (1, 1));
}

#[tokio::test]
async fn an_opening_is_not_hedged() {
    let backend = Backend::bind(LINES).await;
    let wait = std::time::Duration::from_millis(1);
    let retry = RetryPolicy::new(3).with_on([RetryOn::Timeout]).with_repeatable(true).with_per_try_timeout(wait);
    let action = RouteAction::cluster("one").with_retry(retry).with_hedge(HedgePolicy::on_per_try_timeout());
    let cluster = Cluster::new("one").with_endpoint(backend.address());
    let routes = RouteConfig::new("t", [Route::new("all", action)]);
    let fixture = Fixture::with(LINES, routes, vec![cluster], |service| service);
    let mut client = fixture.client().await;
    client.send("S 1 chat\nQ 2 ask\n").await;
    let mut server = backend.accept().await;
    let opening = frame(&mut server).await;
    // the request is, in the same time
    while fixture.count("hedged") == 0 {
        tokio::task::yield_now().await;
    }
    server.send(format!("S {} yes\n", opening.1)).await;
    expect(&mut client, "S 1 yes").await;
    assert_eq!(fixture.count("stream_total"), 1);
}

/// Echoes every frame of every stream.
async fn echo(backend: Backend) {
    let mut connections = JoinSet::new();
    loop {
        let mut peer = backend.accept().await;
        connections.spawn(async move {
            while let Some(message) = peer.next().await {
                peer.send(message.frame()).await;
            }
        });
    }
}

#[tokio::test]
async fn a_hundred_streams_of_a_hundred_frames_keep_their_order() {
    const CLIENTS: u64 = 4;
    const STREAMS: u64 = 25;
    const FRAMES: usize = 100;
    let backend = Backend::bind(LINES).await;
    let fixture = Fixture::to(LINES, backend.address());
    let server = tokio::spawn(echo(backend));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = fixture.client().await;
        clients.spawn(async move {
            client.send((0..STREAMS).map(|id| format!("S {id} a\n")).collect::<String>()).await;
            let mut seen = vec![0; STREAMS as usize];
            for round in 0..=FRAMES {
                let kind = if round == FRAMES { 'F' } else { 'D' };
                client.send((0..STREAMS).map(|id| format!("{kind} {id} {round}\n")).collect::<String>()).await;
                for _ in 0..STREAMS {
                    note(&mut client, &mut seen).await;
                }
            }
            while seen.iter().any(|seen| *seen < FRAMES + 2) {
                note(&mut client, &mut seen).await;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("no panic");
    }
    fixture.reaches("stream_active", 0).await;
    assert_eq!(fixture.count("stream_frames_sent"), CLIENTS * STREAMS * (FRAMES as u64 + 1));
    assert_eq!((fixture.count("stream_reset_local"), fixture.count("stream_stray")), (0, 0));
    server.abort();
}

/// Reads a frame, which must be the next one of its stream.
async fn note(client: &mut Peer, seen: &mut [usize]) {
    let (kind, id, rest) = frame(client).await;
    let seen = &mut seen[usize::try_from(id).expect("small")];
    match *seen {
        0 => assert_eq!(kind, "S"),
        next => assert_eq!(rest, (next - 1).to_string()),
    }
    *seen += 1;
}

#[tokio::test]
async fn a_client_that_is_cut_off_resets_its_streams() {
    let backend = Backend::bind(LINES).await;
    let fixture = Fixture::to(LINES, backend.address());
    let mut client = fixture.client().await;
    client.send("S 1 chat\n").await;
    let mut server = backend.accept().await;
    let id = accept(&mut server).await;
    expect(&mut client, "S 1 yes").await;
    client.reset();
    expect(&mut server, &format!("Z {id} unspecified")).await;
    fixture.reaches("stream_active", 0).await;
}
