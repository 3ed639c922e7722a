//! Endpoints that are known by name.

use std::{net::IpAddr, sync::Arc};

use aeraki_core::{
    codec::Registry,
    proxy::Proxy,
    route::config::{self, Address, Cluster, Discovery, Dns, Listener, MetaProtocolProxy, ProtocolConfig, RouteSource},
    stack::BoxFuture,
    upstream::{Resolved, Resolver},
};

use crate::{
    support::{ANY, Backend, Fixture, all_to, served},
    wire,
};

/// Knows one host.
#[derive(Debug)]
struct Known(&'static str, IpAddr);

impl Resolver for Known {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<std::io::Result<Resolved>> {
        let known = *host == *self.0;
        let answer = known.then(|| Resolved::new(vec![self.1])).ok_or_else(|| std::io::Error::other("no such host"));
        Box::pin(async { answer })
    }
}

#[tokio::test]
async fn a_proxy_looks_names_up_as_the_embedder_says() {
    let wire = wire::ALL[0];
    let backend = Backend::bind(wire).await;
    let address = backend.address();
    let cluster = Cluster::new("one").with_endpoint(Address::new("shop.example", address.port()));
    let cluster = cluster.with_discovery(Discovery::StrictDns(Dns::default()));
    let service = MetaProtocolProxy::new("in", ProtocolConfig::new(wire.name), RouteSource::Inline(all_to("one")));
    let listener = Listener::of("in", ANY.parse().expect("an address"), service);
    let config = config::Proxy::default().with_cluster(cluster).with_listener(listener);
    let proxy = Proxy::new(config, &Registry::builtin()).expect("a good configuration");
    let fixture = Fixture::started(wire, proxy.with_resolver(Arc::new(Known("shop.example", address.ip()))));
    served(&mut fixture.client().await, &backend, 1, "hello").await;
}
