//! All certificates, keys and authorities of a proxy, and the watch over their files.

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use aeraki_route::config::{Cluster, ConfigError, DownstreamTlsContext, FilterChain, Listener, UpstreamTlsContext};
use rustls::crypto::{CryptoProvider, ring};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    Secured, TlsError,
    client::TlsConnector,
    clock::Clock,
    context::{Context, Reload, Side, User},
};
use crate::{
    observe::{Collect, Counter, ListenerStats, Samples, Value},
    server::{Drain, Phase, Serve},
    sync::lock,
    upstream::{ClusterStats, Connector},
};

/// Has what every TLS configuration stands for, each once for all workers; cheap to clone.
///
/// Files are read when a configuration is first used, and again by [`watch`](Self::watch). A pair that cannot be used
/// is refused with a warning that names listener or cluster, field, file and reason, and the one in use stays.
#[derive(Clone, Debug)]
pub struct Secrets(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    provider: Arc<CryptoProvider>,
    clock: Clock,
    servers: Contexts<DownstreamTlsContext>,
    clients: Contexts<UpstreamTlsContext>,
    renewed: Counter,
    refused: Counter,
}

/// Those in use, by their configuration.
type Contexts<S> = Mutex<HashMap<S, Weak<Context<S>>>>;

impl Secrets {
    /// Makes an empty store whose cryptography is *ring*'s.
    #[must_use]
    pub fn new() -> Self {
        Self::with_provider(Arc::new(ring::default_provider()))
    }

    /// Makes an empty store with other cryptography, such as that of aws-lc-rs.
    #[must_use]
    pub fn with_provider(provider: Arc<CryptoProvider>) -> Self {
        Self::with_clock(provider, Clock::default())
    }

    pub(super) fn with_clock(provider: Arc<CryptoProvider>, clock: Clock) -> Self {
        let (servers, clients, renewed, refused) = Default::default();
        Self(Arc::new(Shared { provider, clock, servers, clients, renewed, refused }))
    }

    /// Reads what the filter chains of a listener need for their TLS, where they have any.
    ///
    /// # Errors
    /// Listener, field and reason: a file that cannot be read or holds something else, a key that belongs to another
    /// certificate, or a certificate that has expired or is not valid yet.
    pub fn check_listener(&self, listener: &Listener) -> Result<(), ConfigError> {
        let mut secured = listener.chains().filter_map(|(path, chain)| Some((path, chain.tls.as_ref()?)));
        secured.try_for_each(|(path, tls)| {
            let checked = self.server(tls).config().map(drop);
            checked.map_err(|error| error.at(&User { object: format!("listener {:?}", listener.name), path }))
        })
    }

    /// Reads what a cluster needs for its TLS, if it has any.
    ///
    /// # Errors
    /// As [`check_listener`](Self::check_listener).
    pub fn check_cluster(&self, cluster: &Cluster) -> Result<(), ConfigError> {
        let Some(tls) = &cluster.tls else { return Ok(()) };
        self.client(tls).config().map(drop).map_err(|error| error.of(format!("cluster {:?}", cluster.name)))
    }

    /// Looks at all files every five seconds until `drain` begins; what has changed holds for new handshakes.
    pub async fn watch(self, drain: Drain) {
        let watching = async {
            loop {
                sleep(INTERVAL).await;
                let this = self.clone();
                let _ = spawn_blocking(move || this.reload()).await;
            }
        };
        tokio::select! {
            () = drain.reached(Phase::Draining) => {}
            () = watching => {}
        }
    }

    /// Returns how the connections of a cluster are made: by `plain`, with TLS around it where the cluster has any.
    pub(crate) fn connector(
        &self,
        plain: &Arc<dyn Connector>,
        cluster: &Cluster,
        stats: &ClusterStats,
    ) -> Arc<dyn Connector> {
        let plain = Arc::clone(plain);
        match &cluster.tls {
            Some(tls) => {
                let object = format!("cluster {:?}", cluster.name);
                Arc::new(TlsConnector::new(plain, self, tls, Arc::clone(stats.ssl()), object))
            }
            None => plain,
        }
    }

    /// Returns how the connections of a filter chain, at `path` in its listener, are served: by `plain`, with TLS
    /// around it where the chain has any.
    pub(crate) fn serve(
        &self,
        plain: Arc<dyn Serve>,
        (path, chain): (&str, &FilterChain),
        listener: &str,
        stats: &ListenerStats,
    ) -> Arc<dyn Serve> {
        match &chain.tls {
            Some(tls) => {
                let secured = Secured::new(plain, self, tls, Arc::clone(stats.ssl()));
                Arc::new(secured.of(format!("listener {listener:?}"), path))
            }
            None => plain,
        }
    }

    /// Looks at all files once.
    pub fn reload(&self) {
        self.reload_each(&self.0.servers);
        self.reload_each(&self.0.clients);
    }

    pub(super) fn server(&self, config: &DownstreamTlsContext) -> Arc<Context<DownstreamTlsContext>> {
        self.get(&self.0.servers, config)
    }

    pub(super) fn client(&self, config: &UpstreamTlsContext) -> Arc<Context<UpstreamTlsContext>> {
        self.get(&self.0.clients, config)
    }

    fn get<S: Side>(&self, contexts: &Contexts<S>, config: &S) -> Arc<Context<S>> {
        let mut contexts = lock(contexts);
        if let Some(known) = contexts.get(config).and_then(Weak::upgrade) {
            return known;
        }
        contexts.retain(|_, context| context.strong_count() > 0);
        let context = Arc::new(Context::new(config.clone(), Arc::clone(&self.0.provider), self.0.clock.clone()));
        contexts.insert(config.clone(), Arc::downgrade(&context));
        context
    }

    fn reload_each<S: Side>(&self, contexts: &Contexts<S>) {
        for context in in_use(contexts) {
            match context.reload() {
                Reload::Unchanged => {}
                Reload::Renewed => {
                    self.0.renewed.inc();
                    tracing::info!(files = ?context.files(), "certificates have changed and are used from now on");
                }
                Reload::Refused(error) => {
                    self.0.refused.inc();
                    tell_refused(&error, &context.users());
                }
            }
        }
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self::new()
    }
}

impl Collect for Secrets {
    fn collect(&self, samples: &mut Samples) {
        let servers = in_use(&self.0.servers).into_iter().filter_map(|context| context.expires());
        let clients = in_use(&self.0.clients).into_iter().filter_map(|context| context.expires());
        let Some(first) = servers.chain(clients).min() else { return };
        let days = (first - self.0.clock.now()).div_euclid(24 * 60 * 60).max(0);
        samples
            .scope("server", &[])
            .add("days_until_first_cert_expiring", "Days until a certificate expires.", Value::Gauge(days))
            .add("cert_update_success", "Changed certificates taken up.", Value::Counter(self.0.renewed.get()))
            .add("cert_update_rejected", "Changed certificates refused.", Value::Counter(self.0.refused.get()));
    }
}

/// Tells every user once, or nobody in particular where nobody has said who it is.
fn tell_refused(error: &TlsError, users: &BTreeSet<Arc<User>>) {
    let tell = |error: &dyn Error| {
        tracing::warn!(error = %error, "certificates have changed and cannot be used; the ones in use stay");
    };
    users.iter().for_each(|user| tell(&error.at(user)));
    if users.is_empty() {
        tell(error);
    }
}

fn in_use<S: Side>(contexts: &Contexts<S>) -> Vec<Arc<Context<S>>> {
    lock(contexts).values().filter_map(Weak::upgrade).collect()
}

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);
