//! A cluster: its endpoints, and the way of a request to one of them.

use std::{
    future::{Future, ready as ready_future},
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};

use aeraki_codec::Reason;
use aeraki_route::{
    Placement,
    config::{self, SocketAddress},
};
use tokio::task::AbortHandle;

use super::{
    call::{Exchange, Exchanged},
    directory::Directory,
    discovery::{self, Names},
    endpoint::Active,
    health::{Monitor, Watched},
    members::Members,
    shared::{Admitted, Shared},
    stats::ClusterStats,
};
use crate::stack::{BoxError, Forward, Forwarding, Request, Response};

/// Sends requests to the endpoints of one cluster.
#[derive(Debug)]
pub struct Cluster {
    config: Arc<config::Cluster>,
    directory: Arc<Directory>,
    /// What goes on for its sake, as long as it is in force.
    tasks: Vec<AbortHandle>,
}

impl Cluster {
    /// Makes a cluster, which takes over the connections to endpoints that `previous` has too where they are made and
    /// used in the same way, and what looks after their health where they are judged in the same way.
    ///
    /// Of the workers that have the cluster one `looks_after` the health of its endpoints.
    pub(super) fn new(
        config: Arc<config::Cluster>,
        shared: Arc<Shared>,
        previous: Option<&Self>,
        looks_after: bool,
    ) -> Self {
        let previous = previous.filter(|previous| previous.connects_like(&shared.config));
        let changes = shared.changes();
        if looks_after {
            shared.usage.health.detect_outliers(config.outlier_detection.is_some());
        }
        let before = previous.map(|previous| previous.directory.members());
        // what was found before is better than nothing until names are looked up
        let names = Names::of(&config, &shared.usage.answers, before.as_ref());
        let members = match &names {
            Some(names) => Members::new(names.found(), before.as_deref(), &shared),
            None => Members::new(discovery::given(&config), before.as_deref(), &shared),
        };
        let monitor = looks_after.then(|| {
            let kept = previous.filter(|previous| previous.judges_like(&shared.config));
            kept.and_then(|kept| kept.directory.release_monitor()).unwrap_or_else(|| Monitor::begin(&shared))
        });
        let directory = Arc::new(Directory::new(members, shared, monitor));
        directory.settle(names.as_ref().is_none_or(Names::are_known));
        let tasks = directory.begin(names, changes);
        Self { config, directory, tasks }
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &Arc<config::Cluster> {
        &self.config
    }

    /// Returns what is counted.
    #[must_use]
    pub fn stats(&self) -> &ClusterStats {
        &self.directory.shared.stats
    }

    /// Lists the addresses of the endpoints as they are now.
    #[must_use]
    pub fn endpoints(&self) -> Vec<SocketAddress> {
        self.directory.addresses()
    }

    /// Tells which endpoint a request that is placed so would go to now, and counts it as such a request; none where
    /// none may take it.
    #[must_use]
    pub fn pick(&self, placement: Option<&Placement>) -> Option<SocketAddress> {
        self.directory.pick_by(placement)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.directory.shared
    }

    pub(super) const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Ends all connections that `next` has not taken over, each with its last request, and looks after nothing any
    /// more.
    pub(super) fn drain(&self, next: Option<&Self>) {
        self.stop_tasks();
        let kept = next.map(|next| next.directory.members());
        self.directory.drain(kept.as_deref());
    }

    fn stop_tasks(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        drop(self.directory.release_monitor());
    }

    /// Tells whether connections are made and used as a configuration says, which is without endpoints.
    fn connects_like(&self, config: &config::Cluster) -> bool {
        let mut like = self.shared().config.clone();
        like.discovery.clone_from(&config.discovery);
        like.lb_policy = config.lb_policy;
        like.slow_start = config.slow_start;
        like.common_lb = config.common_lb;
        like.subsets.clone_from(&config.subsets);
        like.health_check.clone_from(&config.health_check);
        like.outlier_detection.clone_from(&config.outlier_detection);
        like == *config
    }

    /// Tells whether endpoints are judged as a configuration says.
    fn judges_like(&self, config: &config::Cluster) -> bool {
        let like = &self.shared().config;
        like.health_check == config.health_check && like.outlier_detection == config.outlier_detection
    }
}

impl Forward for Cluster {
    fn forward(&self, request: Request) -> Forwarding {
        let admitted = match self.directory.shared.admit(&request) {
            Ok(admitted) => admitted,
            Err(overflow) => return Forwarding::boxed(ready_future(Err(overflow.into()))),
        };
        match self.directory.choose(&request) {
            Some((active, bound)) => Forwarding::direct(self.directory.send(request, admitted, active, bound)),
            None => Forwarding::boxed(Arc::clone(&self.directory).forward_when_known(request, admitted)),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_tasks();
    }
}

/// A request on its way to an endpoint.
pub(crate) struct Flight {
    exchange: Exchange,
    watched: Option<Watched>,
    /// None once a stream has taken it over.
    place: Option<(Active, Admitted)>,
}

impl Future for Flight {
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Self::Output> {
        let mut outcome = ready!(Pin::new(&mut self.exchange).poll(cx));
        self.note(&outcome);
        if let Ok(Response::Stream(_, handle)) = &mut outcome {
            handle.keep(self.place.take());
        }
        Poll::Ready(outcome.map_err(Into::into))
    }
}

impl Flight {
    pub(super) const fn new(exchange: Exchange, watched: Option<Watched>, active: Active, admitted: Admitted) -> Self {
        Self { exchange, watched, place: Some((active, admitted)) }
    }

    /// Notes what the end of the request says of its endpoint.
    fn note(&mut self, outcome: &Exchanged) {
        let Some((active, _)) = &mut self.place else { return };
        match outcome {
            Ok(Response::Oneway) => {}
            Ok(_) => active.answered(),
            // that there is no room says nothing about the endpoint
            Err(reply) if reply.reason() != Reason::Overflow => active.failed(),
            Err(_) => {}
        }
        if let Some(watched) = self.watched.take() {
            watched.ended(outcome, active.endpoint());
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let (Some(watched), Some((active, _))) = (self.watched.take(), &self.place) {
            watched.given_up(active.endpoint());
        }
    }
}
