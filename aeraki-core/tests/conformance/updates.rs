//! Another configuration while the proxy runs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aeraki_core::{
    codec::{Kind, Registry},
    proxy::{Proxy, Updated},
    route::config::{
        self, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Cluster, Filter, FilterConfig, Listener,
        MetaProtocolProxy, Operation, Patterns, ProtocolConfig, RouteSource, RouteSubscription,
    },
};
use futures_util::FutureExt;

use crate::{
    support::{ANY, Backend, Fixture, PATIENCE, Peer, all_to, served},
    wire::{self, Wire},
};

fn service(name: &str, wire: Wire, cluster: &str) -> MetaProtocolProxy {
    MetaProtocolProxy::new(name, ProtocolConfig::new(wire.name), RouteSource::Inline(all_to(cluster)))
}

fn listener(name: &str, wire: Wire, cluster: &str) -> Listener {
    Listener::of(name, ANY.parse().expect("an address"), service(name, wire, cluster))
}

fn config(listeners: Vec<Listener>, clusters: &[(&str, SocketAddr)]) -> config::Proxy {
    let clusters = clusters.iter().map(|(name, server)| Cluster::new(*name).with_endpoint(*server));
    let config = clusters.fold(config::Proxy::default(), config::Proxy::with_cluster);
    listeners.into_iter().fold(config, config::Proxy::with_listener)
}

fn proxy(config: config::Proxy) -> Proxy {
    Proxy::new(config, &Registry::builtin()).expect("a good configuration")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn same() -> Updated {
    Updated::default()
}

#[tokio::test]
async fn routes_and_endpoints_change_under_open_connections() {
    for wire in wire::ALL {
        let (one, two) = (Backend::bind(wire).await, Backend::bind(wire).await);
        let clusters = [("one", one.address()), ("two", two.address())];
        let mut fixture = Fixture::of(wire, config(vec![listener("in", wire, "one")], &clusters));
        let mut client = fixture.client().await;
        served(&mut client, &one, 1, "hello").await;

        let next = proxy(config(vec![listener("in", wire, "two")], &clusters));
        assert_eq!(fixture.proxy.update(next, PATIENCE).expect("good"), same(), "{}", wire.name);
        served(&mut client, &two, 2, "hello").await;

        let three = Backend::bind(wire).await;
        let next =
            proxy(config(vec![listener("in", wire, "two")], &[("one", one.address()), ("two", three.address())]));
        assert_eq!(fixture.proxy.update(next, PATIENCE).expect("good"), same(), "{}", wire.name);
        served(&mut client, &three, 3, "hello").await;
        assert_eq!(fixture.count("downstream_cx_total"), 1);
    }
}

#[tokio::test]
async fn a_changed_listener_keeps_its_socket_and_lets_old_connections_finish() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let clusters = [("one", backend.address())];
        let mut fixture = Fixture::of(wire, config(vec![listener("in", wire, "one")], &clusters));
        let address = fixture.address();
        let mut old = fixture.client().await;
        old.call(1, "hello").await;
        let mut server = backend.accept().await;
        let request = server.message().await;

        let changed = service("in", wire, "one").with_idle_timeout(Duration::from_secs(60));
        let changed = Listener::of("in", ANY.parse().expect("an address"), changed);
        let updated = fixture.proxy.update(proxy(config(vec![changed], &clusters)), PATIENCE).expect("good");
        assert_eq!(updated.changed, names(&["in"]), "{}", wire.name);
        assert_eq!(fixture.address(), address, "{}", wire.name);
        // who comes now is served by the new one, before the old one has finished
        let mut new = Peer::connect(address, wire).await;
        new.call(2, "hello").await;
        // busy connections to servers are not shared as long as there may be more
        let mut second = backend.accept().await;
        let of_new = second.message().await;
        second.answer(&of_new).await;
        assert_eq!(new.message().await.kind(), Kind::Response, "{}", wire.name);

        server.answer(&request).await;
        let mut kinds = Vec::new();
        while let Some(message) = old.next().await {
            kinds.push(message.kind());
        }
        assert!(kinds.contains(&Kind::Response), "{}: {kinds:?}", wire.name);
        fixture.reaches("downstream_cx_active", 1).await;
        assert_eq!(fixture.count("downstream_cx_total"), 2, "{}: the numbers go on", wire.name);
    }
}

#[tokio::test]
async fn listeners_come_and_go() {
    let wire = wire::ALL[0];
    let backend = Backend::bind(wire).await.echo();
    let clusters = [("one", backend)];
    let mut fixture = Fixture::of(wire, config(vec![listener("in", wire, "one")], &clusters));
    let mut client = fixture.client().await;

    let both = vec![listener("in", wire, "one"), listener("more", wire, "one")];
    let updated = fixture.proxy.update(proxy(config(both, &clusters)), PATIENCE).expect("good");
    assert_eq!((&updated.added, &updated.changed, &updated.removed), (&names(&["more"]), &names(&[]), &names(&[])));
    let more = fixture.proxy.address("more").expect("it is there");
    let mut other = Peer::connect(more, wire).await;
    other.call(1, "hello").await;
    assert_eq!(other.message().await.kind(), Kind::Response);
    assert!(fixture.proxy.stats().samples().get("meta_protocol.dubbo.more.request").is_some());

    let updated =
        fixture.proxy.update(proxy(config(vec![listener("in", wire, "one")], &clusters)), PATIENCE).expect("good");
    assert_eq!(updated.removed, names(&["more"]));
    while other.next().await.is_some() {}
    assert_eq!(fixture.proxy.address("more"), None);
    let refused = async { while tokio::net::TcpStream::connect(more).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.expect("its socket is closed");
    let forgotten = async {
        while fixture.proxy.stats().samples().get("meta_protocol.dubbo.more.request").is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("its numbers are gone");
    client.call(2, "hello").await;
    assert_eq!(client.message().await.kind(), Kind::Response, "the other one was not touched");
}

#[tokio::test]
async fn what_cannot_be_changes_nothing() {
    let wire = wire::ALL[0];
    let backend = Backend::bind(wire).await.echo();
    let clusters = [("one", backend)];
    let mut fixture = Fixture::of(wire, config(vec![listener("in", wire, "one")], &clusters));
    let taken = std::net::TcpListener::bind(ANY).expect("a free port");
    let on_taken = Listener::new(
        "taken",
        taken.local_addr().expect("bound"),
        ProtocolConfig::new(wire.name),
        RouteSource::Inline(all_to("one")),
    );
    let free = std::net::TcpListener::bind(ANY).and_then(|socket| socket.local_addr()).expect("a free port");
    let on_free = Listener::new("free", free, ProtocolConfig::new(wire.name), RouteSource::Inline(all_to("one")));
    let error = fixture
        .proxy
        .update(proxy(config(vec![on_free, on_taken], &[("other", backend), ("one", backend)])), PATIENCE)
        .expect_err("taken");
    assert_eq!((error.object(), error.field()), ("listener \"taken\"", "address"));
    assert!(tokio::net::TcpStream::connect(free).await.is_err(), "what was bound for it is closed again");
    let mut client = fixture.client().await;
    client.call(1, "hello").await;
    assert_eq!(client.message().await.kind(), Kind::Response);

    let mut node = config(vec![listener("in", wire, "one")], &clusters);
    node.node = config::Node::new("another", "cluster");
    let error = fixture.proxy.update(proxy(node), PATIENCE).expect_err("another node");
    assert_eq!((error.object(), error.field()), ("proxy", "node"));
}

#[tokio::test]
async fn a_listener_that_changes_serves_as_before_until_its_table_has_come() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await.echo();
        let clusters = [("one", backend)];
        let mut fixture = Fixture::of(wire, config(vec![listener("in", wire, "one")], &clusters));
        let address = fixture.proxy.address("in").expect("it is there");
        let next = Listener::new(
            "in",
            ANY.parse().expect("an address"),
            ProtocolConfig::new(wire.name),
            RouteSource::dynamic("table", "one"),
        );
        let next = proxy(config(vec![next], &clusters));
        let table = Arc::clone(next.subscriptions().next().expect("one table").1);
        let updated = fixture.proxy.update(next, Duration::ZERO).expect("good");
        assert_eq!(updated.changed, names(&["in"]));
        let mut client = Peer::connect(address, wire).await;
        client.call(1, "hello").await;
        assert_eq!(client.message().await.kind(), Kind::Response, "{}", wire.name);

        table.update(&all_to("one")).expect("good");
        fixture.proxy.warmed().await;
        while client.next().await.is_some() {}
        fixture.proxy.settled().await;
        let mut client = Peer::connect(address, wire).await;
        client.call(2, "hello").await;
        assert_eq!(client.message().await.kind(), Kind::Response, "{}", wire.name);
    }
}

#[tokio::test]
async fn a_table_of_a_control_plane_stays_in_force_for_listeners_that_come() {
    let wire = wire::ALL[0];
    let backend = Backend::bind(wire).await.echo();
    let clusters = [("one", backend)];
    let subscribing = |name: &str| {
        let routes = RouteSource::Dynamic(RouteSubscription::new("table", "one"));
        Listener::new(name, ANY.parse().expect("an address"), ProtocolConfig::new(wire.name), routes)
    };
    let mut fixture = Fixture::of(wire, config(vec![subscribing("in")], &clusters));
    fixture.rules.update(&all_to("one")).expect("good");

    let both = proxy(config(vec![subscribing("in"), subscribing("more")], &clusters));
    let updated = fixture.proxy.update(both, Duration::ZERO).expect("good");
    assert_eq!(updated.added, names(&["more"]));
    assert_eq!(fixture.proxy.subscriptions().count(), 1);
    let mut client = Peer::connect(fixture.proxy.address("more").expect("it is there"), wire).await;
    client.call(1, "hello").await;
    assert_eq!(client.message().await.kind(), Kind::Response, "without another word of the control plane");
    // the table that the control plane changes is that of both
    fixture.rules.update(&all_to("nowhere")).expect("good");
    client.call(2, "hello").await;
    assert_eq!(client.message().await.kind(), Kind::Error);
}

#[tokio::test]
async fn clusters_that_are_gone_serve_old_connections_whatever_is_updated_meanwhile() {
    let wire = wire::DUBBO;
    let (one, two) = (Backend::bind(wire).await, Backend::bind(wire).await);
    let mut fixture = Fixture::of(wire, config(vec![listener("in", wire, "one")], &[("one", one.address())]));
    let mut old = fixture.client().await;
    old.call(1, "hello").await;
    let mut server = one.accept().await;
    let first = server.message().await;

    let changed = service("in", wire, "two").with_idle_timeout(Duration::from_secs(60));
    let changed = || Listener::of("in", ANY.parse().expect("an address"), changed.clone());
    let without = config(vec![changed()], &[("two", two.address())]);
    assert_eq!(fixture.proxy.update(proxy(without), PATIENCE).expect("good").changed, names(&["in"]));
    let more = config(vec![changed()], &[("two", two.address()), ("three", two.address())]);
    assert_eq!(fixture.proxy.update(proxy(more), Duration::ZERO).expect("good"), same());
    let in_use = |fixture: &Fixture| -> Vec<String> {
        fixture.proxy.clusters().iter().map(|cluster| cluster.name.clone()).collect()
    };
    assert_eq!(in_use(&fixture), ["two", "three", "one"]);
    assert!(fixture.proxy.settled().now_or_never().is_none());

    old.call(2, "hello").await;
    let second = server.message().await;
    server.answer(&second).await;
    server.answer(&first).await;
    let mut answered = 0;
    while let Some(message) = old.next().await {
        answered += usize::from(message.kind() == Kind::Response);
    }
    assert_eq!(answered, 2);
}

#[tokio::test]
async fn a_policy_that_is_gone_still_judges_the_connections_that_it_was_for() {
    let wire = wire::DUBBO;
    let backend = Backend::bind(wire).await;
    let clusters = [("one", backend.address())];
    let subscribing = || {
        let routes = RouteSource::Dynamic(RouteSubscription::new("table", "one"));
        MetaProtocolProxy::new("in", ProtocolConfig::new(wire.name), routes)
    };
    let rule = AuthorizationRule::default()
        .with_operation(Operation::default().with_attribute("method", Patterns::of(["drop"])));
    let policy = AuthorizationPolicy::new("no drop", AuthorizationAction::Deny).with_rule(rule);
    let guarded = subscribing().with_filter(Filter::new("authorization", FilterConfig::Authorization(vec![policy])));
    let at = |service| Listener::of("in", ANY.parse().expect("an address"), service);
    let mut fixture = Fixture::of(wire, config(vec![at(guarded)], &clusters));
    fixture.rules.update(&all_to("one")).expect("good");
    let mut old = fixture.client().await;
    old.call(1, "hello").await;
    let mut server = backend.accept().await;
    let first = server.message().await;

    let updated = fixture.proxy.update(proxy(config(vec![at(subscribing())], &clusters)), PATIENCE).expect("good");
    assert_eq!(updated.changed, names(&["in"]));
    old.call(2, "drop").await;
    let refusal = loop {
        // the goodbye may come first
        let message = old.message().await;
        if message.id().number() == 2 {
            break message;
        }
    };
    assert_eq!(refusal.kind(), Kind::Error);
    assert_eq!(fixture.count("authorization_denied"), 1);
    server.answer(&first).await;
}

#[tokio::test]
async fn another_configuration_of_a_listener_goes_on_with_the_connections_to_servers() {
    let wire = wire::DUBBO;
    let backend = Backend::bind(wire).await.echo();
    let clusters = [("one", backend)];
    let registry = Registry::builtin();
    let after = |seconds| {
        let protocol = ProtocolConfig::new(wire.name).with_option("coarse_statuses", "true");
        let service = MetaProtocolProxy::new("in", protocol, RouteSource::Inline(all_to("one")));
        let service = service.with_idle_timeout(Duration::from_secs(seconds));
        let listener = Listener::of("in", ANY.parse().expect("an address"), service);
        Proxy::new(config(vec![listener], &clusters), &registry).expect("good")
    };
    let mut fixture = Fixture::of(wire, config(vec![listener("in", wire, "one")], &clusters));
    for seconds in 60..63 {
        assert_eq!(fixture.proxy.update(after(seconds), PATIENCE).expect("good").changed, names(&["in"]));
        let mut client = fixture.client().await;
        client.call(seconds, "hello").await;
        assert_eq!(client.message().await.kind(), Kind::Response);
    }
    assert_eq!(fixture.cluster("upstream_cx_total"), 1);
}
