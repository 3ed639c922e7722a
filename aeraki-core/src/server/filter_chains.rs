//! Chooses the filter chain of a connection, after a look at its first bytes where the choice depends on them.

use std::{future::ready, io, sync::Arc, time::Duration};

use aeraki_codec::Registry;
use aeraki_route::{
    Arrival, ChainIndex,
    config::{self, ConfigError},
};
use tokio::time::timeout;

use super::{
    Accepted, Budget, Drain, Serve,
    inspect::{Inspection, Seen},
    prefixed::Prefixed,
};
use crate::{io::Io, observe::ListenerStats, stack::BoxFuture};

/// Serves each connection by the filter chain that matches it best, and closes those that none matches.
///
/// Bytes are looked at only as far as the chains depend on them, and none is taken from whatever serves the connection.
#[derive(Clone, Debug)]
pub struct FilterChains {
    shared: Arc<Shared>,
    budget: Budget,
}

#[derive(Debug)]
struct Shared {
    index: ChainIndex,
    chains: Vec<Arc<dyn Serve>>,
    default: Option<Arc<dyn Serve>>,
    inspection: Inspection,
    timeout: Option<Duration>,
    goes_on: bool,
    stats: Arc<ListenerStats>,
}

impl FilterChains {
    /// Serves the connections of a listener by what serves its [chains](config::Listener::chains), in their order.
    ///
    /// Protocols that are told from first bytes are found in `registry`.
    ///
    /// # Errors
    /// Two filter chains that match the same; a protocol that is not there, or cannot be told.
    pub fn new(
        listener: &config::Listener,
        registry: &Registry,
        chains: impl IntoIterator<Item = Arc<dyn Serve>>,
        stats: Arc<ListenerStats>,
    ) -> Result<Self, ConfigError> {
        let mut chains: Vec<_> = chains.into_iter().collect();
        let default = if listener.default_filter_chain.is_some() { chains.pop() } else { None };
        let shared = Shared {
            index: listener.chain_index()?,
            chains,
            default,
            inspection: Inspection::new(listener, registry)?,
            timeout: listener.listener_filters_timeout,
            goes_on: listener.continue_on_listener_filters_timeout,
            stats,
        };
        Ok(Self { shared: Arc::new(shared), budget: Budget::default() })
    }

    /// Has the bytes that are looked at count towards a budget, over which no more are read; default: one of its own.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }
}

impl Shared {
    /// Looks at the first bytes; none where the connection is not to be served.
    async fn look(&self, io: &mut Prefixed) -> Option<Seen> {
        let connections = &self.stats.connections;
        let inspected = match self.timeout {
            Some(limit) => timeout(limit, self.inspection.inspect(io)).await,
            None => Ok(self.inspection.inspect(io).await),
        };
        match inspected {
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(error)) => {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    connections.downstream_listener_filter_remote_close.inc();
                } else {
                    connections.downstream_listener_filter_error.inc();
                    tracing::debug!(%error, "the first bytes of a connection cannot be read");
                }
                None
            }
            Err(_) => {
                connections.downstream_pre_cx_timeout.inc();
                self.goes_on.then(Seen::default)
            }
        }
    }

    fn serve(&self, io: Box<dyn Io>, seen: &Seen, accepted: Accepted, drain: Drain) -> BoxFuture<()> {
        match self.choose(seen, &accepted) {
            Some(chain) => chain.serve(io, accepted, drain),
            None => {
                self.stats.connections.no_filter_chain_match.inc();
                tracing::debug!(peer = %accepted.peer, ?seen, "no filter chain matches a connection");
                Box::pin(ready(()))
            }
        }
    }

    fn choose(&self, seen: &Seen, accepted: &Accepted) -> Option<&Arc<dyn Serve>> {
        let arrival = Arrival::new(accepted.peer, accepted.local)
            .with_transport_protocol(seen.transport_protocol)
            .with_server_name(&seen.server_name)
            .with_application_protocols(&seen.application_protocols);
        let matched = self.index.find(&arrival).and_then(|place| self.chains.get(place));
        matched.or(self.default.as_ref())
    }
}

impl Serve for FilterChains {
    fn serve(&self, io: Box<dyn Io>, accepted: Accepted, drain: Drain) -> BoxFuture<()> {
        if self.shared.inspection.is_idle() {
            return self.shared.serve(io, &Seen::default(), accepted, drain);
        }
        let shared = Arc::clone(&self.shared);
        let mut io = Prefixed::new(io, &self.budget);
        Box::pin(async move {
            let seen = tokio::select! {
                biased;
                () = drain.leaves_silent() => return,
                seen = shared.look(&mut io) => seen,
            };
            if let Some(seen) = seen {
                shared.serve(Box::new(io), &seen, accepted, drain).await;
            }
        })
    }
}
