//! The proxy of the private protocol: express parcels go one way, all others another.

use std::{net::SocketAddr, sync::Arc};

use aeraki_core::{
    codec::Registry,
    proxy::{Proxy, Running},
    route::config::{
        self, AttributeMatch, Cluster, ConfigError, Listener, ProtocolConfig, Route, RouteAction, RouteConfig,
        RouteSource,
    },
};

use crate::courier::Courier;

pub(crate) fn start(listen: SocketAddr, express: SocketAddr, standard: SocketAddr) -> Result<Running, ConfigError> {
    let fast = Route::new("fast", RouteAction::cluster("express")).with_match(AttributeMatch::prefix("parcel", "x-"));
    let rest = Route::new("rest", RouteAction::cluster("standard"));
    let routes = RouteSource::Inline(RouteConfig::new("parcels", [fast, rest]));
    let config = config::Proxy::default()
        .with_listener(Listener::new("in", listen, ProtocolConfig::new("courier"), routes))
        .with_cluster(Cluster::new("express").with_endpoint(express))
        .with_cluster(Cluster::new("standard").with_endpoint(standard));
    let mut registry = Registry::new();
    registry.register("courier", Arc::new(Courier));
    Proxy::new(config, &registry)?.start_here()
}
