//! Filters of a listener, as a bootstrap has them.

use aeraki_route::config::{Filter, NetworkFilter};
use aeraki_xds::bootstrap::Bootstrap;
use anyhow::{Context, Result, ensure};

/// Reads `meta_protocol_filters` of a listener.
///
/// # Errors
/// What is wrong with them, or has no effect.
pub(super) fn read(yaml: &str) -> Result<Vec<Filter>> {
    let indented = yaml.lines().map(|line| format!("          {line}\n"));
    let bootstrap = Bootstrap::from_yaml(&indented.fold(LISTENER.to_owned(), |text, line| text + &line))?;
    ensure!(bootstrap.warnings.is_empty(), "{:?}", bootstrap.warnings);
    let chain = bootstrap.proxy.listeners.into_iter().flat_map(|listener| listener.filter_chains).next();
    match chain.context("the listener has no filter chain")?.filter {
        NetworkFilter::MetaProtocolProxy(service) => Ok(service.filters),
        other => anyhow::bail!("{other:?} has no filters"),
    }
}

/// The listener around them; the one that they are put into takes the filters alone.
const LISTENER: &str = "
static_resources:
  clusters:
  - name: any
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 20880}}
    traffic_direction: OUTBOUND
    filter_chains:
    - filters:
      - name: aeraki.meta_protocol_proxy
        typed_config:
          '@type': type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy
          stat_prefix: in
          protocol: {name: dubbo, codec: {name: aeraki.meta_protocol.codec.dubbo}}
          route_config: {routes: [{route: {cluster: any}}]}
";
