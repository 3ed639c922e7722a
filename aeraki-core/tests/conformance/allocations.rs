//! How often the allocator is asked for one proxied request.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use aeraki_core::route::config::Cluster;

use crate::{
    support::{ANY, Fixture, all_to},
    wire::{self, Wire},
};

/// Of the warm-up and of the measurement.
const REQUESTS: usize = 1024;
/// Allocations of all requests together: read buffers are made anew now and then.
const MOST: u64 = 20;

/// A client, a server and the proxy between them run on this thread; the first two allocate nothing.
#[test]
fn a_proxied_request_allocates_nothing() {
    for (wire, in_flight) in wire::ALL.into_iter().flat_map(|wire| [(wire, 1), (wire, 32)]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (fixture, mut client, mut server) = runtime.block_on(connected(wire));
        runtime.block_on(exchange(wire, in_flight, &mut client, &mut server));
        let measured = || runtime.block_on(exchange(wire, in_flight, &mut client, &mut server));
        let counted = allocation_counter::measure(measured);
        assert!(counted.count_total <= MOST, "{}, {in_flight} at a time: {counted:?}", wire.name);
        drop(fixture);
    }
}

async fn connected(wire: Wire) -> (Fixture, TcpStream, TcpStream) {
    let backend = TcpListener::bind(ANY).await.expect("a free port");
    let cluster = Cluster::new("one").with_endpoint(backend.local_addr().expect("bound")).with_concurrent(true);
    let fixture = Fixture::with(wire, all_to("one"), vec![cluster], |service| service);
    let mut client = TcpStream::connect(fixture.address()).await.expect("the proxy listens");
    client.write_all(&(wire.oneway)(1, "hello")).await.expect("open");
    let (server, _) = backend.accept().await.expect("the proxy connects");
    let mut server = server;
    server.read_exact(&mut vec![0; (wire.oneway)(1, "hello").len()]).await.expect("the one-way call");
    fixture.reaches("request_active", 0).await;
    (fixture, client, server)
}

async fn exchange(wire: Wire, in_flight: usize, client: &mut TcpStream, server: &mut TcpStream) {
    let (request, response) = ((wire.request)(7, "hello"), (wire.response)(7));
    let (requests, mut responses) = (request.repeat(in_flight), response.repeat(in_flight));
    let (mut asked, mut answered) = (vec![0; requests.len()], vec![0; responses.len()]);
    // where the id lies: behind the method in Thrift
    let (request_id, response_id) = match wire.name {
        "dubbo" => (4..12, 4..12),
        _ => (request.len() - 5..request.len() - 1, response.len() - 5..response.len() - 1),
    };
    for _ in 0..REQUESTS / in_flight {
        client.write_all(&requests).await.expect("open");
        server.read_exact(&mut asked).await.expect("requests");
        let pairs = asked.chunks_exact(request.len()).zip(responses.chunks_exact_mut(response.len()));
        pairs.for_each(|(asked, response)| response[response_id.clone()].copy_from_slice(&asked[request_id.clone()]));
        server.write_all(&responses).await.expect("open");
        client.read_exact(&mut answered).await.expect("answers");
    }
}
