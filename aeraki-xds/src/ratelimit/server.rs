//! The gRPC service.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use super::{Limits, Store, decision};
use crate::{
    proto::envoy::service::ratelimit::v3::{
        RateLimitRequest, RateLimitResponse,
        rate_limit_service_server::{RateLimitService, RateLimitServiceServer},
    },
    server::KEEPALIVE_INTERVAL,
};

/// Serves `RateLimitService.ShouldRateLimit`.
///
/// The response holds a status per descriptor, in order, as envoyproxy/ratelimit gives it: OK without a limit where
/// none is found, what is left of it and the seconds to its end where there is one. A store that fails is UNAVAILABLE.
///
/// Clones share limits and counters.
pub struct Server<S> {
    shared: Arc<Shared<S>>,
}

impl<S: Store> Server<S> {
    /// Creates a server that goes by the clock of the system.
    pub fn new(limits: Limits, store: S) -> Self {
        Self::with_clock(limits, store, SystemTime::now)
    }

    /// Creates a server that goes by `clock`.
    pub fn with_clock(limits: Limits, store: S, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        let shared = Shared { limits: ArcSwap::from_pointee(limits), store, clock: Box::new(clock) };
        Self { shared: Arc::new(shared) }
    }

    /// Replaces the limits, for the questions that come from now on. A counter goes on where domain, keys, values and
    /// unit are what they were.
    pub fn reload(&self, limits: Limits) {
        self.shared.limits.store(Arc::new(limits));
    }

    /// Returns the store.
    pub fn store(&self) -> &S {
        &self.shared.store
    }

    /// Returns the service, for a tonic router that is there already. It takes questions of at most 256 KiB.
    pub fn service(&self) -> RateLimitServiceServer<impl RateLimitService + use<S>> {
        RateLimitServiceServer::new(Service(Arc::clone(&self.shared))).max_decoding_message_size(MAX_REQUEST_BYTES)
    }

    /// Serves on `listener` until `shutdown` is done, then answers what was asked and ends.
    ///
    /// # Errors
    ///
    /// Fails if the transport does.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .add_service(self.service())
            .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), shutdown)
            .await
    }
}

impl<S> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("store", &self.shared.store).finish_non_exhaustive()
    }
}

struct Shared<S> {
    limits: ArcSwap<Limits>,
    store: S,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

struct Service<S>(Arc<Shared<S>>);

#[tonic::async_trait]
impl<S: Store> RateLimitService for Service<S> {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let Shared { limits, store, clock } = &*self.0;
        // a clock before the epoch is a clock at its beginning
        let now = clock().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let answer = decision::decide(&limits.load_full(), store, request.get_ref(), now).await?;
        Ok(Response::new(answer))
    }
}

/// Room for some ten descriptors whose values are as long as a URL may be.
const MAX_REQUEST_BYTES: usize = 256 << 10;
