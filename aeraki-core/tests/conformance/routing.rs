//! Where requests go.

use std::{sync::Arc, time::Duration};

use aeraki_core::{
    codec::{Kind, Registry},
    observe::Value,
    proxy::Proxy,
    route::{
        Rules,
        config::{
            self, AttributeMatch, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Cluster, Descriptor,
            DescriptorEntry, GlobalRateLimit, Listener, LocalRateLimit, MutationEntry, Operation, Patterns,
            ProtocolConfig, Route, RouteAction, RouteConfig, RouteSource, RouteSubscription, TokenBucket,
        },
    },
};

use tokio::time::timeout;

use crate::{
    support::{ANY, Backend, Fixture, Peer, all_to, served},
    wire::{self, DUBBO, THRIFT, Wire},
};

fn two(wire: Wire, routes: RouteConfig, one: &Backend, other: &Backend) -> Fixture {
    let clusters = [("one", one), ("other", other)];
    let clusters = clusters.map(|(name, backend)| Cluster::new(name).with_endpoint(backend.address()));
    Fixture::with(wire, routes, clusters.to_vec(), |service| service)
}

#[tokio::test]
async fn the_method_decides() {
    for wire in wire::ALL {
        let (one, other) = (Backend::bind(wire).await, Backend::bind(wire).await);
        let special =
            Route::new("special", RouteAction::cluster("other")).with_match(AttributeMatch::exact("method", "special"));
        let routes = RouteConfig::new("table", [special, Route::new("rest", RouteAction::cluster("one"))]);
        let fixture = two(wire, routes, &one, &other);
        let mut client = fixture.client().await;
        for (id, method, backend) in [(1, "special", &other), (2, "plain", &one)] {
            client.call(id, method).await;
            let mut server = backend.accept().await;
            let request = server.message().await;
            assert_eq!(request.attr("method"), Some(method.as_bytes()), "{}", wire.name);
            server.answer(&request).await;
            assert_eq!(client.message().await.id().number(), id);
        }
    }
}

/// Item 6.
#[tokio::test]
async fn weights_are_kept() {
    const REQUESTS: u64 = 400;
    for wire in wire::ALL {
        let (one, other) = (Backend::bind(wire).await, Backend::bind(wire).await);
        let action = RouteAction::weighted([("one", 80), ("other", 20)]);
        let fixture = two(wire, RouteConfig::new("table", [Route::new("shared", action)]), &one, &other);
        let (_one, _other) = (one.echo(), other.echo());
        let mut client = fixture.client().await;
        for id in 0..REQUESTS {
            client.call(id, "hello").await;
            assert_eq!(client.message().await.id().number(), id);
        }
        let samples = fixture.proxy.stats().samples();
        let Some(Value::Counter(taken)) = samples.get("cluster.other.upstream_rq_total") else {
            panic!("{}", samples.to_text());
        };
        // six standard deviations of a share of 20 % around its mean of 80
        assert!((32..=128).contains(&taken), "{}: {taken} of {REQUESTS}", wire.name);
    }
}

/// Item 7.
#[tokio::test]
async fn a_swap_leaves_requests_in_flight_alone() {
    for wire in wire::ALL {
        let (one, other) = (Backend::bind(wire).await, Backend::bind(wire).await);
        let fixture = two(wire, all_to("one"), &one, &other);
        let mut client = fixture.client().await;
        client.call(1, "hello").await;
        let mut server = one.accept().await;
        let request = server.message().await;
        fixture.rules.swap(Rules::compile(&all_to("other")).expect("good routes"));
        server.answer(&request).await;
        assert_eq!(client.message().await.id().number(), 1);

        client.call(2, "hello").await;
        let mut next = other.accept().await;
        let request = next.message().await;
        next.answer(&request).await;
        assert_eq!(client.message().await.id().number(), 2, "{}", wire.name);

        let bad = RouteConfig::new("bad", [Route::new("none", RouteAction::weighted([("one", 0)]))]);
        let error = Rules::compile(&bad).expect_err("weights of 0");
        assert!(error.to_string().contains("weights sum up to 0"), "{error}");
        client.call(3, "hello").await;
        let request = next.message().await;
        next.answer(&request).await;
        assert_eq!(client.message().await.id().number(), 3, "the last good routes stay in force");
    }
}

/// Item 7.
#[tokio::test]
async fn without_a_table_there_is_no_route() {
    for wire in wire::ALL {
        let listener = Listener::new(
            "in",
            ANY.parse().expect("an address"),
            ProtocolConfig::new(wire.name),
            RouteSource::Dynamic(
                RouteSubscription::new("table", "control").with_initial_fetch_timeout(Duration::from_millis(1)),
            ),
        );
        let config = config::Proxy::default().with_cluster(Cluster::new("control")).with_listener(listener);
        let proxy = Proxy::new(config, &Registry::builtin()).expect("a good configuration");
        let (subscription, rules) = proxy.subscriptions().next().expect("one table");
        assert_eq!(subscription.route_config_name, "table");
        let rules = Arc::clone(rules);
        let running = proxy.start_here().expect("a free port");
        let mut client = Peer::connect(running.address("in").expect("the listener"), wire).await;
        for (id, reason) in [(1, "route_not_found"), (2, "no_healthy_upstream")] {
            client.call(id, "hello").await;
            let answer = client.message().await;
            assert_eq!(answer.id().number(), id, "{}", wire.name);
            let name = format!("meta_protocol.{}.in.local_reply.{reason}", wire.name);
            let count = running.stats().samples().get(&name);
            assert_eq!(count, Some(Value::Counter(1)), "{name}");
            rules.swap(Rules::compile(&all_to("control")).expect("good routes"));
        }
    }
}

#[tokio::test]
async fn a_listener_takes_no_connections_before_its_table_has_come() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await.echo();
        let listener = Listener::new(
            "in",
            ANY.parse().expect("an address"),
            ProtocolConfig::new(wire.name),
            RouteSource::dynamic("table", "one"),
        );
        let config =
            config::Proxy::default().with_cluster(Cluster::new("one").with_endpoint(backend)).with_listener(listener);
        let proxy = Proxy::new(config, &Registry::builtin()).expect("a good configuration");
        let rules = Arc::clone(proxy.subscriptions().next().expect("one table").1);
        let running = proxy.start_here().expect("a free port");
        let mut client = Peer::connect(running.address("in").expect("the listener"), wire).await;
        client.call(1, "hello").await;
        assert!(timeout(Duration::from_millis(100), running.warmed()).await.is_err(), "it waits");
        let taken = || running.stats().samples().get("listener.in.downstream_cx_total");
        assert_eq!(taken(), Some(Value::Counter(0)), "{}", wire.name);
        rules.swap(Rules::compile(&all_to("one")).expect("good routes"));
        running.warmed().await;
        assert_eq!(client.message().await.kind(), Kind::Response, "{}", wire.name);
        assert_eq!(taken(), Some(Value::Counter(1)), "{}", wire.name);
    }
}

#[tokio::test]
async fn attachments_change_on_both_ways() {
    let backend = Backend::bind(DUBBO).await;
    let route = Route::new("all", RouteAction::cluster("one"))
        .with_request_mutation(MutationEntry::set("colour", "green"))
        .with_request_mutation(MutationEntry::remove("group"))
        .with_response_mutation(MutationEntry::set("served", "yes"));
    let cluster = Cluster::new("one").with_endpoint(backend.address());
    let fixture = Fixture::with(DUBBO, RouteConfig::new("table", [route]), vec![cluster], |service| service);
    let mut client = fixture.client().await;
    client.call(1, "hello").await;
    let mut server = backend.accept().await;
    let request = server.message().await;
    assert_eq!((request.attr("colour"), request.attr("group")), (Some(&b"green"[..]), None));
    server.answer(&request).await;
    let answer = client.message().await;
    assert_eq!((answer.kind(), answer.attr("served")), (Kind::Response, Some(&b"yes"[..])));
}

#[tokio::test]
async fn what_cannot_be_changed_passes_and_is_counted() {
    let backend = Backend::bind(THRIFT).await;
    let route =
        Route::new("all", RouteAction::cluster("one")).with_request_mutation(MutationEntry::set("colour", "green"));
    let cluster = Cluster::new("one").with_endpoint(backend.address());
    let fixture = Fixture::with(THRIFT, RouteConfig::new("table", [route]), vec![cluster], |service| service);
    let mut client = fixture.client().await;
    served(&mut client, &backend, 1, "hello").await;
    assert_eq!(fixture.count("mutation_skipped"), 1);
}

#[tokio::test]
async fn bad_configurations_are_refused_in_one_line() {
    let taken = std::net::TcpListener::bind(ANY).expect("a free port");
    let address = taken.local_addr().expect("bound");
    let start_with = |protocol: ProtocolConfig, cluster: &str, address| {
        let routes = RouteSource::Inline(all_to(cluster));
        let listener = Listener::new("in", address, protocol, routes);
        let config = config::Proxy::default().with_cluster(Cluster::new("one")).with_listener(listener);
        match Proxy::new(config, &Registry::builtin()).and_then(Proxy::start_here) {
            Ok(_) => panic!("{cluster} {address}"),
            Err(error) => error.to_string(),
        }
    };
    let start = |protocol: &str, cluster: &str, address| start_with(ProtocolConfig::new(protocol), cluster, address);
    assert_eq!(
        start("telnet", "one", address),
        "listener \"in\": filterChains[0].filter.metaProtocolProxy.protocol.codec: there is no codec \"telnet\"; known are: \
         aeraki.meta_protocol.codec.dubbo, \
         aeraki.meta_protocol.codec.thrift, dubbo, thrift"
    );
    let place = "listener \"in\": filterChains[0].filter.metaProtocolProxy.protocol";
    for (name, value, reason) in
        [("coarse", "true", "there is no such option"), ("coarse_statuses", "1", "the value must be true or false")]
    {
        let protocol = ProtocolConfig::new("dubbo").with_option("reject_mismatch", "true").with_option(name, value);
        let expected = format!("{place}.options[{name:?}]: codec \"dubbo\": {reason}");
        assert_eq!(start_with(protocol, "one", address), expected);
    }
    assert_eq!(
        start("dubbo", "none", address),
        "listener \"in\": filterChains[0].filter.metaProtocolProxy.routes.inline.routes[0] \"all\".action: there is no cluster \"none\""
    );
    let listener = Listener::new("in", address, ProtocolConfig::new("dubbo"), RouteSource::Inline(all_to("one")));
    let config = config::Proxy::default().with_cluster(Cluster::new("one")).with_listener(listener);
    let on_threads = Proxy::new(config, &Registry::builtin()).and_then(|proxy| proxy.start(2));
    let in_use = start("dubbo", "one", address);
    assert_eq!(on_threads.expect_err("in use").to_string(), in_use, "and no panic of a runtime dropped in a runtime");
    assert!(in_use.starts_with(&format!("listener \"in\": address: cannot listen on {address}: ")), "{in_use}");
    assert!(!in_use.contains('\n'));
}

#[tokio::test]
async fn clusters_that_are_updated_at_once_stay_updated() {
    for _ in 0..20 {
        let backend = Backend::bind(DUBBO).await;
        let listener = Listener::new(
            "in",
            ANY.parse().expect("an address"),
            ProtocolConfig::new("dubbo"),
            RouteSource::Inline(all_to("one")),
        );
        let config = config::Proxy::default().with_cluster(Cluster::new("one")).with_listener(listener);
        let proxy = Proxy::new(config, &Registry::builtin()).expect("good").start(1).expect("a free port");
        proxy.update_clusters(&[Cluster::new("one").with_endpoint(backend.address())]).expect("a good cluster");
        let mut client = Peer::connect(proxy.address("in").expect("the listener"), DUBBO).await;
        served(&mut client, &backend, 1, "hello").await;
    }
}

#[tokio::test]
async fn tables_that_ask_for_what_cannot_be_done_are_refused_and_the_last_one_stays() {
    let backend = Backend::bind(DUBBO).await;
    let fixture = Fixture::to(DUBBO, backend.address());
    let descriptor = Descriptor::new([DescriptorEntry::new("m", "method")]);
    let limit = GlobalRateLimit::new("shop", "nobody", [descriptor]);
    let limited = Route::new("limited", RouteAction::cluster("one")).with_global_rate_limit(limit);
    let refused = fixture.rules.update(&RouteConfig::new("table", [limited])).expect_err("nobody to ask").to_string();
    assert_eq!(
        refused,
        "route configuration \"table\": routes[0] \"limited\".globalRateLimit.cluster: \
         there is no rate limit service \"nobody\": no such cluster, or none with endpoints in plain text"
    );
    let mut client = fixture.client().await;
    served(&mut client, &backend, 1, "hello").await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_does_not_slip_through_a_policy() {
    let backend = Backend::bind(DUBBO).await;
    let rule = AuthorizationRule::default()
        .with_operation(Operation::default().with_attribute("method", Patterns::of(["drop"])));
    let policy = AuthorizationPolicy::new("p", AuthorizationAction::Deny).with_rule(rule);
    let route = Route::new("all", RouteAction::cluster("one")).with_authorization(policy);
    let cluster = Cluster::new("one").with_endpoint(backend.address());
    let fixture = Fixture::with(DUBBO, RouteConfig::new("table", [route]), vec![cluster], |service| service);
    let mut client = fixture.client().await;
    let mut call = (DUBBO.request)(1, "drop");
    // the number of the serialization: fastjson instead of Hessian2
    call[2] = 0xc6;
    client.send(&call).await;
    assert!(client.next().await.is_none(), "no answer can be written in this serialization");
    assert_eq!(fixture.count("authorization_denied"), 1);
    let mut client = fixture.client().await;
    let request = served(&mut client, &backend, 2, "hello").await;
    assert_eq!(request.attr("method"), Some(&b"hello"[..]));
}

/// A call of Dubbo 2.0.2 from the path on.
fn dubbo_call(id: u8, path: &str, tail: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    let body = [text("2.0.2"), text(path), text("0.0.0"), text("hello"), tail.to_vec()].concat();
    let len = u8::try_from(body.len()).expect("short");
    [&b"\xda\xbb\xc2\0\0\0\0\0\0\0\0"[..], &[id, 0, 0, 0, len], &body].concat()
}

#[tokio::test]
async fn a_service_that_only_java_would_find_does_not_slip_through_a_policy() {
    let backend = Backend::bind(DUBBO).await;
    let rule = AuthorizationRule::default()
        .with_operation(Operation::default().with_attribute("interface", Patterns::of(["b.Secret"])));
    let policy = AuthorizationPolicy::new("p", AuthorizationAction::Deny).with_rule(rule);
    let route = Route::new("all", RouteAction::cluster("one")).with_authorization(policy);
    let cluster = Cluster::new("one").with_endpoint(backend.address());
    let fixture = Fixture::with(DUBBO, RouteConfig::new("table", [route]), vec![cluster], |service| service);
    let mut client = fixture.client().await;
    // two arguments to Java, and one to who takes the descriptor at its word
    let divided = b"\x13L1[ILjava/util/Map;NH\x04path\x06a.OpenZH\x04path\x08b.SecretZ";
    // to Java the integer is the descriptor, and null the attachments
    let shifted = b"\x90NH\x04path\x06a.OpenZ";
    for call in [dubbo_call(1, "a.Open", divided), dubbo_call(2, "b.Secret", shifted)] {
        client.send(&call).await;
        assert_eq!(client.message().await.kind(), Kind::Error);
    }
    assert_eq!(fixture.count("local_reply.bad_request"), 2);
    client.send(&dubbo_call(3, "a.Open", b"\0H\x04path\x06a.OpenZ")).await;
    let request = backend.accept().await.message().await;
    assert_eq!(request.attr("interface"), Some(&b"a.Open"[..]));
}

/// A call with the attachment `timeout` instead of `group`.
fn call_that_says(id: u64, value: [u8; 3]) -> Vec<u8> {
    let mut call = (DUBBO.request)(id, "hello");
    let at = call.windows(11).position(|window| window == b"\x05group\x04blue").expect("the attachment");
    call.splice(at..at + 11, [&b"\x07timeout"[..], &value].concat());
    call
}

#[tokio::test]
async fn a_caller_that_gives_up_soon_gets_its_timeout_soon() {
    let action = RouteAction::cluster("one").with_caller_timeout("_TO").with_caller_timeout("timeout");
    // the text "50", the int 50, the text "-5"
    for (value, invalid) in [(*b"\x0250", 0), (*b"\xd4\0\x32", 0), (*b"\x02-5", 1)] {
        let backend = Backend::bind(DUBBO).await;
        let cluster = Cluster::new("one").with_endpoint(backend.address());
        let routes = RouteConfig::new("table", [Route::new("all", action.clone())]);
        let fixture = Fixture::with(DUBBO, routes, vec![cluster], |service| service);
        let mut client = fixture.client().await;
        client.send(&call_that_says(1, value)).await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        let told =
            request.attr("timeout").map(|value| String::from_utf8_lossy(value).parse::<i32>().expect("a number"));
        assert_eq!(fixture.count("caller_timeout_invalid"), invalid);
        if invalid > 0 {
            assert_eq!(told, Some(-5), "passed on as it came");
            continue;
        }
        assert!(told.is_some_and(|told| (1..=50).contains(&told)), "{told:?}");
        let answer = client.message().await;
        assert_eq!((answer.id().number(), answer.status().code()), (1, 31), "the server has not answered");
        // a late answer is nobody's
        server.answer(&request).await;
        client.call(2, "hello").await;
        let request = server.message().await;
        server.answer(&request).await;
        let answer = client.message().await;
        assert_eq!((answer.id().number(), answer.kind()), (2, Kind::Response));
        let late = fixture.proxy.stats().samples().get("cluster.one.upstream_rs_late");
        assert!(matches!(late, Some(Value::Counter(1))), "{late:?}");
    }
}

#[tokio::test]
async fn a_limit_that_routes_share_is_one_and_counts_under_its_own_prefix() {
    let backend = Backend::bind(DUBBO).await;
    let limit = LocalRateLimit::new("shared").with_bucket(TokenBucket::new(2, 1, Duration::from_secs(3600)));
    let route = |method: &str| {
        Route::new(method, RouteAction::cluster("one"))
            .with_match(AttributeMatch::exact("method", method))
            .with_local_rate_limit(limit.clone())
    };
    let cluster = Cluster::new("one").with_endpoint(backend.address());
    let routes = RouteConfig::new("table", [route("a"), route("b")]);
    let fixture = Fixture::with(DUBBO, routes.clone(), vec![cluster], |service| service);
    let _backend = backend.echo();
    let mut client = fixture.client().await;
    let mut statuses = Vec::new();
    for (id, method) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
        client.call(id, method).await;
        statuses.push(client.message().await.status().code());
        if id == 3 {
            fixture.rules.update(&routes).expect("the same table");
        }
    }
    assert_eq!(statuses, [20, 20, 100, 100]);
    let samples = fixture.proxy.stats().samples();
    let count = |name: &str| samples.get(&format!("meta_protocol.shared.local_rate_limit.{name}"));
    assert_eq!((count("ok"), count("rate_limited")), (Some(Value::Counter(2)), Some(Value::Counter(2))));
}
