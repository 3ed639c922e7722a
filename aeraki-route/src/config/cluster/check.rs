//! What a cluster must not be.

use std::collections::{HashMap, hash_map::Entry};

use super::{Cluster, Discovery};
use crate::config::{
    duration,
    endpoint::{Address, Endpoint},
    error::{Checked, ensure},
    socket_address::SocketAddress,
    tls::UpstreamTlsContext,
};

impl Cluster {
    pub(super) fn check(&self) -> Checked {
        ensure(!self.name.is_empty(), "name", "must not be empty")?;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            self.check_endpoint(endpoint).map_err(|error| error.within(format!("endpoints[{index}]")))?;
        }
        let single = !matches!(self.discovery, Discovery::LogicalDns(_)) || self.endpoints.len() == 1;
        ensure(single, "endpoints", "a logical DNS cluster has exactly one endpoint")?;
        self.discovery.check().map_err(|error| error.within("discovery"))?;
        self.check_original_dst()?;
        self.check_balancing()?;
        duration::check(self.connect_timeout, "connectTimeout")?;
        ensure(self.depth != Some(0), "depth", "must not be zero")?;
        duration::check_optional(self.idle_timeout, "idleTimeout")?;
        duration::check_optional(self.heartbeat_interval, "heartbeatInterval")?;
        self.limits.check().map_err(|error| error.within("limits"))?;
        self.preconnect.check().map_err(|error| error.within("preconnect"))?;
        let nobodys = self.proxy_protocol.is_none() || self.preconnect.spare_connections == 0;
        ensure(nobodys, "preconnect.spareConnections", "must be 0 where servers are told whose a connection is")?;
        if let Some(check) = &self.health_check {
            check.check().map_err(|error| error.within("healthCheck"))?;
        }
        if let Some(detection) = &self.outlier_detection {
            detection.check().map_err(|error| error.within("outlierDetection"))?;
        }
        if let Some(keepalive) = &self.tcp_keepalive {
            keepalive.check().map_err(|error| error.within("tcpKeepalive"))?;
        }
        self.tls.as_ref().map_or(Ok(()), |tls| self.check_tls(tls).map_err(|error| error.within("tls")))
    }

    /// There is nothing to choose from, to split or to ask before clients come.
    fn check_original_dst(&self) -> Checked {
        let is_original = matches!(self.discovery, Discovery::OriginalDst(_));
        for (field, used) in [
            ("endpoints", !self.endpoints.is_empty()),
            ("subsets", self.subsets.is_some()),
            ("healthCheck", self.health_check.is_some()),
        ] {
            ensure(
                !(is_original && used),
                field,
                "is not for a cluster whose requests go where clients meant them to go",
            )?;
        }
        Ok(())
    }

    fn check_balancing(&self) -> Checked {
        self.lb_policy.check().map_err(|error| error.within("lbPolicy"))?;
        if let Some(slow_start) = &self.slow_start {
            slow_start.check(&self.lb_policy).map_err(|error| error.within("slowStart"))?;
        }
        self.common_lb.check(&self.lb_policy).map_err(|error| error.within("commonLb"))?;
        if let Some(subsets) = &self.subsets {
            subsets.check().map_err(|error| error.within("subsets"))?;
            let weighted = self.common_lb.locality_weighted || !subsets.locality_weight_aware;
            ensure(
                weighted,
                "subsets.localityWeightAware",
                "needs localities that have weights, by locality_weighted_lb_config",
            )?;
        }
        self.check_localities()
    }

    /// Every endpoint says what its locality weighs; they must say the same.
    fn check_localities(&self) -> Checked {
        let mut weights = HashMap::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            match weights.entry((endpoint.priority, &endpoint.locality)) {
                Entry::Vacant(entry) => _ = entry.insert(endpoint.locality_weight),
                Entry::Occupied(known) => {
                    let field = format_args!("endpoints[{index}].localityWeight");
                    let reason = "differs from that of another endpoint of its locality and priority";
                    ensure(*known.get() == endpoint.locality_weight, field, reason)?;
                }
            }
        }
        Ok(())
    }

    fn check_tls(&self, tls: &UpstreamTlsContext) -> Checked {
        tls.check()?;
        for Endpoint { address, .. } in self.endpoints.iter().filter(|_| !tls.names_server()) {
            let why = match address {
                Address::Socket(SocketAddress::Ip(_)) => continue,
                Address::Socket(_) => "is nothing that a certificate could name",
                Address::Name { .. } => "is resolved before it is connected to",
            };
            ensure(false, "sni", format_args!("is required, or a matcher of names: {address} {why}"))?;
        }
        Ok(())
    }

    fn check_endpoint(&self, endpoint: &Endpoint) -> Checked {
        ensure(endpoint.weight > 0, "weight", "must not be zero")?;
        ensure(endpoint.priority <= MAX_PRIORITY, "priority", format_args!("must not exceed {MAX_PRIORITY}"))?;
        match (&endpoint.address, &self.discovery) {
            (Address::Name { host, .. }, Discovery::Static) => {
                let reason = format!("{host:?} is not an IP address, and the cluster is static; use DNS discovery");
                ensure(false, "address", reason)
            }
            (Address::Name { host, port }, _) => {
                ensure(!host.is_empty(), "address", "the host must not be empty")?;
                ensure(*port > 0, "address", format_args!("{}: 0 is not a port", endpoint.address))
            }
            (Address::Socket(address), _) => address.check_target().map_err(|error| error.within("address")),
        }
    }
}

/// The limit of `envoy.config.endpoint.v3.LocalityLbEndpoints`.
const MAX_PRIORITY: u32 = 128;
