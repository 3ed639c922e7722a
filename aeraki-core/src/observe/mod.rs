//! What is known of requests: one record each, counted once; and the numbers that are shown of all of them.
//!
//! The same numbers go by two names:
//!
//! | `/stats` | `/stats/prometheus` |
//! |---|---|
//! | `meta_protocol.<protocol>.<stat_prefix>.<counter>` | `meta_protocol_<counter>_total{protocol, stat_prefix}` |
//! | `….request_active`, `….stream_active`, `….downstream_cx_active` | `meta_protocol_request_active{protocol, stat_prefix}`, … |
//! | `….request_time_ms`, `….stream_time_ms` | `meta_protocol_request_time_ms_bucket{le, protocol, stat_prefix}`, `…_sum`, `…_count` |
//! | `….local_reply.<reason>` | `meta_protocol_local_reply_total{protocol, stat_prefix, reason}` |
//! | `….decode_error.<kind>` | `meta_protocol_decode_error_total{protocol, stat_prefix, kind}` |
//! | `listener.<name>.<counter>` | `listener_<counter>_total{name}` |
//! | `tcp.<stat_prefix>.<counter>` | `tcp_<counter>_total{stat_prefix}` |
//! | `cluster.<name>.<counter>` | `cluster_<counter>_total{name}` |
//!
//! The counters of a service for requests are the fields of [`Counters`], those of a listener the fields of
//! [`Connections`], those of connections that are passed on the fields of [`tcp::Counters`](crate::tcp::Counters),
//! those of a cluster the fields of [`ClusterStats`](crate::upstream::ClusterStats). An embedder's own numbers join by
//! [`Collect`].

mod counter;
mod facts;
mod histogram;
mod listener;
mod metrics;
mod recording;
mod ssl;
mod stats;
mod text;

pub(crate) use self::counter::numbers;
pub use self::{
    counter::{Counter, Entered, Gauge},
    facts::{Facts, Record, Traffic},
    histogram::{Distribution, Histogram},
    listener::{Connections, ListenerStats},
    metrics::{Counters, Metrics},
    recording::Recording,
    ssl::SslStats,
    stats::{Collect, Samples, Scope, Stats, Value},
};
