//! The end of the stack: hands a request to its cluster.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use aeraki_codec::{LocalReply, Reason};
use futures_util::future::{Either, Ready, ready};
use tower_service::Service;

use super::{BoxError, Forward, Forwarding, Response, Routed};

/// Finds clusters by name.
pub trait Resolve: Send + Sync + fmt::Debug + 'static {
    /// Returns the cluster of this name.
    fn resolve(&self, cluster: &str) -> Option<Arc<dyn Forward>>;

    /// Returns a number that changes when any name is given to another cluster, so that until then none need be
    /// resolved again; `None`, the default: every request is.
    fn generation(&self) -> Option<u64> {
        None
    }
}

/// Hands every request to the cluster that was picked for it.
///
/// Without such a cluster the request ends with [`Reason::ClusterNotFound`].
#[derive(Clone, Debug)]
pub struct Upstream {
    clusters: Arc<dyn Resolve>,
    /// Clusters that were found in `generation`, by names that are told apart by where they lie: routes share them.
    found: Vec<(Arc<str>, Arc<dyn Forward>)>,
    generation: Option<u64>,
}

impl Upstream {
    /// Makes the service; `clusters` knows the clusters.
    #[must_use]
    pub const fn new(clusters: Arc<dyn Resolve>) -> Self {
        Self { clusters, found: Vec::new(), generation: None }
    }

    #[inline]
    fn find(&mut self, name: &Arc<str>) -> Option<&Arc<dyn Forward>> {
        let generation = self.clusters.generation();
        if generation.is_none() || generation != self.generation {
            self.generation = generation;
            self.found.clear();
        }
        let known = self.found.iter().position(|(known, _)| Arc::ptr_eq(known, name));
        let place = known.or_else(|| self.resolve(name))?;
        self.found.get(place).map(|(_, cluster)| cluster)
    }

    #[inline(never)]
    fn resolve(&mut self, name: &Arc<str>) -> Option<usize> {
        let cluster = self.clusters.resolve(name)?;
        if self.found.len() == MOST_FOUND {
            self.found.clear();
        }
        self.found.push((Arc::clone(name), cluster));
        Some(self.found.len() - 1)
    }
}

impl Service<Routed> for Upstream {
    type Response = Response;
    type Error = BoxError;
    type Future = Either<Forwarding, Ready<Result<Response, BoxError>>>;

    /// Always ready: whether the cluster is can only be known once it has been picked.
    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, mut routed: Routed) -> Self::Future {
        routed.pass_on_timeout();
        let Some(cluster) = self.find(&routed.cluster) else {
            let text = format!("there is no cluster {:?}", routed.cluster);
            return Either::Right(ready(Err(LocalReply::new(Reason::ClusterNotFound, text).into())));
        };
        Either::Left(cluster.forward(routed.request))
    }
}

/// Clusters that one connection keeps at hand.
const MOST_FOUND: usize = 8;
