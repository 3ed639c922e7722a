//! Calls through the served proxy.

use std::{future::pending, net::SocketAddr, path::Path};

use aeraki_codec::{Kind, Message, Role};
use aeraki_route::config::{AbortWith, Fault, FractionalPercent, Route, RouteAction, RouteConfig};
use aeraki_xds::{Publisher, Server, Snapshot};
use tempfile::NamedTempFile;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Duration, timeout},
};

use crate::{
    bootstrap, cluster, file, listener, protocol, relay::Relay, running::Running, socket::Socket, to_cluster,
    wire::Wire,
};

/// A service that answers with `version`; returns its port.
pub(crate) async fn service(wire: Wire, version: &'static str) -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = socket.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                let mut socket = Socket::new(stream, wire, Role::Server)?;
                while let Some(call) = socket.next().await? {
                    socket.send(&wire.answer(&call, version)).await?;
                }
                anyhow::Ok(())
            });
        }
    });
    port
}

pub(crate) async fn connect(address: SocketAddr, wire: Wire) -> Socket {
    Socket::new(TcpStream::connect(address).await.expect("it listens"), wire, Role::Client).expect("a socket")
}

async fn send(socket: &mut Socket, wire: Wire, id: u32) {
    socket.send(&wire.call(id, "org.example.Greeter", "greet", "anybody")).await.expect("sent");
}

async fn next(socket: &mut Socket) -> Message {
    socket.next().await.expect("bytes of the protocol").expect("an answer")
}

/// Makes one call and returns which version answered.
pub(crate) async fn call(socket: &mut Socket, wire: Wire, id: u32) -> Option<String> {
    send(socket, wire, id).await;
    let mut answer = next(socket).await;
    while answer.kind() == Kind::Event {
        // a goodbye comes before the answer
        answer = next(socket).await;
    }
    assert_eq!(answer.id().number(), u64::from(id));
    wire.version(&answer)
}

pub(crate) fn serving(wire: &str, port: u16) -> String {
    let fields = format!("{}, {}", protocol(wire), to_cluster("service"));
    bootstrap(&[listener(0, &fields)], &[cluster("service", port)])
}

#[tokio::test]
async fn calls_are_answered_and_counted() {
    for (name, wire) in [("dubbo", Wire::Dubbo), ("thrift", Wire::Thrift)] {
        let port = service(wire, "v1").await;
        let proxy = Running::start(&serving(name, port), &["--workers", "2"]).await;
        for _ in 0..8 {
            let mut socket = connect(proxy.listener, wire).await;
            for id in 7..9 {
                assert_eq!(call(&mut socket, wire, id).await.as_deref(), Some("v1"));
            }
        }
        let (_, stats) = proxy.get("/stats").await;
        assert!(stats.contains(&format!("meta_protocol.{name}.test.request: 16\n")), "{stats}");
        let (_, stats) = proxy.get("/stats/prometheus").await;
        let line = format!("meta_protocol_request_total{{protocol=\"{name}\",stat_prefix=\"test\"}} 16");
        assert!(stats.lines().any(|found| found == line), "{stats}");
        assert_openmetrics(&stats);
        assert_eq!(proxy.get("/ready").await, (200, "LIVE\n".to_owned()));
    }
}

#[tokio::test]
async fn a_request_in_flight_gets_its_answer_before_the_end() {
    let service = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = service.local_addr().expect("an address").port();
    let mut proxy = Running::start(&serving("dubbo", port), &[]).await;
    let mut client = connect(proxy.listener, Wire::Dubbo).await;
    send(&mut client, Wire::Dubbo, 3).await;
    let (stream, _) = service.accept().await.expect("the proxy connects");
    let mut server = Socket::new(stream, Wire::Dubbo, Role::Server).expect("a socket");
    let request = next(&mut server).await;
    let (_, clusters) = proxy.get("/clusters").await;
    let row = format!("service::127.0.0.1:{port}::rq_active::1\n");
    assert!(clusters.contains(&row), "{clusters}");

    proxy.terminate().await;
    proxy.wait_for("draining").await;
    server.send(&Wire::Dubbo.answer(&request, "v1")).await.expect("sent");
    let answer = loop {
        let message = next(&mut client).await;
        if message.id().number() == 3 {
            break message;
        }
        // the goodbye of the protocol may come first
    };
    assert_eq!(Wire::Dubbo.version(&answer).as_deref(), Some("v1"));
    drop(client);
    assert_eq!(proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn dynamic_routes_come_and_change() {
    let publisher = Publisher::new();
    let control_plane = control_plane(&publisher).await.port();
    let (one, two) = (service(Wire::Thrift, "one").await, service(Wire::Thrift, "two").await);
    let text = bootstrap(
        &[listener(0, &format!("{}, {}", protocol("thrift"), rds("")))],
        &[cluster("control_plane", control_plane), cluster("one", one), cluster("two", two)],
    );
    let mut proxy = Running::start(&text, &["--workers", "2"]).await;
    assert_eq!(proxy.get("/ready").await, (503, "INITIALIZING\n".to_owned()));
    let mut client = connect(proxy.listener, Wire::Thrift).await;
    send(&mut client, Wire::Thrift, 1).await;
    let early = timeout(Duration::from_millis(100), next(&mut client)).await;
    assert!(early.is_err(), "there are no routes yet");

    publisher.publish(table("one"));
    proxy.wait_for("in force").await;
    assert_eq!(Wire::Thrift.version(&next(&mut client).await).as_deref(), Some("one"));
    publisher.publish(table("two"));
    proxy.wait_for("in force").await;
    assert_eq!(call(&mut client, Wire::Thrift, 2).await.as_deref(), Some("two"));

    let fault = Fault::new().with_abort(AbortWith::Status(64), FractionalPercent::ALWAYS);
    let routes = RouteConfig::new("table", [Route::new("all", RouteAction::cluster("one")).with_fault(fault)]);
    publisher.publish(Snapshot::builder().routes([routes]).build().expect("can be said"));
    let said = proxy.wait_for("the last good routes stay").await;
    let reason = "route configuration \"table\": routes[0] \"all\".fault.abort.with.status: \
                  \"thrift\" has no failure with the status 64";
    assert!(said.contains(reason), "{said}");
    assert_eq!(call(&mut client, Wire::Thrift, 3).await.as_deref(), Some("two"));
    assert_eq!(proxy.get("/ready").await, (200, "LIVE\n".to_owned()));
    let (_, stats) = proxy.get("/stats").await;
    for counted in ["update_success: 2\n", "update_rejected: 1\n", "update_failure: 0\n"] {
        assert!(stats.contains(&format!("rds.table.{counted}")), "{stats}");
    }
}

#[tokio::test]
async fn routes_that_do_not_come_are_not_waited_for_for_ever() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let text = bootstrap(
        &[listener(0, &format!("{}, {}", protocol("thrift"), rds("initial_fetch_timeout: 0.05s, ")))],
        &[cluster("control_plane", nobody)],
    );
    let mut proxy = Running::start(&text, &["--workers", "2"]).await;
    let said = proxy.wait_for("have not come within 50ms").await;
    assert!(said.contains("listener=\"in\"") && said.contains("routes=\"table\""), "{said}");
    let mut client = connect(proxy.listener, Wire::Thrift).await;
    assert_eq!(call(&mut client, Wire::Thrift, 1).await, None, "there is no route");
}

#[tokio::test]
async fn a_control_plane_that_has_no_table_any_more_is_left() {
    let (publisher, routes) = (Publisher::new(), file(&routes_file("cluster: one")));
    let (control_plane, one) = (control_plane(&publisher).await, service(Wire::Thrift, "one").await);
    publisher.publish(table("one"));
    let clusters = [cluster("control_plane", control_plane.port()), cluster("one", one), cluster("same", one)];
    let text = bootstrap(&[listener(0, &format!("{}, {}", protocol("thrift"), rds("")))], &clusters);
    let mut proxy = Running::start(&text, &["--workers", "1"]).await;
    proxy.wait_for("in force").await;

    // refused at the very last, with another subscription made
    let changed = text.replace("connect_timeout: 5s", "connect_timeout: 6s");
    proxy.reload(&changed.replace("id: me", "id: you")).await;
    proxy.wait_for("the last good configuration stays").await;
    proxy.reload(&text.replace("stat_prefix: test", "stat_prefix: other")).await;
    proxy.wait_for("the configuration is in force").await;
    publisher.publish(table("same"));
    proxy.wait_for("in force").await;
    assert_eq!(control_plane.opened(), 1, "the subscription goes on");

    proxy.reload(&in_file(routes.path(), &clusters)).await;
    proxy.wait_for("the configuration is in force").await;
    control_plane.closed(1).await;
    let mut client = connect(proxy.listener, Wire::Thrift).await;
    assert_eq!(call(&mut client, Wire::Thrift, 1).await.as_deref(), Some("one"));
    assert_eq!(control_plane.opened(), 1);
}

#[tokio::test]
async fn routes_come_from_a_file_with_all_that_a_control_plane_may_say() {
    let (one, two) = (service(Wire::Thrift, "one").await, service(Wire::Thrift, "two").await);
    let routes = file(&routes_file("cluster: one"));
    let text = in_file(routes.path(), &[cluster("one", one), cluster("two", two)]);
    let mut proxy = Running::start(&text, &["--workers", "2"]).await;
    let mut client = connect(proxy.listener, Wire::Thrift).await;
    assert_eq!(call(&mut client, Wire::Thrift, 1).await.as_deref(), Some("one"), "from the first request on");
    // who follows the file begins after it has been read at the start
    proxy.wait_for_stat("rds.table.update_success: 1").await;

    replace(&routes, &routes_file("cluster: two, prefix_rewrite: x"));
    let said = proxy.wait_for("the last good routes stay").await;
    let path = routes.path().display();
    let place = "resources[0].virtual_hosts[0].routes[0].route.prefix_rewrite: has no effect here";
    assert!(said.contains(&format!("{path}: {place}")), "{said}");
    assert_eq!(call(&mut client, Wire::Thrift, 2).await.as_deref(), Some("one"));

    proxy.reload(&text.replace("stat_prefix: test", "stat_prefix: other")).await;
    proxy.wait_for("the configuration is in force").await;
    let mut client = connect(proxy.listener, Wire::Thrift).await;
    assert_eq!(call(&mut client, Wire::Thrift, 2).await.as_deref(), Some("one"), "though the file is still wrong");

    let fault = "typed_per_filter_config: {aeraki.meta_protocol.filters.fault: {'@type': \
                 type.googleapis.com/aeraki.meta_protocol_proxy.filters.fault.v1alpha.Fault, \
                 abort: {reason: over_limit, percentage: {numerator: 100}}}}";
    let route = "cluster: two, timeout: 5s, retry_policy: {retry_on: connect-failure, num_retries: 1}";
    replace(&routes, &routes_file(route));
    proxy.wait_for("in force").await;
    assert_eq!(call(&mut client, Wire::Thrift, 3).await.as_deref(), Some("two"));
    replace(&routes, &format!("{}      {fault}\n", routes_file(route)));
    proxy.wait_for("in force").await;
    assert_eq!(call(&mut client, Wire::Thrift, 4).await, None, "the route has a fault");
    let (_, stats) = proxy.get("/stats").await;
    assert!(stats.contains("rds.table.update_success: 3\n"), "{stats}");
    assert!(stats.contains("rds.table.update_rejected: 1\n"), "{stats}");
}

/// Replaces a file as a whole: nobody may read the half of it.
fn replace(replaced: &NamedTempFile, text: &str) {
    std::fs::rename(file(text).into_temp_path().keep().expect("kept"), replaced.path()).expect("on one file system");
}

/// Writes a file with the table `table` of one route.
pub(crate) fn routes_file(route: &str) -> String {
    format!(
        "resources:
- '@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: table
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
    - name: all
      match: {{prefix: ''}}
      route: {{{route}}}
"
    )
}

/// Makes a bootstrap whose routes are in a file.
pub(crate) fn in_file(path: &Path, clusters: &[String]) -> String {
    let source = format!("path_config_source: {{path: {}}}", path.display());
    let rds = format!("rds: {{route_config_name: table, config_source: {{resource_api_version: V3, {source}}}}}");
    bootstrap(&[listener(0, &format!("{}, {rds}", protocol("thrift")))], clusters)
}

/// Serves what is published.
pub(crate) async fn control_plane(publisher: &Publisher) -> Relay {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = socket.local_addr().expect("an address").port();
    tokio::spawn(Server::new(publisher.clone()).serve(socket, pending()));
    Relay::to(port).await
}

/// The table `table` with one route.
pub(crate) fn table(cluster: &str) -> Snapshot {
    let routes = RouteConfig::new("table", [Route::new(cluster, RouteAction::cluster(cluster))]);
    Snapshot::builder().routes([routes]).build().expect("good routes")
}

/// A MetaProtocol proxy's routes from a control plane.
pub(crate) fn rds(more: &str) -> String {
    format!(
        "rds: {{route_config_name: table, config_source: {{resource_api_version: V3, {more}api_config_source: \
         {{api_type: GRPC, transport_api_version: V3, grpc_services: {{envoy_grpc: {{cluster_name: control_plane}}}}}}}}}}"
    )
}

/// Checks that a scraper can read every line: comments, or `name{labels} number` of a family that was announced.
fn assert_openmetrics(text: &str) {
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            families.push(family.split(' ').next().expect("a name"));
        } else if !line.starts_with("# ") {
            let (series, number) = line.rsplit_once(' ').expect("a number");
            number.parse::<f64>().unwrap_or_else(|error| panic!("{line}: {error}"));
            let name = series.split('{').next().expect("a name");
            assert!(series == name || series.ends_with('}'), "{line}");
            assert!(families.last().is_some_and(|family| name.starts_with(family)), "{line} has no type");
        }
    }
    assert!(!families.is_empty() && text.ends_with("# EOF\n"), "{text}");
}
