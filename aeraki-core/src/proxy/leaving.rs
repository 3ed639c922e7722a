//! The clusters of all workers, and what an update takes away: it stays as long as connections finish in the old way.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use aeraki_route::{SharedRules, config::Cluster};
use tokio::time::Instant;

use super::worker::ClustersOfWorker;
use crate::sync::lock;

/// The clusters in force, with those that are gone but still in use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    workers: Vec<ClustersOfWorker>,
    clusters: Vec<Arc<Cluster>>,
    /// Those that are gone, but not for connections that finish in the old way.
    leaving: Vec<Arc<Cluster>>,
    /// Counts the updates.
    turn: u64,
    /// When the last connection that finishes in an old way has ended.
    until: Option<Instant>,
}

/// A table that is here already, and rules with the users that it will have.
pub(super) type NewUsers = (Arc<SharedRules>, Arc<SharedRules>);

/// What an update leaves to be done when nobody needs the old configuration any more.
#[derive(Debug)]
pub(super) struct Rest {
    in_force: InForce,
    mine: u64,
    tables: Vec<NewUsers>,
}

impl InForce {
    /// Gives one more worker the clusters.
    pub(super) fn add_worker(&self, worker: ClustersOfWorker) {
        let mut state = lock(&self.0);
        worker.put(&state.all());
        state.workers.push(worker);
    }

    /// Makes these the clusters; those that are leaving stay.
    pub(super) fn put(&self, clusters: &[Cluster]) {
        lock(&self.0).put(clusters);
    }

    /// Makes these the clusters of an update; those before, and the keys that the users of tables asked for, stay until its
    /// [rest](Rest::settle) is done.
    pub(super) fn update(&self, clusters: &[Cluster], tables: Vec<NewUsers>) -> Rest {
        let mut state = lock(&self.0);
        // of one that leaves again the later counts
        let mut leaving = std::mem::take(&mut state.clusters);
        leaving.append(&mut state.leaving);
        state.leaving = leaving;
        state.put(clusters);
        tables.iter().for_each(|(table, users)| table.join_users(users));
        state.turn += 1;
        Rest { in_force: self.clone(), mine: state.turn, tables }
    }

    /// Notes that connections finish in the old way within `grace`.
    pub(super) fn ends_within(&self, grace: Duration) {
        let mut state = lock(&self.0);
        state.until = state.until.max(Some(Instant::now() + grace));
    }
}

impl State {
    fn put(&mut self, clusters: &[Cluster]) {
        // compared with what is in force once for all workers
        self.clusters = match self.workers.first() {
            Some(worker) => worker.shared().known(clusters),
            None => clusters.iter().cloned().map(Arc::new).collect(),
        };
        let mut known: BTreeSet<_> = clusters.iter().map(|cluster| cluster.name.clone()).collect();
        self.leaving.retain(|gone| known.insert(gone.name.clone()));
        self.tell_workers();
    }

    fn all(&self) -> Vec<Arc<Cluster>> {
        self.clusters.iter().chain(&self.leaving).cloned().collect()
    }

    fn tell_workers(&self) {
        let all = self.all();
        self.workers.iter().for_each(|worker| worker.put(&all));
    }
}

impl Rest {
    /// Returns when it is to be done; none: at once.
    pub(super) fn due(&self) -> Option<Instant> {
        lock(&self.in_force.0).until.filter(|until| *until > Instant::now())
    }

    /// Lets go what only the old configuration needs, unless there was another update since, whose rest includes it.
    pub(super) fn settle(self) {
        let mut state = lock(&self.in_force.0);
        if state.turn == self.mine {
            self.tables.iter().for_each(|(table, users)| table.take_users(users));
            state.leaving.clear();
            state.tell_workers();
        }
    }
}

#[cfg(test)]
mod tests {
    use aeraki_codec::Demand;
    use aeraki_route::Rules;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clusters(names: &[&str]) -> Vec<Cluster> {
        names.iter().map(|name| Cluster::new(*name)).collect()
    }

    fn users(key: &str) -> Arc<SharedRules> {
        Arc::new(SharedRules::with_demand(Rules::empty(), Demand::of([key])))
    }

    fn in_use(in_force: &InForce) -> Vec<String> {
        lock(&in_force.0).all().into_iter().map(|cluster| cluster.name.clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_stays_until_the_last_old_connection_has_ended() {
        let in_force = InForce::default();
        let table = users("a");
        let wants = |key: &str| table.load().demand().wants(key.as_bytes());
        in_force.put(&clusters(&["one", "two"]));

        let first = in_force.update(&clusters(&["two", "three"]), vec![(Arc::clone(&table), users("b"))]);
        in_force.ends_within(30 * SECOND);
        assert_eq!(in_use(&in_force), ["two", "three", "one"]);
        let second = in_force.update(&clusters(&["four"]), vec![(Arc::clone(&table), users("c"))]);
        in_force.ends_within(SECOND);
        assert_eq!(in_use(&in_force), ["four", "two", "three", "one"]);
        in_force.put(&clusters(&["four", "one"]));
        assert_eq!(in_use(&in_force), ["four", "one", "two", "three"]);
        assert!(wants("a") && wants("b") && wants("c"));

        assert_eq!((first.due(), second.due()), (Some(Instant::now() + 30 * SECOND), first.due()));
        first.settle();
        assert_eq!(in_use(&in_force).len(), 4, "the second update has yet to settle");
        tokio::time::advance(30 * SECOND).await;
        assert_eq!(second.due(), None);
        second.settle();
        assert_eq!(in_use(&in_force), ["four", "one"]);
        assert!(wants("c") && !wants("a") && !wants("b"));
    }
}
