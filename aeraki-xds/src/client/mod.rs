//! The data plane's end of MetaRDS: subscribes to route tables, compiles them, puts them in force.
//!
//! A table that cannot be used is refused with the compiler's own words, and the last good one stays in force; so it
//! does while the control plane is away.

mod backoff;
pub(crate) mod channel;
mod node;
mod stats;
mod subscription;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aeraki_route::SharedRules;
use aeraki_route::config::{Cluster, ConfigError, Node, RouteConfig};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

pub use self::backoff::Backoff;
pub use self::stats::UpdateStats;
use self::subscription::Subscription;
use crate::proto::envoy::config::core::v3::Node as NodeProto;
use crate::proto::envoy::service::route::v3::route_discovery_service_client::RouteDiscoveryServiceClient;

/// A client of one control plane.
///
/// All its subscriptions share one connection per endpoint; each has a stream of its own.
pub struct Subscriber {
    endpoints: Vec<Endpoint>,
    channel: OnceLock<Channel>,
    node: NodeProto,
    backoff: Backoff,
    stats: Arc<UpdateStats>,
    observer: Box<dyn Fn(&Event<'_>) + Send + Sync>,
}

impl Subscriber {
    /// Creates a client of the control plane behind `cluster`, which connects when it is first used.
    ///
    /// # Errors
    ///
    /// Fails if the cluster has no endpoint, or one on a Unix socket beside others.
    pub fn new(cluster: &Cluster, node: &Node) -> Result<Self, ConfigError> {
        Ok(Self {
            endpoints: channel::balanced(cluster, "a control plane")?,
            channel: OnceLock::new(),
            node: node::to_proto(node),
            backoff: Backoff::default(),
            stats: Arc::default(),
            observer: Box::new(|_| {}),
        })
    }

    /// Sets how long to wait before connecting again.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Counts what happens in `stats`, which other subscribers may share.
    #[must_use]
    pub fn with_stats(mut self, stats: Arc<UpdateStats>) -> Self {
        self.stats = stats;
        self
    }

    /// Tells `observer` what happens. It runs on the subscription's task: it must not block.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Keeps `rules` at what the control plane says of the table `name`, until the future is dropped.
    pub async fn drive(&self, name: &str, rules: Arc<SharedRules>) {
        self.watch(name, |routes| rules.update(routes)).await;
    }

    /// Hands every new state of the table `name` to `apply`, until the future is dropped.
    ///
    /// What `apply` returns is what the control plane is told: an error refuses the table with its text. A table whose
    /// bytes are those of the last accepted one is accepted without asking.
    pub async fn watch(&self, name: &str, mut apply: impl FnMut(&RouteConfig) -> Result<(), ConfigError> + Send) {
        let mut subscription = Subscription::new(name, self.node.clone());
        let mut backoff = self.backoff.clone();
        loop {
            let end = self.stream(&mut subscription, &mut apply, &mut backoff).await;
            let reason = end.err().map_or_else(|| "the stream ended".to_owned(), |status| status.message().to_owned());
            let retry_in = backoff.next();
            self.tell(&Event::Disconnected { name, reason: &reason, retry_in });
            tokio::time::sleep(retry_in).await;
        }
    }

    /// Runs one stream to its end.
    async fn stream(
        &self,
        subscription: &mut Subscription,
        apply: &mut (impl FnMut(&RouteConfig) -> Result<(), ConfigError> + Send),
        backoff: &mut Backoff,
    ) -> Result<(), Status> {
        let (requests, outgoing) = mpsc::channel(1);
        let closed = |_| Status::unavailable("the stream was closed");
        requests.send(subscription.open()).await.map_err(closed)?;
        let mut client = RouteDiscoveryServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES);
        let mut responses = client.stream_routes(ReceiverStream::new(outgoing)).await?.into_inner();
        self.tell(&Event::Connected { name: subscription.name() });
        while let Some(response) = responses.message().await? {
            backoff.reset();
            let (answer, outcome) = subscription.on_response(response, apply);
            self.tell(&outcome.event(subscription.name()));
            requests.send(answer).await.map_err(closed)?;
        }
        Ok(())
    }

    fn tell(&self, event: &Event<'_>) {
        self.stats.count(event);
        (self.observer)(event);
    }

    /// The shared connection; made on first use, because that needs the runtime.
    fn channel(&self) -> Channel {
        let connect = || match self.endpoints.as_slice() {
            [one] => one.connect_lazy(),
            many => Channel::balance_list(many.iter().cloned()),
        };
        self.channel.get_or_init(connect).clone()
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// Something that happened to a subscription.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The control plane has taken the stream.
    Connected {
        /// Name of the table.
        name: &'a str,
    },
    /// A table was accepted and is in force.
    Accepted {
        /// Name of the table.
        name: &'a str,
        /// Its version.
        version: &'a str,
    },
    /// A table was refused; the last good one stays in force.
    Rejected {
        /// Name of the table.
        name: &'a str,
        /// Version of the refused one.
        version: &'a str,
        /// Why: the text that the control plane was sent.
        reason: &'a str,
    },
    /// The control plane says that it has no such table; the last good one stays in force.
    Empty {
        /// Name of the table.
        name: &'a str,
    },
    /// The control plane is away; the last good table stays in force.
    Disconnected {
        /// Name of the table.
        name: &'a str,
        /// What the transport says.
        reason: &'a str,
        /// When the next attempt is made.
        retry_in: Duration,
    },
}

/// Room for a table of some hundred thousand routes.
const MAX_RESPONSE_BYTES: usize = 64 << 20;
