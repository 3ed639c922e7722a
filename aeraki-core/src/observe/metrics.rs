//! The counters of a service for requests.

use std::sync::Arc;

use aeraki_codec::{DecodeErrorKind, Kind, Outcome, Reason};
use tokio::time::Instant;

use super::{Collect, Counter, Gauge, Histogram, Record, Samples, Value, counter::numbers};

numbers! {
    /// The plain counters of a service, named as upstream's MetaProtocol proxy names them, and a few more.
    pub struct Counters {
        counters: {
            /// Requests that were read, however they ended.
            request,
            /// Requests that want an answer.
            request_twoway,
            /// Requests that want none.
            request_oneway,
            /// Heartbeats and other events from clients.
            request_event,
            /// Requests that open a stream.
            request_stream,
            /// Messages from clients that could be read.
            request_decoding_success,
            /// Messages from clients that could not be read.
            request_decoding_error,
            /// Answers of upstreams that were passed on.
            response,
            /// Answers of upstreams that could be read.
            response_decoding_success,
            /// Answers of upstreams that could not be read.
            response_decoding_error,
            /// Answers whose status is good.
            response_success,
            /// Answers whose status is bad.
            response_error,
            /// Answers that carry an exception.
            response_business_exception,
            /// Answers that came when the client was gone.
            response_error_caused_connection_close,
            /// Answers by the proxy that report success.
            local_response_success,
            /// Answers by the proxy that could not be written.
            local_response_error,
            /// Answers by the proxy.
            local_response_business_exception,
            /// Requests in flight when the proxy closed their connection.
            cx_destroy_local_with_active_rq,
            /// Requests in flight when the client closed their connection.
            cx_destroy_remote_with_active_rq,
            /// Connections closed because they were idle.
            idle_timeout,
            /// Connections closed because the rest of a frame did not come.
            unfinished_frame_timeout,
            /// Connections closed because their client did not take answers that were there long before.
            tx_flush_timeout,
            /// Connections closed because more answers waited than may, for their client or an earlier answer, and
            /// memory was short.
            outbound_flood,
            /// Connections that were served.
            downstream_cx_total,
            /// Messages from clients that have no place there, such as responses; they are dropped.
            request_stray,
            /// Messages that were passed on unchanged because they cannot carry the change that their route asks for.
            mutation_skipped,
            /// Requests whose caller says how long it waits in a way that is no time, and is ignored.
            caller_timeout_invalid,
            /// Copies that were sent to mirrors.
            mirrored,
            /// Copies that were not sent: too many were under way or held too many bytes, or the cluster is not there.
            mirror_dropped,
            /// Copies that were not sent because streams are not copied, nor what needs a connection of its own.
            mirror_skipped,
            /// Copies that got no answer in time.
            mirror_failed,
            /// Copies whose answer was that of the client.
            mirror_equal,
            /// Copies whose answer was another than that of the client.
            mirror_different,
            /// Times that a connection was not read because a limit was reached.
            read_paused,
            /// Requests that authorization policies allowed.
            authorization_allowed,
            /// Requests that authorization policies denied.
            authorization_denied,
            /// Requests that policies which are only tried would have allowed.
            authorization_dry_run_allowed,
            /// Requests that policies which are only tried would have denied.
            authorization_dry_run_denied,
            /// Requests that a rate limit service let pass.
            ratelimit_ok,
            /// Requests that a rate limit service refused.
            ratelimit_over_limit,
            /// Questions that a rate limit service did not answer.
            ratelimit_error,
            /// Requests that passed because a rate limit service did not answer.
            ratelimit_failure_mode_allowed,
            /// Requests that were held back on purpose.
            fault_delayed,
            /// Requests that were ended on purpose.
            fault_aborted,
            /// Requests that were not held back, because too many were.
            fault_delay_overflow,
            /// Requests that were refused because too many were under way.
            shed,
            /// Further tries.
            retry,
            /// Requests that a further try answered.
            retry_success,
            /// Further tries that the budget did not allow.
            retry_overflow,
            /// Further tries that there were enough of already.
            retry_limit_exceeded,
            /// Further tries that were begun while an earlier one went on.
            hedged,
            /// Streams that were open.
            stream_total,
            /// Streams that the proxy has ended, for whatever reason.
            stream_reset_local,
            /// Streams that their client or their server has ended in both directions at once.
            stream_reset_remote,
            /// Streams that the proxy has ended because they were idle.
            stream_idle_timeout,
            /// Streams that the proxy has ended because they had lasted as long as they may.
            stream_total_timeout,
            /// Streams that the proxy has ended because one side did not take what the other sent, and others had to
            /// wait.
            stream_stalled,
            /// Frames from clients for streams that are not open, or behind the end of their direction; they are
            /// dropped.
            stream_stray,
            /// Frames of open streams that came from clients.
            stream_frames_received,
            /// Bytes of frames of open streams that came from clients.
            stream_bytes_received,
            /// Frames of open streams that went to clients.
            stream_frames_sent,
            /// Bytes of frames of open streams that went to clients.
            stream_bytes_sent,
        }
        gauges: {}
    }
}

/// Counts what happens on the connections of one service and worker.
#[derive(Debug)]
pub struct Metrics {
    protocol: String,
    stat_prefix: String,
    /// The plain counters.
    pub counters: Counters,
    /// Requests that are under way.
    pub request_active: Gauge,
    /// Streams that are open.
    pub stream_active: Gauge,
    /// Connections that are open.
    pub downstream_cx_active: Gauge,
    /// How long requests took, from their last byte to the last byte of their answer.
    pub request_time_ms: Histogram,
    /// How long streams lasted, from the last byte of their opening.
    pub stream_time_ms: Histogram,
    local_replies: Vec<Counter>,
    decode_errors: Vec<Counter>,
}

impl Metrics {
    /// Makes the counters of a service; `protocol` and `stat_prefix` become parts of their names.
    #[must_use]
    pub fn new(protocol: impl Into<String>, stat_prefix: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            protocol: protocol.into(),
            stat_prefix: stat_prefix.into(),
            counters: Counters::default(),
            request_active: Gauge::default(),
            stream_active: Gauge::default(),
            downstream_cx_active: Gauge::default(),
            request_time_ms: Histogram::default(),
            stream_time_ms: Histogram::default(),
            local_replies: Reason::ALL.iter().map(|_| Counter::default()).collect(),
            decode_errors: DecodeErrorKind::ALL.iter().map(|_| Counter::default()).collect(),
        })
    }

    /// Counts bytes of a client that could not be read.
    pub fn decode_error(&self, kind: DecodeErrorKind) {
        self.counters.request_decoding_error.inc();
        count(&self.decode_errors, DecodeErrorKind::ALL, kind);
    }

    /// Counts a request that begins.
    pub(super) fn begin(&self, kind: Kind) {
        self.request_active.inc();
        self.counters.request.inc();
        match kind {
            Kind::Oneway => self.counters.request_oneway.inc(),
            Kind::StreamOpen => self.counters.request_stream.inc(),
            _ => self.counters.request_twoway.inc(),
        }
    }

    /// Counts a stream that is open.
    pub(super) fn stream_opened(&self) {
        self.counters.stream_total.inc();
        self.stream_active.inc();
    }

    /// Counts a request that ends, from the record of it.
    pub(super) fn end(&self, record: &Record, at: Instant) {
        self.request_active.dec();
        let time = at.saturating_duration_since(record.started);
        if record.stream.is_some() {
            self.stream_active.dec();
            self.stream_time_ms.observe(time);
        } else {
            self.request_time_ms.observe(time);
        }
        if let Some(reason) = record.reason {
            count(&self.local_replies, Reason::ALL, reason);
            self.counters.local_response_business_exception.inc();
            if reason == Reason::BadResponse {
                self.counters.response_decoding_error.inc();
            }
        } else if let Some((kind, status)) = record.answer {
            self.counters.response_decoding_success.inc();
            if record.response_bytes == 0 {
                self.counters.response_error_caused_connection_close.inc();
                return;
            }
            self.counters.response.inc();
            match status.outcome() {
                Outcome::Error => self.counters.response_error.inc(),
                _ => self.counters.response_success.inc(),
            }
            if kind == Kind::Error {
                self.counters.response_business_exception.inc();
            }
        }
    }
}

impl Collect for Metrics {
    fn collect(&self, samples: &mut Samples) {
        let labels = [("protocol", &*self.protocol), ("stat_prefix", &*self.stat_prefix)];
        let mut scope = samples.scope("meta_protocol", &labels);
        self.counters.collect(&mut scope);
        scope
            .add("request_active", "Requests that are under way.", Value::Gauge(self.request_active.get()))
            .add("stream_active", "Streams that are open.", Value::Gauge(self.stream_active.get()))
            .add("downstream_cx_active", "Connections that are open.", Value::Gauge(self.downstream_cx_active.get()))
            .add("request_time_ms", "How long requests took.", Value::Histogram(self.request_time_ms.get()))
            .add("stream_time_ms", "How long streams lasted.", Value::Histogram(self.stream_time_ms.get()));
        for (reason, counter) in Reason::ALL.iter().zip(&self.local_replies) {
            let help = "Answers by the proxy, by reason.";
            scope.add_with("local_reply", help, ("reason", reason.as_str()), Value::Counter(counter.get()));
        }
        for (kind, counter) in DecodeErrorKind::ALL.iter().zip(&self.decode_errors) {
            let help = "Bytes of clients that could not be read, by what is wrong with them.";
            scope.add_with("decode_error", help, ("kind", kind.as_str()), Value::Counter(counter.get()));
        }
    }
}

fn count<T: PartialEq>(counters: &[Counter], all: &[T], one: T) {
    if let Some(counter) = all.iter().position(|known| *known == one).and_then(|index| counters.get(index)) {
        counter.inc();
    }
}
