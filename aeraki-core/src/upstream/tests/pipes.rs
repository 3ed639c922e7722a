//! Connections to Unix sockets.

use std::{os::unix::net::UnixListener, pin::pin};

use config::Pipe;
use futures_util::poll;
use socket2::{Domain, SockAddr, Socket, Type};

use super::*;

fn connect(path: &str) -> BoxFuture<io::Result<Box<dyn Io>>> {
    Plain::default().connect(&Pipe::new(path).into())
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_queue_is_full_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    socket.bind(&SockAddr::unix(&path).expect("is short")).expect("is free");
    // room for one
    socket.listen(0).expect("is bound");
    let listener = UnixListener::from(socket);

    let path = path.to_str().expect("text");
    let _first = soon(connect(path)).await.expect("somebody listens");
    let mut second = pin!(connect(path));
    assert!(poll!(&mut second).is_pending());
    listener.accept().expect("somebody came");
    soon(second).await.expect("there is room now");
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let config = config::Cluster::new("c").with_endpoint(Pipe::new("/nowhere/a.sock"));
    let clusters = Clusters::new(Context::new());
    clusters.update([config]);
    let conn = conn(Serving::Concurrent);
    let request = request(&conn, frame(REQUEST, 1, b"x"));
    let facts = request.facts.clone();
    let refused = clusters.get("c").expect("configured").forward(request).await.expect_err("nobody listens");
    let reply = refused.downcast_ref::<LocalReply>().expect("a reply");
    assert_eq!(reply.reason(), Reason::ConnectFailure);
    assert!(reply.text().starts_with("cannot connect to /nowhere/a.sock: "), "{}", reply.text());
    assert_eq!(facts.record().endpoint, Some(Pipe::new("/nowhere/a.sock").into()));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_name_needs_no_file() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let name = format!("aeraki-test-upstream-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("is short");
    let listener = UnixListener::bind_addr(&address).expect("is free");
    let _connection = connect(&format!("@{name}")).await.expect("somebody listens");
    listener.accept().expect("somebody came");
}
