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
    ratelimit::{Clients, NextClients},
};
use anyhow::{Context, Result, bail};
use tokio::signal::unix::{self, SignalKind};

use crate::{
    Args,
    routes::{self, Routes},
};

/// What its configuration needs of the program.
pub(crate) struct Program<'a> {
    args: &'a Args,
    /// Those of all configurations that are in use.
    clients: Arc<Clients>,
    /// The same for every configuration, so that connections to servers go on.
    registry: Registry,
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

/// What ends the wait of a proxy that serves.
enum Event {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP.
    Reload,
    /// Nobody needs an earlier configuration any more.
    Settled,
    /// Another process serves now.
    Succeeded,
}

impl<'a> Program<'a> {
    pub(crate) fn new(args: &'a Args) -> Self {
        Self { args, clients: Clients::new([]), registry: Registry::builtin(), reloads: Arc::default() }
    }

    /// Reads the configuration and checks it as a whole: what is wrong with it is wrong here, whatever becomes of it
    /// then.
    pub(crate) fn load(&self) -> Result<Proxy> {
        let check = |config, filters: &_| Proxy::with_filters(config, &self.registry, filters);
        let (proxy, clients) = self.load_with(&Routes::default(), check)?;
        clients.put_in_force();
        Ok(proxy)
    }

    /// Checks the configuration beside tables that are followed already.
    fn load_with(
        &self,
        routes: &Routes,
        check: impl FnOnce(config::Proxy, &Filters) -> Result<Proxy, ConfigError>,
    ) -> Result<(Proxy, Arc<NextClients>)> {
        let text = std::fs::read_to_string(&self.args.config_path)?;
        let Bootstrap { proxy: config, warnings, .. } = Bootstrap::from_yaml(&text)?;
        let clients = self.clients.prepare(&config.clusters);
        let filters = Filters::new().with_rate_limiters(Arc::clone(&clients) as _);
        let proxy = check(config, &filters).map_err(|error| in_words_of_bootstrap(&error))?;
        for (subscription, rules) in proxy.subscriptions() {
            // a fault of a file that is read already is told when it comes
            if !routes.reads(subscription) {
                routes::check(proxy.config(), subscription, rules)?;
            }
        }
        warn(&warnings);
        self.check_enforced(&warnings)?;
        Ok((proxy, clients))
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
            let mut running = self.start(proxy, &mut events).await?;
            loop {
                match events.next().await {
                    Event::Reload => {
                        self.reload(&mut running, &mut routes);
                        events.settled = Some(Box::pin(running.settled()));
                    }
                    Event::Settled => self.keep_clients(&running),
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
    async fn start(&self, mut proxy: Proxy, events: &mut Events) -> Result<Running> {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.args.workers.map_or_else(all, usize::from);
        let Some(path) = &self.args.hot_restart_path else {
            let running = proxy.start(workers).map_err(|error| in_words_of_bootstrap(&error))?;
            tell_addresses(&running, workers);
            return Ok(running);
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
        events.succeeded = Some(Box::pin(successor));
        Ok(running)
    }

    /// Puts the file in force as it is now; what is wrong with it is said, and the last good one stays.
    fn reload(&self, running: &mut Running, routes: &mut Routes) {
        let file = self.args.config_path.display();
        let reloaded = self.try_reload(running, routes);
        self.keep_clients(running);
        match reloaded {
            Ok(Updated { added, changed, removed, .. }) => {
                self.reloads.success.inc();
                tracing::info!(%file, ?added, ?changed, ?removed, "the configuration is in force");
            }
            Err(error) => {
                self.reloads.rejected.inc();
                tracing::error!("{file}: refused, the last good configuration stays: {error:#}");
            }
        }
    }

    /// Lets go the clients of rate limit services that nobody asks any more.
    fn keep_clients(&self, running: &Running) {
        self.clients.keep(running.clusters().iter().map(|cluster| &**cluster));
    }

    fn try_reload(&self, running: &mut Running, routes: &mut Routes) -> Result<Updated> {
        let check = |config, filters: &_| running.prepare(config, &self.registry, filters);
        let (proxy, clients) = self.load_with(routes, check)?;
        let sources = routes.sources(&proxy)?;
        let updated = running.update(proxy, self.grace()).map_err(|error| in_words_of_bootstrap(&error))?;
        clients.put_in_force();
        routes.follow(sources, running.subscriptions());
        Ok(updated)
    }

    const fn grace(&self) -> Duration {
        Duration::from_secs(self.args.drain_time_s)
    }
}

/// What the program waits for.
struct Events {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    settled: Option<Awaited>,
    succeeded: Option<Awaited>,
}

/// Happens once, or never.
type Awaited = Pin<Box<dyn Future<Output = ()>>>;

impl Events {
    /// Listens to signals from now on.
    fn new() -> Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(unix::signal);
        let (terminate, interrupt, hangup) = (terminate?, interrupt?, hangup?);
        Ok(Self { terminate, interrupt, hangup, settled: None, succeeded: None })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.terminate.recv() => Event::End,
            _ = self.interrupt.recv() => Event::End,
            _ = self.hangup.recv() => Event::Reload,
            () = once(&mut self.settled) => Event::Settled,
            () = once(&mut self.succeeded) => Event::Succeeded,
        }
    }
}

/// Waits for what happens once; for ever where it has happened.
async fn once(awaited: &mut Option<Awaited>) {
    match awaited {
        Some(happens) => {
            happens.await;
            *awaited = None;
        }
        None => std::future::pending().await,
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
