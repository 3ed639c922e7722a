//! The service of a listener for connections whose bytes are not looked at.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    action::{Destination, RouteAction},
    duration,
    error::{Checked, ConfigError, ensure},
    meta_protocol_proxy::unknown_cluster,
    placement::{HashPolicy, HashSource},
};

/// Passes the bytes of a connection on to an endpoint, and back;
/// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct TcpProxy {
    /// Part of the name of every metric; not empty.
    pub stat_prefix: String,
    /// The cluster or clusters that take the connections.
    pub destination: Destination,
    /// What makes the hash by which clusters with the policies ring hash and Maglev choose endpoints: at most the
    /// address of the client. None: endpoints are chosen at random.
    #[serde(default)]
    pub hash_policy: Vec<HashPolicy>,
    /// Metadata of the endpoints that may take the connections, in clusters that are split into subsets by these keys.
    /// Empty: the cluster says which.
    #[serde(default)]
    pub metadata_match: BTreeMap<String, String>,
    /// How long no byte may pass either way before both connections are closed; default 1 h, none: for ever. Not zero.
    #[serde(default = "default_idle_timeout", with = "duration::optional")]
    pub idle_timeout: Option<Duration>,
    /// How long a connection may live, whatever passes; none: for ever. Not zero.
    #[serde(default, with = "duration::optional")]
    pub max_downstream_connection_duration: Option<Duration>,
    /// How many endpoints are tried before the client's connection is closed; default 1, not zero.
    #[serde(default = "default_max_connect_attempts")]
    pub max_connect_attempts: u32,
}

impl TcpProxy {
    /// Creates a service that goes by `stat_prefix` in metrics, and passes everything on to one cluster.
    pub fn new(stat_prefix: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self::to(stat_prefix, Destination::Cluster(cluster.into()))
    }

    /// Creates a service that goes by `stat_prefix` in metrics.
    pub fn to(stat_prefix: impl Into<String>, destination: Destination) -> Self {
        Self {
            stat_prefix: stat_prefix.into(),
            destination,
            hash_policy: Vec::new(),
            metadata_match: BTreeMap::new(),
            idle_timeout: default_idle_timeout(),
            max_downstream_connection_duration: None,
            max_connect_attempts: default_max_connect_attempts(),
        }
    }

    /// Has endpoints chosen by the address of the client.
    #[must_use]
    pub fn with_source_ip_hash(mut self) -> Self {
        self.hash_policy = vec![HashPolicy::source_ip()];
        self
    }

    /// Adds to the metadata of the endpoints that may take the connections.
    #[must_use]
    pub fn with_metadata_match(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata_match.insert(key.into(), value.into());
        self
    }

    /// Sets how long no byte may pass; none: for ever.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Option<Duration>) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Sets how long a connection may live.
    #[must_use]
    pub fn with_max_downstream_connection_duration(mut self, duration: Duration) -> Self {
        self.max_downstream_connection_duration = Some(duration);
        self
    }

    /// Sets how many endpoints are tried.
    #[must_use]
    pub fn with_max_connect_attempts(mut self, attempts: u32) -> Self {
        self.max_connect_attempts = attempts;
        self
    }

    /// Returns what a route would do that sends every message where the connections go.
    pub fn action(&self) -> RouteAction {
        RouteAction {
            destination: self.destination.clone(),
            hash_policy: self.hash_policy.clone(),
            metadata_match: self.metadata_match.clone(),
            ..RouteAction::default()
        }
    }

    /// Checks the service by itself; whether its clusters exist is for [`Proxy::validate`](super::Proxy::validate).
    ///
    /// # Errors
    ///
    /// The first fault: an empty name, weights without a sum, a hash of something else than the client's address, a
    /// time-out or a number of attempts that is zero.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map_err(|error| error.of("TCP proxy", &self.stat_prefix))
    }

    pub(super) fn check(&self) -> Checked {
        ensure(!self.stat_prefix.is_empty(), "statPrefix", "must not be empty")?;
        self.destination.check().map_err(|error| error.within("destination"))?;
        for (index, policy) in self.hash_policy.iter().enumerate() {
            let reason = "must be the address of the client: nothing else is known of a connection";
            ensure(policy.source == HashSource::SourceIp, format_args!("hashPolicy[{index}].source"), reason)?;
        }
        duration::check_optional(self.idle_timeout, "idleTimeout")?;
        duration::check_optional(self.max_downstream_connection_duration, "maxDownstreamConnectionDuration")?;
        ensure(self.max_connect_attempts > 0, "maxConnectAttempts", "must not be zero")
    }

    /// Names the first cluster that is meant and not there, and the field that means it.
    pub(super) fn check_clusters(&self, is_known: &dyn Fn(&str) -> bool) -> Checked {
        match self.destination.clusters().find(|cluster| !is_known(cluster)) {
            Some(cluster) => ensure(false, "destination", unknown_cluster(cluster)),
            None => Ok(()),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn default_idle_timeout() -> Option<Duration> {
    Some(Duration::from_secs(60 * 60))
}

fn default_max_connect_attempts() -> u32 {
    1
}
