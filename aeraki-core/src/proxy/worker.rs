//! One worker: its own clusters, connections and timer behind its own sockets.

use std::sync::Arc;

use aeraki_codec::Registry;
use aeraki_route::config::{self, ConfigError};
use futures_util::future::{join, join_all};

use super::{
    Prepared,
    service::{Common, Counted},
};
use crate::{
    io::Buffers,
    observe::{ListenerStats, Stats},
    server::{Budget, Drain, Listener, Phase, ProxyProtocol, Serve},
    stack::Wheel,
    tls::Secrets,
    upstream::{Clusters, Context},
};

/// What one worker runs.
#[derive(Debug)]
pub(super) struct Worker {
    sockets: Vec<Socket>,
    pub(super) clusters: Arc<Clusters>,
    buffers: Buffers,
    secrets: Secrets,
}

/// A listener on its socket.
#[derive(Debug)]
struct Socket {
    config: config::Listener,
    socket: Listener,
    stats: Arc<ListenerStats>,
    /// Of its filter chains, in their order.
    services: Vec<Counted>,
}

impl Worker {
    /// Makes a worker whose clusters share their limits with `sibling`, if there is one.
    ///
    /// # Errors
    /// Object, field and reason of a configuration that was not checked.
    pub(super) fn new(
        listeners: Vec<(Prepared, Listener)>,
        sibling: Option<&Clusters>,
        protocols: &Arc<Registry>,
        stats: &Stats,
        secrets: Secrets,
    ) -> Result<Self, ConfigError> {
        let buffers = Buffers::new();
        let context = Context::new()
            .with_buffers(buffers.clone())
            .with_protocols(Arc::clone(protocols))
            .with_secrets(secrets.clone());
        let clusters = Arc::new(match sibling {
            Some(sibling) => sibling.sibling(context),
            None => Clusters::new(context),
        });
        stats.register(Arc::clone(&clusters) as _);
        let sockets = listeners.into_iter().map(|(prepared, socket)| Socket::new(prepared, socket, &clusters, stats));
        let sockets = sockets.collect::<Result<_, _>>()?;
        Ok(Self { sockets, clusters, buffers, secrets })
    }

    /// Serves until `drain` is through.
    pub(super) async fn run(self, drain: Drain) {
        let Self { sockets, clusters, buffers, secrets } = self;
        let common = Common { clusters, wheel: Wheel::spawn(), buffers, budget: Budget::default() };
        let served = sockets.into_iter().filter_map(|mut socket| {
            let serve = socket.chains(&common, &secrets)?;
            Some(socket.serve(serve, drain.clone()))
        });
        // without listeners there is still the admin interface
        join(join_all(served), drain.reached(Phase::Draining)).await;
    }
}

impl Socket {
    fn new(prepared: Prepared, socket: Listener, clusters: &Arc<Clusters>, stats: &Stats) -> Result<Self, ConfigError> {
        let Prepared { config, services } = prepared;
        let connections = ListenerStats::new(&*config.name);
        stats.register(Arc::clone(&connections) as _);
        let services = services.into_iter().map(|service| service.counted(clusters, stats));
        let services = services.collect::<Result<_, _>>()?;
        Ok(Self { config, socket, stats: connections, services })
    }

    /// Accepts connections until `drain` begins, and serves those that are open until they end.
    async fn serve(self, serve: Arc<dyn Serve>, drain: Drain) {
        if let Err(error) = self.socket.serve(serve, self.stats, drain).await {
            tracing::error!(listener = self.config.name, %error, "the listener cannot be served");
        }
    }

    /// Makes what serves the connections, with what comes before the filter chains in front of it.
    fn chains(&mut self, common: &Common, secrets: &Secrets) -> Option<Arc<dyn Serve>> {
        let chains = self.config.chains().zip(self.services.drain(..));
        let mut chains = chains.map(|((_, chain), service)| secrets.serve(service.serve(common), chain, &self.stats));
        let serve = chains.next()?;
        Some(match self.config.proxy_protocol {
            Some(settings) => Arc::new(ProxyProtocol::new(serve, settings, Arc::clone(&self.stats))),
            None => serve,
        })
    }
}
