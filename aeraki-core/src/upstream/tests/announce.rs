//! Servers that are told who the client is.

use aeraki_route::config::ProxyProtocolVersion;

use super::*;

fn client(host: u8) -> Arc<ConnInfo> {
    let [peer, local] = [[10, 0, 0, host], [10, 0, 0, 9]].map(|ip| SocketAddr::from((ip, 80)));
    Arc::new(ConnInfo::new("test".into(), Arc::new(Toy(Serving::Concurrent)), peer, local))
}

#[tokio::test(start_paused = true)]
async fn every_client_has_connections_of_its_own_which_begin_with_its_addresses() {
    let mut bench = Bench::with(Serving::Concurrent, cluster().with_proxy_protocol(ProxyProtocolVersion::V1));
    let mut open = Vec::new();
    for host in [1, 2] {
        let client = client(host);
        let call = bench.send(request(&client, frame(REQUEST, 1, b"first")));
        let mut server = bench.server().await;
        let expected = format!("PROXY TCP4 10.0.0.{host} 10.0.0.9 80 80\r\n");
        let mut header = vec![0; expected.len()];
        soon(server.0.read_exact(&mut header)).await.expect("a header");
        assert_eq!(String::from_utf8_lossy(&header), expected);
        server.echo().await;
        answer(call).await;
        let call = bench.send(request(&client, frame(REQUEST, 2, b"second")));
        server.echo().await;
        assert_eq!(answer(call).await, (2, "second".to_owned()));
        open.push((client, server));
    }
    bench.no_server().await;
    for (client, mut server) in open {
        assert!(server.is_silent().await);
        drop(client);
        assert!(server.is_closed().await, "it ends with its client");
    }
    assert_eq!(bench.count("upstream_cx_active"), 0);
}
