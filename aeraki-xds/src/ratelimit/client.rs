//! Asks a rate limit service for the proxy.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aeraki_core::stack::{BoxError, BoxFuture, RateLimitAnswer, RateLimitAsk, RateLimiter};
use aeraki_route::config::{Cluster, ConfigError};
use tokio::time::Instant;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    client::{Backoff, channel},
    proto::envoy::{
        extensions::common::ratelimit::v3::{RateLimitDescriptor, rate_limit_descriptor::Entry},
        service::ratelimit::v3::{
            RateLimitRequest, rate_limit_response, rate_limit_service_client::RateLimitServiceClient,
        },
    },
};

/// A client of the rate limit service behind a cluster.
///
/// It has one HTTP/2 connection per endpoint, made when it is first used, on which any number of questions are open at
/// a time. The endpoints take turns, whatever their weight. One that cannot be reached is left out for a while, longer
/// each time, in which no question waits for it; when all are, a question fails at once. The log tells once when an
/// endpoint goes away and once when it is back.
///
/// An answer that is neither OK nor OVER_LIMIT counts as OK, as in Envoy. Every failure is an [`AskError`]; what it
/// means for the request is up to the one who asks. No question is asked twice: the service may have counted it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// Creates a client of the service behind `cluster`, whose back-off goes from 100 ms to 5 s.
    ///
    /// # Errors
    ///
    /// Fails if the cluster has no endpoint.
    pub fn new(cluster: &Cluster) -> Result<Self, ConfigError> {
        Self::with_backoff(cluster, &Backoff::new(Duration::from_millis(100), Duration::from_secs(5)))
    }

    /// Creates a client that leaves an endpoint that cannot be reached out as long as `backoff` says.
    ///
    /// # Errors
    ///
    /// Fails if the cluster has no endpoint.
    pub fn with_backoff(cluster: &Cluster, backoff: &Backoff) -> Result<Self, ConfigError> {
        let endpoints = channel::endpoints(cluster, "a rate limit service")?;
        let addresses = cluster.endpoints.iter().map(|endpoint| endpoint.address.to_string());
        let servers = endpoints.into_iter().zip(addresses);
        let servers = servers.map(|(endpoint, address)| Server::new(endpoint, address, backoff.clone())).collect();
        let shared = Shared { cluster: cluster.name.clone(), servers, turn: AtomicUsize::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl RateLimiter for Client {
    fn ask(&self, ask: RateLimitAsk) -> BoxFuture<Result<RateLimitAnswer, BoxError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(shared.ask(ask).await?) })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("cluster", &self.shared.cluster).finish_non_exhaustive()
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No endpoint could be reached when last tried, and none is to be tried again yet.
    #[error("cluster {cluster:?}: no endpoint can be reached")]
    Away {
        /// Name of the cluster.
        cluster: String,
    },
    /// The answer took longer than the question allowed.
    #[error("cluster {cluster:?}: no answer within {timeout:?}")]
    Deadline {
        /// Name of the cluster.
        cluster: String,
        /// How long it was allowed to take.
        timeout: Duration,
    },
    /// The connection could not be made or broke, or the service answered with an error.
    #[error("cluster {cluster:?}: {:?}: {}", status.code(), status.message())]
    Status {
        /// Name of the cluster.
        cluster: String,
        /// The error.
        status: Status,
    },
}

struct Shared {
    cluster: String,
    servers: Box<[Server]>,
    turn: AtomicUsize,
}

impl Shared {
    async fn ask(&self, ask: RateLimitAsk) -> Result<RateLimitAnswer, AskError> {
        let cluster = || self.cluster.clone();
        let server = self.pick().ok_or_else(|| AskError::Away { cluster: cluster() })?;
        // The deadline is not sent along: a question that is given up resets its stream, which tells the service.
        let timeout = ask.timeout;
        let answer = tokio::time::timeout(timeout, server.ask(&self.cluster, request(ask))).await;
        let answer = answer.map_err(|_| AskError::Deadline { cluster: cluster(), timeout })?;
        answer.map_err(|status| AskError::Status { cluster: cluster(), status })
    }

    /// Chooses the next server that may be tried.
    fn pick(&self) -> Option<&Server> {
        let (turn, now) = (self.turn.fetch_add(1, Ordering::Relaxed), Instant::now());
        let servers = self.servers.iter().cycle().skip(turn % self.servers.len());
        servers.take(self.servers.len()).find(|server| server.health().may_be_tried(now))
    }
}

/// One endpoint of the cluster.
struct Server {
    endpoint: Endpoint,
    address: String,
    channel: OnceLock<Channel>,
    health: Mutex<Health>,
}

impl Server {
    fn new(endpoint: Endpoint, address: String, backoff: Backoff) -> Self {
        let health = Mutex::new(Health { backoff, left_out_until: None });
        Self { endpoint, address, channel: OnceLock::new(), health }
    }

    async fn ask(&self, cluster: &str, request: RateLimitRequest) -> Result<RateLimitAnswer, Status> {
        // made on first use, because that needs the runtime
        let channel = self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone();
        let answer = RateLimitServiceClient::new(channel).should_rate_limit(request).await;
        match &answer {
            Err(status) if is_unreachable(status) => self.failed(cluster, status),
            _ => self.reached(cluster),
        }
        Ok(match answer?.into_inner().overall_code() {
            rate_limit_response::Code::OverLimit => RateLimitAnswer::OverLimit,
            rate_limit_response::Code::Ok | rate_limit_response::Code::Unknown => RateLimitAnswer::Ok,
        })
    }

    fn failed(&self, cluster: &str, status: &Status) {
        if self.health().failed(Instant::now()) {
            let (endpoint, reason) = (&self.address, status.message());
            tracing::warn!(cluster, endpoint, reason, "the rate limit service cannot be reached");
        }
    }

    fn reached(&self, cluster: &str) {
        if self.health().reached() {
            tracing::info!(cluster, endpoint = self.address, "the rate limit service is back");
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // A panic elsewhere leaves nothing half done here.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a server may be tried again.
struct Health {
    backoff: Backoff,
    left_out_until: Option<Instant>,
}

impl Health {
    fn may_be_tried(&self, now: Instant) -> bool {
        self.left_out_until.is_none_or(|until| until <= now)
    }

    /// Leaves the server out, unless it is already: many questions fail with one connection. Tells whether that is new.
    fn failed(&mut self, now: Instant) -> bool {
        let was_there = self.left_out_until.is_none();
        if self.may_be_tried(now) {
            self.left_out_until = Some(now + self.backoff.next());
        }
        was_there
    }

    /// Takes note that it can be reached. Tells whether that is new.
    fn reached(&mut self) -> bool {
        let was_away = self.left_out_until.take().is_some();
        if was_away {
            self.backoff.reset();
        }
        was_away
    }
}

/// Tells whether the transport says that there is no connection; what the service itself answers has no source.
fn is_unreachable(status: &Status) -> bool {
    status.code() == Code::Unavailable && std::error::Error::source(status).is_some()
}

fn request(ask: RateLimitAsk) -> RateLimitRequest {
    let entry = |(key, value)| Entry { key, value };
    let descriptor = |entries: Vec<_>| RateLimitDescriptor {
        entries: entries.into_iter().map(entry).collect(),
        ..RateLimitDescriptor::default()
    };
    RateLimitRequest {
        domain: ask.domain,
        descriptors: ask.descriptors.into_iter().map(descriptor).collect(),
        hits_addend: ask.hits_addend.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::Log;

    #[tokio::test]
    async fn a_server_is_told_once_when_it_goes_and_once_when_it_is_back() {
        let log = Log::begin();
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = port.local_addr().expect("bound");
        drop(port);
        let backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        let client =
            Client::with_backoff(&Cluster::new("limiter").with_endpoint(address), &backoff).expect("an endpoint");
        for _ in 0..2 {
            for _ in 0..3 {
                let ask = RateLimitAsk::new("shop".to_owned(), Vec::new(), Duration::from_secs(10));
                client.ask(ask).await.expect_err("nobody listens");
            }
            let told = log.take();
            let line =
                format!("the rate limit service cannot be reached cluster=\"limiter\" endpoint=\"{address}\" reason=");
            assert!(told.matches("cluster=").count() == 1 && told.contains(&line), "{told}");
            (0..3).for_each(|_| client.shared.servers[0].reached("limiter"));
            let told = log.take();
            let line = format!("the rate limit service is back cluster=\"limiter\" endpoint=\"{address}\"\n");
            assert!(told.matches("cluster=").count() == 1 && told.contains(&line), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_cannot_be_reached_is_left_out_for_longer_each_time() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(400));
        let mut health = Health { backoff, left_out_until: None };
        for most in [100, 200, 400, 400] {
            let now = Instant::now();
            assert!(health.may_be_tried(now));
            health.failed(now);
            let until = health.left_out_until;
            assert!(!health.failed(now));
            assert_eq!(health.left_out_until, until, "one connection fails once, however many questions were on it");
            tokio::time::advance(Duration::from_millis(most / 2 - 1)).await;
            assert!(!health.may_be_tried(Instant::now()));
            tokio::time::advance(Duration::from_millis(most / 2 + 1)).await;
        }
        health.reached();
        let now = Instant::now();
        health.failed(now);
        assert!(health.may_be_tried(now + Duration::from_millis(100)), "a success starts over");
    }

    #[test]
    fn a_question_is_sent_descriptor_by_descriptor() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let descriptors = vec![vec![pair("a", "1"), pair("b", "")], vec![pair("c", "2")]];
        let ask = RateLimitAsk::new("shop".to_owned(), descriptors, Duration::from_secs(1));
        let sent = request(ask.clone());
        assert_eq!((sent.domain.as_str(), sent.hits_addend), ("shop", 0));
        let keys = sent.descriptors.iter().map(|descriptor| descriptor.entries.len()).collect::<Vec<_>>();
        assert_eq!(keys, [2, 1]);
        assert_eq!(request(ask.with_hits_addend(Some(7))).hits_addend, 7);
    }

    #[test]
    fn a_cluster_without_endpoints_is_refused() {
        let error = Client::new(&Cluster::new("limiter")).expect_err("there is nobody to ask");
        assert_eq!(error.to_string(), r#"cluster "limiter": endpoints: a rate limit service must have at least one"#);
    }
}
