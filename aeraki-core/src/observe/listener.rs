//! What is counted of the connections of a listener, whatever serves them.

use std::sync::{Arc, OnceLock};

use super::{Collect, Samples, SslStats, counter::numbers};

numbers! {
    /// The numbers of one listener and worker; shown as `listener.<name>.<field>`.
    ///
    /// Names are Envoy's where Envoy has them.
    pub struct Connections {
        counters: {
            /// Connections that were accepted.
            downstream_cx_total,
            /// Connections that could not be accepted.
            downstream_cx_error,
            /// Connections that were open when the listener began to drain.
            downstream_cx_drain_close,
            /// Connections that were closed because the process had as many as it may.
            downstream_global_cx_overflow,
            /// Connections that were closed because no filter chain matches them.
            no_filter_chain_match,
            /// Connections whose first bytes, on which the choice of the filter chain depends, did not come in time.
            downstream_pre_cx_timeout,
            /// Connections that ended before their first bytes told enough.
            downstream_listener_filter_remote_close,
            /// Connections that failed before their first bytes told enough.
            downstream_listener_filter_error,
            /// Connections whose load balancer said who the client is.
            proxy_protocol_found,
            /// Connections that were expected to begin with a header of the PROXY protocol, and did not.
            proxy_protocol_missing,
            /// Connections that were closed for want of a header of the PROXY protocol that can be read.
            proxy_protocol_error,
        }
        gauges: {
            /// Connections that are open.
            downstream_cx_active,
        }
    }
}

/// Counts what happens on one listener of one worker before its connections are served.
#[derive(Debug)]
pub struct ListenerStats {
    name: String,
    /// The plain numbers.
    pub connections: Connections,
    ssl: OnceLock<Arc<SslStats>>,
}

impl ListenerStats {
    /// Makes the counters of the listener `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), connections: Connections::default(), ssl: OnceLock::new() })
    }

    /// Returns what is counted of TLS, which is shown from now on.
    #[must_use]
    pub fn ssl(&self) -> &Arc<SslStats> {
        self.ssl.get_or_init(Arc::default)
    }
}

impl Collect for ListenerStats {
    fn collect(&self, samples: &mut Samples) {
        let mut scope = samples.scope("listener", &[("name", &self.name)]);
        self.connections.collect(&mut scope);
        if let Some(ssl) = self.ssl.get() {
            ssl.collect(&mut scope);
        }
    }
}
