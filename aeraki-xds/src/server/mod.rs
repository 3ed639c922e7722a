//! The xDS server: [`AdsStream`] under a thin gRPC service.

mod session;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use self::session::Session;
use crate::ads::AdsStream;
use crate::proto::envoy::config::core::v3::Node;
use crate::proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use crate::proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use crate::proto::envoy::service::route::v3::route_discovery_service_server::{
    RouteDiscoveryService, RouteDiscoveryServiceServer,
};
use crate::{Source, type_url};

/// Serves the snapshots of a [`Source`] as MetaRDS (`RouteDiscoveryService.StreamRoutes`) and as ADS
/// (`AggregatedDiscoveryService.StreamAggregatedResources`), both state of the world.
#[derive(Debug)]
pub struct Server<S> {
    shared: Arc<Shared<S>>,
}

impl<S: Source> Server<S> {
    /// Creates a server that nobody observes.
    pub fn new(source: S) -> Self {
        Self::observed(source, |_| {})
    }

    /// Creates a server that tells `observer` what happens on its streams.
    ///
    /// The observer runs on the stream's task: it must not block.
    pub fn observed(source: S, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        let closing = watch::Sender::new(false);
        Self { shared: Arc::new(Shared { source, observer: Box::new(observer), closing }) }
    }

    /// Returns the MetaRDS service, for a tonic router that is there already.
    pub fn route_service(&self) -> RouteDiscoveryServiceServer<impl RouteDiscoveryService + use<S>> {
        RouteDiscoveryServiceServer::new(Service(Arc::clone(&self.shared)))
    }

    /// Returns the ADS service, for a tonic router that is there already.
    pub fn aggregated_service(&self) -> AggregatedDiscoveryServiceServer<impl AggregatedDiscoveryService + use<S>> {
        AggregatedDiscoveryServiceServer::new(Service(Arc::clone(&self.shared)))
    }

    /// Ends every stream, and every later one at once.
    pub fn close(&self) {
        self.shared.closing.send_replace(true);
    }

    /// Serves both services on `listener` until `shutdown` is done, then ends all streams.
    ///
    /// # Errors
    ///
    /// Fails if the transport does.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        let close = async {
            shutdown.await;
            self.close();
        };
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .add_service(self.route_service())
            .add_service(self.aggregated_service())
            .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), close)
            .await
    }
}

/// Something that happened on a stream.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A stream was opened: its first request is here.
    Connected {
        /// Who opened it.
        node: &'a Node,
    },
    /// A response was accepted.
    Acked {
        /// Who accepted it.
        node: &'a Node,
        /// Type of its resources.
        type_url: &'a str,
        /// Its version.
        version: &'a str,
    },
    /// A response was refused; the subscriber keeps what it had.
    Nacked {
        /// Who refused it.
        node: &'a Node,
        /// Type of its resources.
        type_url: &'a str,
        /// Its version.
        version: &'a str,
        /// Why, in the subscriber's words.
        reason: &'a str,
    },
    /// Resources are asked for that are not there; each is told once on a stream until it has been there.
    Absent {
        /// Who asks.
        node: &'a Node,
        /// Type of the resources.
        type_url: &'a str,
        /// Their names, in order, of which there may be thousands.
        names: &'a [String],
    },
    /// A stream ended.
    Disconnected {
        /// Who had opened it.
        node: &'a Node,
    },
}

struct Shared<S> {
    source: S,
    observer: Box<dyn Fn(&Event<'_>) + Send + Sync>,
    closing: watch::Sender<bool>,
}

impl<S: fmt::Debug> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("source", &self.source).finish_non_exhaustive()
    }
}

struct Service<S>(Arc<Shared<S>>);

#[tonic::async_trait]
impl<S: Source> RouteDiscoveryService for Service<S> {
    type StreamRoutesStream = Responses;

    async fn stream_routes(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let ads = AdsStream::of_type(type_url::ROUTE);
        Ok(Response::new(Session::open(Arc::clone(&self.0), request.into_inner(), ads)))
    }
}

#[tonic::async_trait]
impl<S: Source> AggregatedDiscoveryService for Service<S> {
    type StreamAggregatedResourcesStream = Responses;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        Ok(Response::new(Session::open(Arc::clone(&self.0), request.into_inner(), AdsStream::new())))
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;

/// How often a silent client is asked whether it is still there.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
