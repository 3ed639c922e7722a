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
}

/// Hands every request to the cluster that was picked for it.
///
/// Without such a cluster the request ends with [`Reason::ClusterNotFound`].
#[derive(Clone, Debug)]
pub struct Upstream {
    clusters: Arc<dyn Resolve>,
}

impl Upstream {
    /// Makes the service; `clusters` knows the clusters.
    #[must_use]
    pub const fn new(clusters: Arc<dyn Resolve>) -> Self {
        Self { clusters }
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
    fn call(&mut self, routed: Routed) -> Self::Future {
        let Some(cluster) = self.clusters.resolve(&routed.cluster) else {
            let text = format!("there is no cluster {:?}", routed.cluster);
            return Either::Right(ready(Err(LocalReply::new(Reason::ClusterNotFound, text).into())));
        };
        Either::Left(cluster.forward(routed.request))
    }
}
