//! What judges a message: one immutable set of rules, swapped whole.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};

use aeraki_codec::{Attributes, Demand};
use arc_swap::{ArcSwap, Cache};

use crate::{
    Explanation, Route, RouteTable,
    config::{ConfigError, RouteConfig},
    sync::lock,
};

/// A route table and what it asks messages for, compiled together; immutable.
#[derive(Debug)]
pub struct Rules {
    table: Option<Arc<RouteTable>>,
    demand: Demand,
}

impl Rules {
    /// Creates rules for the time before the first table has come: nothing is found, and nothing is asked for.
    pub fn empty() -> Self {
        Self { table: None, demand: Demand::none() }
    }

    /// Compiles the rules of a configuration.
    ///
    /// # Errors
    ///
    /// As [`RouteTable::compile`].
    pub fn compile(config: &RouteConfig) -> Result<Self, ConfigError> {
        Self::compile_after(config, &Self::empty())
    }

    /// Compiles the rules of a configuration that replaces another: limits go on where a route of the same name has the
    /// same ones, so that an update fills no bucket.
    ///
    /// # Errors
    ///
    /// As [`RouteTable::compile`].
    pub fn compile_after(config: &RouteConfig, previous: &Self) -> Result<Self, ConfigError> {
        let table = RouteTable::compile_after(config, previous.table())?;
        Ok(Self { demand: table.demand(), table: Some(Arc::new(table)) })
    }

    /// Asks messages for more keys: those of access logs, traces and other users outside the rules.
    #[must_use]
    pub fn with_demand(mut self, demand: &Demand) -> Self {
        self.demand = self.demand.union(demand);
        self
    }

    /// Returns the route table; none before the first one has come.
    pub fn table(&self) -> Option<&RouteTable> {
        self.table.as_deref()
    }

    /// Returns every key that anybody looks at.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// Returns the first route that matches; none without a table.
    #[inline]
    pub fn find<A: Attributes + ?Sized>(&self, attributes: &A) -> Option<&Route> {
        self.table.as_ref()?.find(attributes)
    }

    /// Tells why a message takes its route; none without a table.
    pub fn explain<A: Attributes + ?Sized>(&self, attributes: &A) -> Option<Explanation<'_>> {
        Some(self.table.as_ref()?.explain(attributes))
    }
}

/// The rules in force, shared by all who judge messages. Readers never wait.
#[derive(Debug)]
pub struct SharedRules {
    current: Arc<ArcSwap<Rules>>,
    /// Rules out of force that somebody may still hold. They are freed here and not where messages are judged.
    retired: Mutex<Vec<Arc<Rules>>>,
    /// Held while rules are put in force, so that users and rules always belong together.
    users: Mutex<Users>,
    /// Those who wait for the first table.
    waiting: Mutex<Vec<Waker>>,
}

/// Those who judge messages by the rules, whichever are in force.
#[derive(Clone)]
struct Users {
    /// What they look at besides the rules.
    demand: Demand,
    /// What they ask of a configuration.
    check: Arc<CheckFn>,
    /// The configuration in force; none: the rules were made otherwise.
    config: Option<Arc<RouteConfig>>,
}

type CheckFn = dyn Fn(&RouteConfig) -> Result<(), ConfigError> + Send + Sync;

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("demand", &self.demand).finish_non_exhaustive()
    }
}

impl SharedRules {
    /// Puts the first rules in force.
    pub fn new(rules: Rules) -> Self {
        Self::with_demand(rules, Demand::none())
    }

    /// Puts the first rules in force, and asks messages for more keys than these and any later rules do.
    pub fn with_demand(rules: Rules, demand: Demand) -> Self {
        let current = ArcSwap::from_pointee(rules.with_demand(&demand));
        let users = Users { demand, check: Arc::new(|_| Ok(())), config: None };
        let (retired, waiting) = Default::default();
        Self { current: Arc::new(current), retired, users: Mutex::new(users), waiting }
    }

    /// Lets `check` refuse configurations, such as those that ask for what their protocol cannot do.
    #[must_use]
    pub fn with_check(self, check: impl Fn(&RouteConfig) -> Result<(), ConfigError> + Send + Sync + 'static) -> Self {
        lock(&self.users).check = Arc::new(check);
        self
    }

    /// Puts the rules of a configuration in force, which go on with the state of those before; see
    /// [`Rules::compile_after`]. If it is refused, those stay.
    ///
    /// # Errors
    ///
    /// As [`RouteTable::compile`], and what the [check](Self::with_check) refuses.
    pub fn update(&self, config: &RouteConfig) -> Result<(), ConfigError> {
        let mut users = lock(&self.users);
        (users.check)(config)?;
        let rules = Rules::compile_after(config, &self.load())?;
        users.config = Some(Arc::new(config.clone()));
        self.replace(rules.with_demand(&users.demand));
        Ok(())
    }

    /// Tells whether the users of `next` can do what the configuration in force asks for.
    ///
    /// # Errors
    ///
    /// What their [check](Self::with_check) refuses.
    pub fn suits(&self, next: &Self) -> Result<(), ConfigError> {
        let config = lock(&self.users).config.clone();
        let check = Arc::clone(&lock(&next.users).check);
        config.map_or(Ok(()), |config| check(&config))
    }

    /// Has the users of `next` beside its own, for the time in which both judge messages: the keys of all are asked
    /// for, and configurations are [checked](Self::with_check) for those of `next`, who stay. The rules in force stay,
    /// and so do readers.
    pub fn join_users(&self, next: &Self) {
        self.set_users(next, |own, next| own.union(next));
    }

    /// Has the users of `next` from now on, in place of its own: other keys are asked for, and another check is made.
    /// The rules in force stay, and so do readers.
    pub fn take_users(&self, next: &Self) {
        self.set_users(next, |_, next| next.clone());
    }

    fn set_users(&self, next: &Self, demand: impl FnOnce(&Demand, &Demand) -> Demand) {
        let next = lock(&next.users).clone();
        let mut users = lock(&self.users);
        (users.demand, users.check) = (demand(&users.demand, &next.demand), next.check);
        let rules = self.load();
        let own = rules.table().map_or_else(Demand::none, RouteTable::demand);
        self.replace(Rules { table: rules.table.clone(), demand: own.union(&users.demand) });
    }

    /// Returns the rules in force.
    pub fn load(&self) -> Arc<Rules> {
        self.current.load_full()
    }

    /// Waits until there is a table.
    pub async fn in_force(&self) {
        poll_fn(|cx| {
            // before the look, so that no table comes between the two
            let mut waiting = lock(&self.waiting);
            if self.load().table().is_some() {
                return Poll::Ready(());
            }
            if !waiting.iter().any(|known| known.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Creates a reader that checks for new rules in a few nanoseconds: one for each worker.
    pub fn reader(&self) -> RulesReader {
        RulesReader { cache: Cache::new(Arc::clone(&self.current)) }
    }

    /// Puts new rules in force. Messages judged from now on see them; those already judged are not judged again.
    ///
    /// Old rules are freed by a later call of this method or of [`reclaim`](Self::reclaim), once nobody holds them.
    pub fn swap(&self, rules: Rules) {
        let mut users = lock(&self.users);
        users.config = None;
        self.replace(rules.with_demand(&users.demand));
    }

    fn replace(&self, rules: Rules) {
        let is_there = rules.table.is_some();
        let old = self.current.swap(Arc::new(rules));
        if is_there {
            lock(&self.waiting).drain(..).for_each(Waker::wake);
        }
        lock(&self.retired).push(old);
        self.reclaim();
    }

    /// Frees old rules that nobody holds any more, and returns how many are still held.
    pub fn reclaim(&self) -> usize {
        let mut retired = lock(&self.retired);
        retired.retain(|rules| Arc::strong_count(rules) > 1);
        retired.len()
    }
}

/// One worker's view of the [`SharedRules`].
#[derive(Clone, Debug)]
pub struct RulesReader {
    cache: Cache<Arc<ArcSwap<Rules>>, Arc<Rules>>,
}

impl RulesReader {
    /// Returns the rules in force.
    #[inline]
    pub fn load(&mut self) -> &Arc<Rules> {
        self.cache.load()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        task::{Context, Wake},
    };

    use super::*;
    use crate::config::{Route, RouteAction};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn who_waits_for_the_first_table_is_woken_by_it() {
        let rules = SharedRules::new(Rules::empty());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut waiting = pin!(rules.in_force());
        for _ in 0..3 {
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
        }
        rules.swap(Rules::empty());
        assert_eq!(woken.0.load(Relaxed), 0, "that is no table");
        let table = RouteConfig::new("table", [Route::new("all", RouteAction::cluster("c"))]);
        rules.update(&table).expect("good");
        assert_eq!(woken.0.load(Relaxed), 1, "once, however often it was polled");
        assert!(waiting.poll(&mut cx).is_ready());
        assert!(pin!(rules.in_force()).poll(&mut cx).is_ready());
    }
}
