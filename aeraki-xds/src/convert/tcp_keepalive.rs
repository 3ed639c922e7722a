//! `envoy.config.core.v3.TcpKeepalive`.

use std::time::Duration;

use aeraki_route::config::TcpKeepalive;

use crate::proto::envoy::config::core::v3 as proto;

/// Converts what is asked of the system; none where a zero turns it off.
pub(super) fn from_proto(keepalive: &proto::TcpKeepalive) -> Option<TcpKeepalive> {
    let proto::TcpKeepalive { keepalive_probes, keepalive_time, keepalive_interval } = *keepalive;
    if [keepalive_probes, keepalive_time, keepalive_interval].contains(&Some(0)) {
        return None;
    }
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let mut converted = TcpKeepalive::default();
    converted.probes = keepalive_probes;
    converted.time = keepalive_time.map(seconds);
    converted.interval = keepalive_interval.map(seconds);
    Some(converted)
}
