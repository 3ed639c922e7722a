//! Filters of listeners: those of embedders, and what the built-in ones do in a whole proxy.

use std::sync::Arc;

use aeraki_core::{
    codec::{Demand, Kind, LocalReply, Reason, Registry},
    proxy::Proxy,
    route::config::{self, Cluster, Filter, FilterConfig, Listener, MetaProtocolProxy, ProtocolConfig, RouteSource},
    stack::{Admission, Filters, Gate, Request},
};

use crate::{
    support::{ANY, Backend, Fixture, all_to, served},
    wire::{self, Wire},
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
        let text = b"drop is closed";
        assert!(refused.frame().windows(text.len()).any(|part| part == text), "{refused:?}");
        assert_eq!((fixture.count("local_reply.denied"), fixture.cluster("upstream_rq_total")), (1, 0));
        let request = served(&mut client, &backend, 2, "hello").await;
        assert_eq!(request.attr("method"), Some(&b"hello"[..]), "{}", wire.name);
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
        let config = listening(wire::DUBBO, filter).with_cluster(Cluster::new("one"));
        let error = Proxy::with_filters(config, &Registry::builtin(), &filters()).map(drop).expect_err("refused");
        let place = r#"listener "in": filterChains[0].filter.metaProtocolProxy.filters[0]"#;
        assert_eq!(error.to_string(), format!("{place} {fault}"));
    }
}
