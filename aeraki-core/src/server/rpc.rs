//! Serves request and response protocols: frames pass a service stack.

use std::{convert::Infallible, fmt, future::poll_fn, sync::Arc, time::Duration};

use aeraki_codec::{Framer, Limits, Protocol, Role};
use aeraki_route::{
    SharedRules,
    config::{ListenerLimits, StreamTimeouts},
};
use tokio::time::Instant;
use tower_service::Service;

use super::{
    Accepted, Drain, Serve,
    alarm::Alarm,
    answers::{Answers, Outputs},
    budget::Budget,
    closing::{close, end_writing},
    connection::{Batch, Bounds, Connection, End, Intake},
    pending::Pending,
    streams::{StreamBounds, Streams},
};
use crate::{
    io::{Buffers, Inbox, Io},
    observe::Metrics,
    stack::{BoxFuture, ConnInfo, Request, Response},
};

/// Runs a service stack on the connections of a listener: one clone of it for each.
#[derive(Clone)]
pub struct Rpc<S> {
    listener: Arc<str>,
    protocol: Arc<dyn Protocol>,
    rules: Arc<SharedRules>,
    stack: S,
    metrics: Arc<Metrics>,
    limits: ListenerLimits,
    idle_timeout: Option<Duration>,
    stream_timeouts: StreamTimeouts,
    buffers: Buffers,
    budget: Budget,
    outputs: Outputs,
}

impl<S> Rpc<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send,
{
    /// Serves `protocol` by `stack`, which judges requests by `rules`; limits are the defaults, the idle time-out is
    /// off.
    #[must_use]
    pub fn new(
        listener: impl Into<Arc<str>>,
        protocol: Arc<dyn Protocol>,
        rules: Arc<SharedRules>,
        metrics: Arc<Metrics>,
        stack: S,
    ) -> Self {
        Self {
            listener: listener.into(),
            protocol,
            rules,
            stack,
            metrics,
            limits: ListenerLimits::default(),
            idle_timeout: None,
            stream_timeouts: StreamTimeouts::default(),
            buffers: Buffers::new(),
            budget: Budget::default(),
            outputs: Outputs::default(),
        }
    }

    /// Sets what one connection may take.
    #[must_use]
    pub fn with_limits(mut self, limits: ListenerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Closes connections on which no request is under way and nothing has moved for so long; `None`: never.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Option<Duration>) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Sets how long streams may last, where their routes do not say.
    #[must_use]
    pub fn with_stream_timeouts(mut self, timeouts: StreamTimeouts) -> Self {
        self.stream_timeouts = timeouts;
        self
    }

    /// Shares read buffers with others of the same worker.
    #[must_use]
    pub fn with_buffers(mut self, buffers: Buffers) -> Self {
        self.buffers = buffers;
        self
    }

    /// Shares the bound on the bytes of all connections with other listeners; the default is 256 MiB for this one.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    fn connection(&self, io: Box<dyn Io>, accepted: Accepted, drain: &Drain) -> Connection<S> {
        let Accepted { peer, local, restored, principal } = accepted;
        let mut conn = ConnInfo::new(Arc::clone(&self.listener), Arc::clone(&self.protocol), peer, local);
        (conn.restored, conn.principal) = (restored, principal);
        let frame = self.limits.max_frame_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let codec = self.protocol.codec(Role::Server, &Limits { frame, ..Limits::default() });
        let now = Instant::now();
        let mut rules = self.rules.reader();
        let batch = Batch { rules: Arc::clone(rules.load()), read_at: now, moved_at: now };
        Connection {
            io,
            conn: Arc::new(conn),
            framer: Framer::new(codec),
            inbox: Inbox::new(self.buffers.clone()),
            rules,
            stack: self.stack.clone(),
            pending: Pending::new(),
            answers: Answers::new(self.protocol.wire().replies, self.outputs.clone()),
            streams: Streams::new(self.stream_bounds()),
            intake: Intake::Open,
            batch,
            bounds: self.bounds(),
            charge: self.budget.charge(),
            paused: false,
            unfinished: false,
            begun: None,
            awaited: None,
            drain: drain.watch(),
            alarm: Alarm::default(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn stream_bounds(&self) -> StreamBounds {
        StreamBounds {
            streams: usize::try_from(self.limits.max_streams).unwrap_or(usize::MAX),
            bytes: usize::try_from(self.limits.max_stream_bytes).unwrap_or(usize::MAX),
            timeouts: self.stream_timeouts,
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            requests: usize::try_from(self.limits.max_requests_in_flight).unwrap_or(usize::MAX),
            bytes: usize::try_from(self.limits.max_buffered_bytes).unwrap_or(usize::MAX),
            idle: self.idle_timeout,
            unfinished: self.limits.unfinished_frame_timeout,
        }
    }
}

impl<S> Serve for Rpc<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn serve(&self, io: Box<dyn Io>, accepted: Accepted, drain: Drain) -> BoxFuture<()> {
        let mut connection = self.connection(io, accepted, &drain);
        let metrics = Arc::clone(&self.metrics);
        Box::pin(async move {
            metrics.counters.downstream_cx_total.inc();
            let _open = metrics.downstream_cx_active.enter();
            connection.open();
            let end = poll_fn(|cx| connection.poll(cx)).await;
            let io = connection.into_io();
            match end {
                End::Finished { eof: false } | End::Idle => close(io).await,
                End::Finished { eof: true } => end_writing(io).await,
                End::Cut | End::Gone => {}
            }
        })
    }
}

impl<S> fmt::Debug for Rpc<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("listener", &self.listener)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
