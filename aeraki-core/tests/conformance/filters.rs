//! Filters of listeners: those of embedders, and what the built-in ones do in a whole proxy.

use std::sync::Arc;

use aeraki_core::{
    codec::{Demand, Kind, LocalReply, Message, Reason, Registry},
    proxy::Proxy,
    route::config::{
        self, Cluster, Filter, FilterConfig, Listener, MetaProtocolProxy, ProtocolConfig, RequestIds, RouteSource, Shed,
    },
    stack::{Admission, Filters, Gate, REQUEST_ID, Request},
};

use crate::{
    support::{ANY, Backend, Fixture, all_to, served},
    wire::{self, DUBBO, Wire, dubbo_request},
};

const NAME: &str = "acme.filters.closed";
const TYPE_URL: &str = "type.googleapis.com/acme.Closed";

/// Refuses calls of one method.
#[derive(Debug)]
struct Closed(String);

impl Gate for Closed {
    fn admit(&self, request: &mut Request) -> Admission {
        match request.message.attr("method") {
            Some(method) if method == self.0.as_bytes() => {
                Admission::Refuse(LocalReply::new(Reason::Denied, format!("{} is closed", self.0)))
            }
            _ => Admission::Pass,
        }
    }
}

/// Knows that filter, which looks at the method.
fn filters() -> Filters {
    Filters::new().with_own(NAME, TYPE_URL, Demand::of(["method"]), |config| {
        let method = std::str::from_utf8(config).ok().filter(|method| !method.is_empty());
        let method = method.ok_or_else(|| format!("{config:?} is no name of a method"))?;
        Ok(Arc::new(Closed(method.to_owned())))
    })
}

fn closed(method: &[u8]) -> Filter {
    Filter::new(NAME, FilterConfig::Custom(method.to_vec())).with_type_url(TYPE_URL)
}

/// A listener that sends everything to the cluster `one`: its routes look at no attribute.
fn listening(wire: Wire, filter: Filter) -> config::Proxy {
    let service = MetaProtocolProxy::new("in", ProtocolConfig::new(wire.name), RouteSource::Inline(all_to("one")));
    let listener = Listener::of("in", ANY.parse().expect("an address"), service.with_filter(filter));
    config::Proxy::default().with_listener(listener)
}

fn says(message: &Message, text: &str) -> bool {
    message.frame().windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_filter_of_ones_own_refuses_by_what_it_alone_looks_at() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let one = Cluster::new("one").with_endpoint(backend.address());
        let fixture = Fixture::with_filters(wire, listening(wire, closed(b"drop")).with_cluster(one), &filters());
        let mut client = fixture.client().await;
        client.call(1, "drop").await;
        let refused = client.message().await;
        assert_eq!((refused.id().number(), refused.kind()), (1, Kind::Error), "{}", wire.name);
        assert!(says(&refused, "drop is closed"), "{refused:?}");
        assert_eq!((fixture.count("local_reply.denied"), fixture.cluster("upstream_rq_total")), (1, 0));
        let request = served(&mut client, &backend, 2, "hello").await;
        assert_eq!(request.attr("method"), Some(&b"hello"[..]), "{}", wire.name);
    }
}

#[tokio::test]
async fn servers_see_an_id_in_every_request() {
    for (replace, brought, kept) in [
        (false, &[("group", "blue")][..], false),
        (false, &[(REQUEST_ID, "mine")], true),
        (true, &[(REQUEST_ID, "mine")], false),
    ] {
        let backend = Backend::bind(DUBBO).await;
        let one = Cluster::new("one").with_endpoint(backend.address());
        let ids = FilterConfig::RequestIds(RequestIds::default().with_replace(replace));
        let fixture = Fixture::of(DUBBO, listening(DUBBO, Filter::new("ids", ids)).with_cluster(one));
        let mut client = fixture.client().await;
        client.send(dubbo_request(1, "hello", brought)).await;
        let request = backend.accept().await.message().await;
        let id = String::from_utf8_lossy(request.attr(REQUEST_ID).expect("one id")).into_owned();
        assert_eq!(id == "mine", kept, "{brought:?}: {id}");
        assert!(kept || (id.len(), id.as_bytes()[14]) == (36, b'4'), "a UUID that is not traced: {id}");
    }
}

#[tokio::test]
async fn load_beyond_the_bound_is_shed_at_once() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let one = Cluster::new("one").with_endpoint(backend.address());
        let filter = Filter::new("shed", FilterConfig::Shed(Shed::at(1)));
        let fixture = Fixture::of(wire, listening(wire, filter).with_cluster(one));
        let (mut first, mut second) = (fixture.client().await, fixture.client().await);
        first.call(1, "hello").await;
        let mut server = backend.accept().await;
        let under_way = server.message().await;
        second.call(2, "hello").await;
        let refused = second.message().await;
        assert_eq!((refused.id().number(), refused.kind()), (2, Kind::Error), "{}", wire.name);
        assert!(says(&refused, "the proxy has too many requests under way"), "{refused:?}");
        assert_eq!((fixture.count("shed"), fixture.count("local_reply.shed")), (1, 1), "{}", wire.name);

        server.answer(&under_way).await;
        assert_eq!(first.message().await.kind(), Kind::Response);
        second.call(3, "hello").await;
        let next = server.message().await;
        server.answer(&next).await;
        assert_eq!(second.message().await.kind(), Kind::Response, "there is room again");
        assert_eq!((fixture.count("shed"), fixture.cluster("upstream_rq_total")), (1, 2), "{}", wire.name);
    }
}

#[test]
fn a_filter_of_ones_own_that_cannot_be_made_is_refused_by_its_place_and_name() {
    let custom = |name: &str| Filter::new(name, FilterConfig::Custom(b"drop".to_vec()));
    for (filter, fault) in [
        (custom("acme.filters.other"), r#""acme.filters.other": no filter is registered under this name"#.to_owned()),
        (
            custom(NAME).with_type_url("type.googleapis.com/acme.Other"),
            format!(r#"{NAME:?}.typeUrl: must be {TYPE_URL:?}, not "type.googleapis.com/acme.Other""#),
        ),
        (closed(b""), format!("{NAME:?}.config: [] is no name of a method")),
    ] {
        let config = listening(DUBBO, filter).with_cluster(Cluster::new("one"));
        let error = Proxy::with_filters(config, &Registry::builtin(), &filters()).map(drop).expect_err("refused");
        let place = r#"listener "in": filterChains[0].filter.metaProtocolProxy.filters[0]"#;
        assert_eq!(error.to_string(), format!("{place} {fault}"));
    }
}
