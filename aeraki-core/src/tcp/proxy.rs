//! Finds an endpoint for each connection and passes it on.

use std::{fmt, future::poll_fn, sync::Arc};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::{Targets, config};

use super::{
    End, Record, TcpStats,
    record::{Observer, Recording},
    relay::{Bounds, Direction, Relay},
};
use crate::{
    io::{Buffers, Io},
    server::{Accepted, Drain, Serve, closing::close},
    stack::BoxFuture,
    upstream::{Clusters, Dedicated},
};

/// Passes the connections of a listener on to the endpoints of clusters; cheap to clone.
#[derive(Clone)]
pub struct TcpProxy(Arc<Shared>);

#[derive(Clone)]
struct Shared {
    config: config::TcpProxy,
    targets: Arc<Targets>,
    clusters: Arc<Clusters>,
    stats: Arc<TcpStats>,
    buffers: Buffers,
    observer: Option<Observer>,
}

impl TcpProxy {
    /// Makes a proxy with buffers of its own; the configuration is expected to be [valid](config::TcpProxy::validate).
    #[must_use]
    pub fn new(config: config::TcpProxy, clusters: Arc<Clusters>, stats: Arc<TcpStats>) -> Self {
        let targets = Arc::new(Targets::new(&config.action()));
        Self(Arc::new(Shared { config, targets, clusters, stats, buffers: Buffers::new(), observer: None }))
    }

    /// Shares read buffers with others of the same worker.
    #[must_use]
    pub fn with_buffers(mut self, buffers: Buffers) -> Self {
        Arc::make_mut(&mut self.0).buffers = buffers;
        self
    }

    /// Hands the record of every connection to `observer` when it has ended.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).observer = Some(Arc::new(observer));
        self
    }
}

impl Shared {
    /// Serves a client until the connection ends; what is left of it is for the caller to close.
    async fn serve(&self, client: &mut Box<dyn Io>, recording: &mut Recording, drain: &Drain) -> End {
        let config = &self.config;
        let until = config.max_downstream_connection_duration.map(|duration| recording.record.started + duration);
        let mut up = Direction::new(&self.buffers);
        let connected = tokio::select! {
            biased;
            () = drain.leaves_silent() => Err(End::Cut),
            connected = self.connect(recording) => connected,
            () = up.watch(client) => Err(End::Client),
        };
        recording.count(up.read, 0);
        let mut server = match connected {
            Ok(server) => server,
            Err(end) => return end,
        };
        let bounds = Bounds { idle: config.idle_timeout, until };
        let mut relay = Relay::new((client, up), &mut server.io, &self.buffers, bounds, drain.watch());
        poll_fn(|cx| relay.poll(cx, recording)).await
    }

    async fn connect(&self, recording: &mut Recording) -> Result<Dedicated, End> {
        let record = &mut recording.record;
        let server = self.try_connect(record).await.map_err(|reply| {
            tracing::debug!(peer = %record.client.peer, reason = reply.text(), "a connection is not passed on");
            End::Unmade(reply.reason())
        })?;
        record.endpoint = Some(server.endpoint().clone());
        Ok(server)
    }

    async fn try_connect(&self, record: &mut Record) -> Result<Dedicated, LocalReply> {
        let draw = fastrand::u64(..);
        let name = self.targets.pick(draw);
        record.cluster = Some(Arc::clone(name));
        let Some(cluster) = self.clusters.get(name) else {
            let text = format!("there is no cluster {name:?}");
            return Err(LocalReply::new(Reason::ClusterNotFound, text));
        };
        let placement = self.targets.place(NOTHING, record.client.peer.ip(), draw);
        cluster.connect(&record.client, placement.as_ref(), self.config.max_connect_attempts).await
    }
}

impl Serve for TcpProxy {
    fn serve(&self, mut io: Box<dyn Io>, accepted: Accepted, drain: Drain) -> BoxFuture<()> {
        let shared = Arc::clone(&self.0);
        let mut recording = Recording::begin(accepted, Arc::clone(&shared.stats), shared.observer.clone());
        Box::pin(async move {
            recording.record.end = shared.serve(&mut io, &mut recording, &drain).await;
            let end = recording.record.end;
            drop(recording);
            if matches!(end, End::Unmade(_) | End::Idle | End::MaxDuration | End::Server) {
                close(io).await;
            }
        })
    }
}

impl fmt::Debug for TcpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpProxy").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// The attributes of what is not read.
const NOTHING: &[(&str, &str)] = &[];
