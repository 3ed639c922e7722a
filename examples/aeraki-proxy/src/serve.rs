//! The proxy from its start to its end: new configurations, successors, signals.

use std::{pin::Pin, sync::Arc, time::Duration};

use aeraki_codec::Registry;
use aeraki_core::{
    observe::{Collect, Counter, Samples, Value},
    proxy::{Predecessor, Proxy, Running, Updated},
    route::config::{self, ConfigError},
    stack::Filters,
};
use aeraki_xds::{
    bootstrap::{Bootstrap, Warning, in_words_of_bootstrap},
    ratelimit::Clients,
};
use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Args,
    routes::{self, Routes},
};

/// What its configuration needs of the program.
pub(crate) struct Program<'a> {
    args: &'a Args,
    clients: Arc<Clients>,
    /// The same for every configuration, so that connections to servers go on.
    registry: Registry,
    filters: Filters,
    reloads: Arc<Reloads>,
}

/// What became of the configuration at each SIGHUP.
#[derive(Debug, Default)]
struct Reloads {
    success: Counter,
    rejected: Counter,
}

impl Collect for Reloads {
    fn collect(&self, samples: &mut Samples) {
        let [success, rejected] = [&self.success, &self.rejected].map(|counter| Value::Counter(counter.get()));
        samples.scope("server", &[]).add("config_update_success", "Configurations taken up at SIGHUP.", success).add(
            "config_update_rejected",
            "Configurations refused at SIGHUP.",
            rejected,
        );
    }
}

/// Ends when another process serves.
type Successor = Pin<Box<dyn Future<Output = ()>>>;

/// What ends the wait of a proxy that serves.
enum Event {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP.
    Reload,
    /// Another process serves now.
    Succeeded,
}

impl<'a> Program<'a> {
    pub(crate) fn new(args: &'a Args) -> Self {
        let clients = Clients::new([]);
        let filters = Filters::new().with_rate_limiters(Arc::clone(&clients) as _);
        Self { args, clients, registry: Registry::builtin(), filters, reloads: Arc::default() }
    }

    /// Reads the configuration and checks it as a whole: what is wrong with it is wrong here, whatever becomes of it
    /// then.
    pub(crate) fn load(&self) -> Result<Proxy> {
        self.load_with(&Routes::default(), |config| Proxy::with_filters(config, &self.registry, &self.filters))
    }

    /// Checks the configuration beside tables that are followed already.
    fn load_with(
        &self,
        routes: &Routes,
        check: impl FnOnce(config::Proxy) -> Result<Proxy, ConfigError>,
    ) -> Result<Proxy> {
        let text = std::fs::read_to_string(&self.args.config_path)?;
        let Bootstrap { proxy: config, warnings, .. } = Bootstrap::from_yaml(&text)?;
        self.clients.add(&config.clusters);
        let proxy = check(config).map_err(|error| in_words_of_bootstrap(&error))?;
        for (subscription, rules) in proxy.subscriptions() {
            // a fault of a file that is read already is told when it comes
            if !routes.reads(subscription) {
                routes::check(proxy.config(), subscription, rules)?;
            }
        }
        warn(&warnings);
        self.check_enforced(&warnings)?;
        Ok(proxy)
    }

    /// Refuses what the configuration asks for and nobody does, unless the user wants it so.
    fn check_enforced(&self, warnings: &[Warning]) -> Result<()> {
        let not_enforced = warnings.iter().find(|warning| matches!(warning, Warning::NotEnforced { .. }));
        match not_enforced.filter(|_| !self.args.allow_unenforced) {
            Some(warning) => bail!("{warning}; --allow-unenforced takes it all the same"),
            None => Ok(()),
        }
    }

    /// Serves until SIGTERM, SIGINT or a successor, then lets requests under way finish.
    pub(crate) fn serve(&self, proxy: Proxy) -> Result<()> {
        // the workers have threads of their own: this runtime only follows control planes and waits
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut events = Events::new()?;
            let mut routes = Routes::default();
            let sources = routes.sources(&proxy)?;
            routes.follow(sources, proxy.subscriptions());
            proxy.stats().register(Arc::clone(routes.stats()) as _);
            proxy.stats().register(Arc::clone(&self.reloads) as _);
            let (mut running, mut successor) = self.start(proxy, &mut events).await?;
            loop {
                match events.next(&mut successor).await {
                    Event::Reload => self.reload(&mut running, &mut routes),
                    Event::End => break,
                    Event::Succeeded => {
                        tracing::info!("a successor serves");
                        break;
                    }
                }
            }
            let grace = self.grace();
            tracing::info!(?grace, "draining");
            running.shutdown(grace).await;
            Ok(())
        })
    }

    /// Starts in the place of the process before, if there is one and the user wants it so.
    async fn start(&self, mut proxy: Proxy, events: &mut Events) -> Result<(Running, Option<Successor>)> {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.args.workers.map_or_else(all, usize::from);
        let Some(path) = &self.args.hot_restart_path else {
            let running = proxy.start(workers).map_err(|error| in_words_of_bootstrap(&error))?;
            tell_addresses(&running, workers);
            return Ok((running, None));
        };
        let mut predecessor = Predecessor::ask(path).with_context(|| format!("the socket {}", path.display()))?;
        if let Some(predecessor) = &mut predecessor {
            tracing::info!("takes the sockets of the proxy before");
            proxy = proxy.with_sockets_of(predecessor);
        }
        let running = proxy.start(workers).map_err(|error| in_words_of_bootstrap(&error))?;
        let successor = running.await_successor(path).with_context(|| format!("the socket {}", path.display()))?;
        tokio::select! {
            () = running.warmed() => {}
            () = events.end() => bail!("told to end before its routes had come"),
        }
        tell_addresses(&running, workers);
        if let Some(predecessor) = predecessor
            && let Err(error) = predecessor.relieve()
        {
            tracing::warn!(%error, "the proxy before is gone already");
        }
        Ok((running, Some(Box::pin(successor))))
    }

    /// Puts the file in force as it is now; what is wrong with it is said, and the last good one stays.
    fn reload(&self, running: &mut Running, routes: &mut Routes) {
        let file = self.args.config_path.display();
        match self.try_reload(running, routes) {
            Ok(Updated { added, changed, removed, .. }) => {
                self.reloads.success.inc();
                tracing::info!(%file, ?added, ?changed, ?removed, "the configuration is in force");
            }
            Err(error) => {
                self.reloads.rejected.inc();
                tracing::error!("{file}: refused, the last good configuration stays: {error:#}");
            }
        }
        self.clients.keep(&running.config().clusters);
    }

    fn try_reload(&self, running: &mut Running, routes: &mut Routes) -> Result<Updated> {
        let before: Vec<config::Cluster> = running.config().clusters.clone();
        let mut update = || -> Result<_> {
            let proxy = self.load_with(routes, |config| running.prepare(config, &self.registry, &self.filters))?;
            let sources = routes.sources(&proxy)?;
            let updated = running.update(proxy, self.grace()).map_err(|error| in_words_of_bootstrap(&error))?;
            Ok((sources, updated))
        };
        let (sources, updated) = update().inspect_err(|_| self.clients.add(&before))?;
        routes.follow(sources, running.subscriptions());
        Ok(updated)
    }

    const fn grace(&self) -> Duration {
        Duration::from_secs(self.args.drain_time_s)
    }
}

/// The signals that the program listens to.
struct Events {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Events {
    /// Listens to signals from now on.
    fn new() -> Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, hangup: hangup? })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self, successor: &mut Option<Successor>) -> Event {
        let succeeded = async {
            match successor {
                Some(successor) => successor.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Event::End,
            _ = self.interrupt.recv() => Event::End,
            _ = self.hangup.recv() => Event::Reload,
            () = succeeded => Event::Succeeded,
        }
    }
}

fn tell_addresses(running: &Running, workers: usize) {
    for (listener, address) in running.addresses() {
        tracing::info!(listener, %address, workers, "listening");
    }
    if let Some(address) = running.admin() {
        tracing::info!(%address, "admin interface");
    }
}

/// Tells in one line what has no effect, and in one line what is not enforced.
fn warn(warnings: &[Warning]) {
    let (unenforced, unused): (Vec<_>, Vec<_>) =
        warnings.iter().partition(|warning| matches!(warning, Warning::NotEnforced { .. }));
    for group in [unused, unenforced].iter().filter(|group| !group.is_empty()) {
        let lines: Vec<String> = group.iter().map(ToString::to_string).collect();
        tracing::warn!("{}", lines.join("; "));
    }
}
