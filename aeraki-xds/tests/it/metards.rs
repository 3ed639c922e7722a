//! The data plane's client against the server.

use std::net::SocketAddr;

use aeraki_route::RouteTable;
use aeraki_route::config::{AttributeMatch, Cluster, Node, Pipe, Route, RouteAction, RouteConfig};
use aeraki_xds::client::Subscriber;
use aeraki_xds::{Publisher, type_url};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener};

use crate::support::{Client, ControlPlane, Port, table};

#[tokio::test]
async fn an_update_reaches_the_rules_of_its_subscriber_alone() {
    let port = Port::new();
    let mut control = ControlPlane::start(&port, Publisher::new());
    let (mut a, mut b) = (Client::start(&port, "a"), Client::start(&port, "b"));
    a.events.wait("connected").await;
    b.events.wait("connected").await;
    assert_eq!(a.cluster(), None, "nothing is published");

    control.publish([table("a", "v1"), table("b", "w1")]);
    a.events.wait("accepted").await;
    b.events.wait("accepted").await;
    assert_eq!((a.cluster().as_deref(), b.cluster().as_deref()), (Some("v1"), Some("w1")));

    let snapshot = control.publish([table("a", "v2"), table("b", "w1")]);
    let version = snapshot.get(type_url::ROUTE, "a").expect("is there").version();
    a.events.wait("accepted").await;
    assert_eq!(a.cluster().as_deref(), Some("v2"));
    assert_eq!(snapshot.encoded(), 1, "only the changed table is encoded");

    control.events.wait("connected sidecar").await;
    for _ in 0..3 {
        control.events.wait("acked").await;
    }
    assert_eq!(b.events.drain(), [""; 0], "the unchanged table is not sent again");
    assert_ne!(version.to_string(), "");
    drop((a, b));
    control.events.wait("disconnected sidecar").await;
}

#[tokio::test]
async fn a_table_that_does_not_compile_is_refused_in_the_compilers_words() {
    let port = Port::new();
    let mut control = ControlPlane::start(&port, Publisher::new());
    let mut client = Client::start(&port, "t");
    control.publish([table("t", "good")]);
    client.events.wait("accepted").await;

    let action = RouteAction::cluster("bad");
    let bad = RouteConfig::new("t", [Route::new("r", action).with_match(AttributeMatch::regex("method", "say("))]);
    let expected = RouteTable::compile(&bad).expect_err("is no regular expression").to_string();
    control.publish([bad]);
    assert_eq!(client.events.wait("rejected").await, format!("rejected {expected}"));
    assert_eq!(control.events.wait("nacked").await, format!("nacked {expected}"));
    assert_eq!(client.cluster().as_deref(), Some("good"), "the last good rules stay in force");

    control.publish([table("t", "better")]);
    client.events.wait("accepted").await;
    assert_eq!(client.cluster().as_deref(), Some("better"));
    assert!(control.events.drain().iter().all(|line| !line.starts_with("nacked")), "the refused one is not sent again");
}

#[tokio::test]
async fn the_rules_outlive_the_control_plane_and_follow_the_next_one() {
    let port = Port::new();
    let publisher = Publisher::new();
    let control = ControlPlane::start(&port, publisher.clone());
    let mut client = Client::start(&port, "t");
    control.publish([table("t", "old")]);
    client.events.wait("accepted").await;

    control.stop().await;
    client.events.wait("disconnected").await;
    assert_eq!(client.cluster().as_deref(), Some("old"), "the proxy goes on without its control plane");

    let control = ControlPlane::start(&port, publisher);
    client.events.wait("accepted").await;
    control.publish([table("t", "new")]);
    client.events.wait("accepted").await;
    assert_eq!(client.cluster().as_deref(), Some("new"));
}

#[tokio::test]
async fn the_control_plane_may_be_on_a_unix_socket() {
    let port = Port::new();
    let control = ControlPlane::start(&port, Publisher::new());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("xds.sock").to_str().expect("text").to_owned();
    let name = format!("aeraki-test-xds-{}", std::process::id());
    let other = folder.path().join("other.sock").to_str().expect("text").to_owned();
    let paths = [(path.clone(), path), (other.clone(), format!("/{other}"))];
    // only Linux has names
    let names = cfg!(target_os = "linux").then(|| (format!("\0{name}"), format!("@{name}")));
    for (bound, known) in paths.into_iter().chain(names) {
        lead(UnixListener::bind(bound).expect("is free"), port.address());
        let cluster = Cluster::new("aeraki-xds").with_endpoint(Pipe::new(known));
        let mut client = Client::of(&cluster, "t");
        client.events.wait("connected").await;
        control.publish([table("t", "v1")]);
        client.events.wait("accepted").await;
        assert_eq!(client.cluster().as_deref(), Some("v1"));

        let two = cluster.with_endpoint(port.address());
        let refused = Subscriber::new(&two, &Node::new("sidecar", "test")).expect_err("is refused");
        let reason = "a control plane on a Unix socket must be the only one";
        assert_eq!(refused.to_string(), format!("cluster \"aeraki-xds\": endpoints: {reason}"));
    }
}

/// Passes every connection on to a server.
fn lead(listener: UnixListener, server: SocketAddr) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { copy_bidirectional(&mut stream, &mut TcpStream::connect(server).await?).await });
        }
    });
}

#[tokio::test]
async fn many_subscribers_share_one_encoding() {
    let port = Port::new();
    let control = ControlPlane::start(&port, Publisher::new());
    let mut clients: Vec<_> = (0..50).map(|_| Client::start(&port, "t")).collect();
    let mut encoded = control.publish([table("t", "v1")]).encoded();
    for client in &mut clients {
        client.events.wait("accepted").await;
    }
    encoded += control.publish([table("t", "v2")]).encoded();
    for client in &mut clients {
        client.events.wait("accepted").await;
        assert_eq!(client.cluster().as_deref(), Some("v2"));
    }
    assert_eq!(encoded, 2, "one for each version, whatever the number of subscribers");
}
