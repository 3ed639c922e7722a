//! What is known of a connection that is passed on, and what is counted of all of them.

use std::{fmt, sync::Arc};

use aeraki_codec::Reason;
use aeraki_route::config::SocketAddress;
use tokio::time::Instant;

use crate::{
    observe::{Collect, Samples, numbers},
    server::Accepted,
};

numbers! {
    /// The numbers of one TCP proxy and worker; shown as `tcp.<stat_prefix>.<field>`.
    ///
    /// Names are Envoy's where Envoy has them.
    pub struct Counters {
        counters: {
            /// Connections of clients.
            downstream_cx_total,
            /// Connections of clients for which the cluster is not there.
            downstream_cx_no_route,
            /// Bytes that were read from clients.
            downstream_cx_rx_bytes_total,
            /// Bytes that were written to clients.
            downstream_cx_tx_bytes_total,
            /// Connections that were closed because nothing passed.
            idle_timeout,
            /// Connections that were closed because they had lived for as long as they may.
            max_downstream_connection_duration,
        }
        gauges: {
            /// Connections of clients that are open.
            downstream_cx_active,
        }
    }
}

/// Counts what happens on the connections that one proxy passes on.
#[derive(Debug)]
pub struct TcpStats {
    stat_prefix: String,
    /// The plain numbers.
    pub counters: Counters,
}

impl TcpStats {
    /// Makes the counters; `stat_prefix` becomes part of their names.
    #[must_use]
    pub fn new(stat_prefix: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { stat_prefix: stat_prefix.into(), counters: Counters::default() })
    }
}

impl Collect for TcpStats {
    fn collect(&self, samples: &mut Samples) {
        self.counters.collect(&mut samples.scope("tcp", &[("stat_prefix", &self.stat_prefix)]));
    }
}

/// What is known of one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// When it was handed to the proxy.
    pub started: Instant,
    /// The client, and what is known of its connection.
    pub client: Accepted,
    /// Name of the cluster that was chosen.
    pub cluster: Option<Arc<str>>,
    /// Address of the endpoint that it was passed on to.
    pub endpoint: Option<SocketAddress>,
    /// Bytes that were read from the client.
    pub rx_bytes: u64,
    /// Bytes that were written to the client.
    pub tx_bytes: u64,
    /// How it ended.
    pub end: End,
}

/// How a connection that is passed on ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Both sides had finished writing.
    Finished,
    /// There was nobody to pass it on to: the cluster is not there, has no endpoint or no room, or none could be
    /// reached.
    Unmade(Reason),
    /// Nothing passed for too long.
    Idle,
    /// It had lived for as long as it may.
    MaxDuration,
    /// The time to drain was up.
    Cut,
    /// The client's connection failed.
    Client,
    /// The endpoint's connection failed.
    Server,
}

/// Gets the record of every connection that has ended.
pub(super) type Observer = Arc<dyn Fn(&Record) + Send + Sync>;

/// Keeps the record of one connection open; it is closed when this is dropped.
pub(super) struct Recording {
    pub(super) record: Record,
    pub(super) stats: Arc<TcpStats>,
    observer: Option<Observer>,
}

impl Recording {
    pub(super) fn begin(accepted: Accepted, stats: Arc<TcpStats>, observer: Option<Observer>) -> Self {
        stats.counters.downstream_cx_total.inc();
        stats.counters.downstream_cx_active.inc();
        let (cluster, endpoint, rx_bytes, tx_bytes) = Default::default();
        let (started, end) = (Instant::now(), End::Cut);
        let record = Record { started, client: accepted, cluster, endpoint, rx_bytes, tx_bytes, end };
        Self { record, stats, observer }
    }

    /// Counts what was read from the client and written to it until now.
    pub(super) fn count(&mut self, rx_bytes: u64, tx_bytes: u64) {
        let Record { rx_bytes: received, tx_bytes: sent, .. } = &mut self.record;
        self.stats.counters.downstream_cx_rx_bytes_total.add(rx_bytes - *received);
        self.stats.counters.downstream_cx_tx_bytes_total.add(tx_bytes - *sent);
        (*received, *sent) = (rx_bytes, tx_bytes);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let counters = &self.stats.counters;
        counters.downstream_cx_active.dec();
        match self.record.end {
            End::Idle => counters.idle_timeout.inc(),
            End::MaxDuration => counters.max_downstream_connection_duration.inc(),
            End::Unmade(Reason::ClusterNotFound) => counters.downstream_cx_no_route.inc(),
            _ => {}
        }
        let record = &self.record;
        tracing::debug!(?record, "a connection that was passed on has ended");
        if let Some(observer) = &self.observer {
            observer(record);
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}
