//! How often the allocator is asked for one proxied request.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    support::{ANY, Fixture},
    wire::{self, Wire},
};

/// Of the warm-up and of the measurement.
const REQUESTS: u32 = 1000;
/// Allocations of all requests together: read buffers are made anew now and then.
const MOST: u64 = 20;

/// A client, a server and the proxy between them run on this thread; the first two allocate nothing.
#[test]
fn a_proxied_request_allocates_nothing() {
    for wire in wire::ALL {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (fixture, mut client, mut server) = runtime.block_on(connected(wire));
        runtime.block_on(exchange(wire, &mut client, &mut server));
        let counted = allocation_counter::measure(|| runtime.block_on(exchange(wire, &mut client, &mut server)));
        assert!(counted.count_total <= MOST, "{}: {counted:?}", wire.name);
        drop(fixture);
    }
}

async fn connected(wire: Wire) -> (Fixture, TcpStream, TcpStream) {
    let backend = TcpListener::bind(ANY).await.expect("a free port");
    let fixture = Fixture::to(wire, backend.local_addr().expect("bound"));
    let mut client = TcpStream::connect(fixture.address()).await.expect("the proxy listens");
    client.write_all(&(wire.oneway)(1, "hello")).await.expect("open");
    let (server, _) = backend.accept().await.expect("the proxy connects");
    let mut server = server;
    server.read_exact(&mut vec![0; (wire.oneway)(1, "hello").len()]).await.expect("the one-way call");
    fixture.reaches("request_active", 0).await;
    (fixture, client, server)
}

async fn exchange(wire: Wire, client: &mut TcpStream, server: &mut TcpStream) {
    let (request, mut response) = ((wire.request)(7, "hello"), (wire.response)(7));
    let (mut asked, mut answered) = (vec![0; request.len()], vec![0; response.len()]);
    // where the id lies: behind the method in Thrift
    let (request_id, response_id) = match wire.name {
        "dubbo" => (4..12, 4..12),
        _ => (request.len() - 5..request.len() - 1, response.len() - 5..response.len() - 1),
    };
    for _ in 0..REQUESTS {
        client.write_all(&request).await.expect("open");
        server.read_exact(&mut asked).await.expect("a request");
        response[response_id.clone()].copy_from_slice(&asked[request_id.clone()]);
        server.write_all(&response).await.expect("open");
        client.read_exact(&mut answered).await.expect("an answer");
    }
}
