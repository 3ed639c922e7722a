//! The clusters of all workers, and what an update takes away: it stays as long as connections finish in the old way.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use aeraki_route::{SharedRules, config::Cluster};
use tokio::sync::watch;

use super::worker::ClustersOfWorker;
use crate::{
    server::{Drain, Phase},
    sync::lock,
};

/// The clusters in force, with those that are gone but still in use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    workers: Vec<ClustersOfWorker>,
    clusters: Vec<Arc<Cluster>>,
    /// Those that are gone, but not for connections that finish in the old way, and which update took them away; the
    /// last first.
    leaving: Vec<(u64, Arc<Cluster>)>,
    /// The users of tables since an update, as long as those before may judge too.
    users: Vec<(u64, Vec<NewUsers>)>,
    /// Counts the updates.
    turn: u64,
    /// Counts the rests of updates that are still to be done.
    rests: watch::Sender<usize>,
}

/// A table that is here already, and rules with the users that it will have.
pub(super) type NewUsers = (Arc<SharedRules>, Arc<SharedRules>);

/// What an update leaves to be done when nobody needs the configuration before it any more.
#[derive(Debug)]
pub(super) struct Rest {
    in_force: InForce,
    turn: u64,
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

    /// Lists the clusters in force, and after them those that are leaving.
    pub(super) fn clusters(&self) -> Vec<Arc<Cluster>> {
        lock(&self.0).all()
    }

    /// Waits until the rests of all updates are done.
    pub(super) fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut rests = lock(&self.0).rests.subscribe();
        async move {
            // an error means that the proxy is gone, and what it needed with it
            _ = rests.wait_for(|rests| *rests == 0).await;
        }
    }

    /// Makes these the clusters of an update; those before, and the keys that the users of tables asked for, stay until
    /// its rest is done.
    pub(super) fn update(&self, clusters: &[Cluster], tables: Vec<NewUsers>) -> Rest {
        let mut state = lock(&self.0);
        state.turn += 1;
        let turn = state.turn;
        let before = std::mem::take(&mut state.clusters).into_iter().map(|cluster| (turn, cluster));
        state.leaving.splice(..0, before);
        state.put(clusters);
        tables.iter().for_each(|(table, users)| table.join_users(users));
        state.users.push((turn, tables));
        state.rests.send_modify(|rests| *rests += 1);
        Rest { in_force: self.clone(), turn }
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
        self.leaving.retain(|(_, gone)| known.insert(gone.name.clone()));
        self.tell_workers();
    }

    fn all(&self) -> Vec<Arc<Cluster>> {
        self.clusters.iter().chain(self.leaving.iter().map(|(_, cluster)| cluster)).cloned().collect()
    }

    fn tell_workers(&self) {
        let all = self.all();
        self.workers.iter().for_each(|worker| worker.put(&all));
    }

    /// Leaves tables to the users since an update.
    fn forget_users_before(&mut self, turn: u64) {
        self.users.retain(|(since, _)| *since >= turn);
        for (since, tables) in &self.users {
            for (table, users) in tables {
                if *since == turn { table.take_users(users) } else { table.join_users(users) }
            }
        }
    }
}

impl Rest {
    /// Lets go what only the configuration before the update needs, when all that `ending` tells has ended.
    pub(super) async fn settle_after(self, ending: Vec<Drain>) {
        for drain in ending {
            drain.reached(Phase::Closing).await;
        }
        self.settle();
    }

    /// Lets go what only the configuration before the update needs.
    pub(super) fn settle(self) {
        let mut state = lock(&self.in_force.0);
        state.forget_users_before(self.turn);
        state.leaving.retain(|(turn, _)| *turn > self.turn);
        state.tell_workers();
        state.rests.send_modify(|rests| *rests -= 1);
    }
}

#[cfg(test)]
mod tests {
    use aeraki_codec::Demand;
    use aeraki_route::Rules;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn clusters(names: &[&str]) -> Vec<Cluster> {
        names.iter().map(|name| Cluster::new(*name)).collect()
    }

    fn users(key: &str) -> Arc<SharedRules> {
        Arc::new(SharedRules::with_demand(Rules::empty(), Demand::of([key])))
    }

    fn in_use(in_force: &InForce) -> Vec<String> {
        in_force.clusters().into_iter().map(|cluster| cluster.name.clone()).collect()
    }

    #[tokio::test]
    async fn what_is_gone_stays_until_the_last_old_connection_has_ended() {
        let in_force = InForce::default();
        let table = users("a");
        let wants = |key: &str| table.load().demand().wants(key.as_bytes());
        let now_used_by = |key: &str| vec![(Arc::clone(&table), users(key))];
        let (one, two) = (Drain::new(), Drain::new());
        in_force.put(&clusters(&["one", "two"]));

        let first = in_force.update(&clusters(&["two", "three"]), now_used_by("b"));
        let mut first = task::spawn(first.settle_after(vec![one.clone()]));
        assert_pending!(first.poll());
        assert_eq!(in_use(&in_force), ["two", "three", "one"]);
        let second = in_force.update(&clusters(&["four"]), now_used_by("c"));
        let mut second = task::spawn(second.settle_after(vec![one.clone(), two.clone()]));
        assert_pending!(second.poll());
        let mut settled = task::spawn(in_force.settled());
        assert_pending!(settled.poll());
        assert_eq!(in_use(&in_force), ["four", "two", "three", "one"]);
        in_force.put(&clusters(&["four", "three"]));
        assert_eq!(in_use(&in_force), ["four", "three", "two", "one"]);
        assert!(wants("a") && wants("b") && wants("c"));

        one.close();
        assert_ready!(first.poll());
        assert_pending!(second.poll());
        assert_eq!(in_use(&in_force), ["four", "three", "two"], "which left with the second");
        assert!(!wants("a") && wants("b") && wants("c"));
        assert_pending!(settled.poll());
        two.close();
        assert_ready!(second.poll());
        assert_ready!(settled.poll());
        assert_eq!(in_use(&in_force), ["four", "three"]);
        assert!(!wants("b") && wants("c"));
    }

    #[test]
    fn rests_may_be_done_in_any_order() {
        let in_force = InForce::default();
        let table = users("a");
        in_force.put(&clusters(&["one"]));
        let [first, second] =
            ["b", "c"].map(|key| in_force.update(&clusters(&[key]), vec![(Arc::clone(&table), users(key))]));
        second.settle();
        first.settle();
        assert_eq!(in_use(&in_force), ["c"]);
        let demand = table.load().demand().clone();
        assert!(demand.wants(b"c") && !demand.wants(b"a") && !demand.wants(b"b"));
    }
}
