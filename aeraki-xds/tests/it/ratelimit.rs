//! The rate limit client against the rate limit service, and both against others.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aeraki_core::stack::{RateLimitAnswer, RateLimitAsk, RateLimiter};
use aeraki_route::config::Cluster;
use aeraki_xds::client::Backoff;
use aeraki_xds::proto::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use aeraki_xds::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use aeraki_xds::ratelimit::{AskError, Client, Hit, Limits, MemoryStore, Server, Store, StoreError};
use futures_util::FutureExt;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Response, Status};

use crate::support::Port;

fn limits(requests: u32) -> Limits {
    let text = format!(
        "domain: shop\ndescriptors: [{{ key: user, rate_limit: {{ unit: minute, requests_per_unit: {requests} }} }}]"
    );
    Limits::parse([("shop.yaml", text)]).expect("is valid")
}

fn ask_about(user: &str) -> RateLimitAsk {
    RateLimitAsk::new("shop".to_owned(), vec![vec![("user".to_owned(), user.to_owned())]], PATIENCE)
}

/// A service on a port, until it is stopped.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start<S: Store>(port: &Port, server: Server<S>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = port.listen();
        let task = tokio::spawn(async move {
            server.serve(listener, async { drop(stopped.await) }).await.expect("the server ends well");
        });
        Self { stop, task }
    }

    async fn stop(self) {
        drop(self.stop);
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").expect("it does not panic");
    }
}

fn cluster(ports: &[&Port]) -> Cluster {
    ports.iter().fold(Cluster::new("limiter"), |cluster, port| cluster.with_endpoint(port.address()))
}

/// A client that tries an endpoint again at once.
fn client(ports: &[&Port]) -> Client {
    Client::with_backoff(&cluster(ports), &Backoff::new(Duration::ZERO, Duration::ZERO)).expect("has an endpoint")
}

/// A client that in a test never tries an endpoint again.
fn patient_client(ports: &[&Port]) -> Client {
    let backoff = Backoff::new(Duration::from_secs(600), Duration::from_secs(600));
    Client::with_backoff(&cluster(ports), &backoff).expect("has an endpoint")
}

async fn ask(client: &Client, ask: RateLimitAsk) -> Result<RateLimitAnswer, AskError> {
    client.ask(ask).await.map_err(|error| *error.downcast::<AskError>().expect("is the client's own"))
}

/// Asks until there is an answer.
async fn ask_again(client: &Client, user: &str) -> RateLimitAnswer {
    let answered = async {
        loop {
            if let Ok(answer) = ask(client, ask_about(user)).await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("there is an answer")
}

#[tokio::test]
async fn a_limit_holds_for_its_window() {
    let port = Port::new();
    let seconds = Arc::new(AtomicU64::new(60));
    let clock = Arc::clone(&seconds);
    let clock = move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
    let running = Running::start(&port, Server::with_clock(limits(2), MemoryStore::default(), clock));
    let client = client(&[&port]);
    for answer in [RateLimitAnswer::Ok, RateLimitAnswer::Ok, RateLimitAnswer::OverLimit] {
        assert_eq!(ask(&client, ask_about("ann")).await.expect("is answered"), answer);
    }
    assert_eq!(
        ask(&client, ask_about("bob").with_hits_addend(Some(3))).await.expect("is answered"),
        RateLimitAnswer::OverLimit
    );
    seconds.store(119, Ordering::Relaxed);
    assert_eq!(ask(&client, ask_about("ann")).await.expect("is answered"), RateLimitAnswer::OverLimit);
    seconds.store(120, Ordering::Relaxed);
    assert_eq!(ask(&client, ask_about("ann")).await.expect("is answered"), RateLimitAnswer::Ok);
    running.stop().await;
}

#[tokio::test]
async fn counters_survive_new_limits() {
    let port = Port::new();
    let server = Server::with_clock(limits(1), MemoryStore::default(), || SystemTime::UNIX_EPOCH);
    let _running = Running::start(&port, server.clone());
    let client = client(&[&port]);
    let ann = || ask(&client, ask_about("ann"));
    assert_eq!(ann().await.expect("is answered"), RateLimitAnswer::Ok);
    assert_eq!(ann().await.expect("is answered"), RateLimitAnswer::OverLimit);
    server.reload(limits(3));
    assert_eq!(ann().await.expect("is answered"), RateLimitAnswer::Ok, "the third of three");
    assert_eq!(ann().await.expect("is answered"), RateLimitAnswer::OverLimit);
    server.reload(Limits::default());
    assert_eq!(ann().await.expect("is answered"), RateLimitAnswer::Ok, "there is no limit any more");
}

/// A store that holds the hits of the user `slow` back until it is opened, once for each.
#[derive(Debug, Clone)]
struct Gate {
    arrived: Arc<Semaphore>,
    opened: Arc<Semaphore>,
}

impl Gate {
    fn closed() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), opened: Arc::new(Semaphore::new(0)) }
    }
}

impl Store for Gate {
    async fn add(&self, hits: &[Hit<'_>]) -> Result<Vec<u64>, StoreError> {
        if hits.iter().any(|hit| hit.entries.contains(&("user", "slow"))) {
            self.arrived.add_permits(1);
            self.opened.acquire().await.map_err(StoreError::new)?.forget();
        }
        Ok(vec![1; hits.len()])
    }
}

#[tokio::test]
async fn a_question_without_answer_holds_nobody_up_and_ends_at_its_deadline() {
    let port = Port::new();
    let gate = Gate::closed();
    let _running = Running::start(&port, Server::new(limits(1), gate.clone()));
    let client = client(&[&port]);
    let slow: Vec<_> = (0..100).map(|_| tokio::spawn(client.ask(ask_about("slow")))).collect();
    assert_eq!(ask(&client, ask_about("fast")).await.expect("is answered"), RateLimitAnswer::Ok);
    assert!(slow.iter().all(|slow| !slow.is_finished()));

    let mut hasty = ask_about("slow");
    hasty.timeout = Duration::from_millis(20);
    let error = ask(&client, hasty).await.expect_err("the answer does not come");
    assert!(matches!(error, AskError::Deadline { .. }), "{error}");
    assert_eq!(error.to_string(), r#"cluster "limiter": no answer within 20ms"#);

    gate.opened.add_permits(100);
    for slow in slow {
        assert_eq!(slow.await.expect("does not panic").expect("is answered"), RateLimitAnswer::Ok);
    }
}

#[tokio::test]
async fn a_server_that_never_speaks_ends_at_the_deadline() {
    let port = Port::new();
    let mut question = ask_about("ann");
    question.timeout = Duration::from_millis(20);
    let error = ask(&client(&[&port]), question).await.expect_err("nobody accepts");
    assert!(matches!(error, AskError::Deadline { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_is_left_out() {
    let away = Port::new();
    let gone = away.address();
    let alone = patient_client(&[&away]);
    let other = Port::new();
    let both = patient_client(&[&away, &other]);
    let _running = Running::start(&other, Server::new(limits(100), MemoryStore::default()));
    drop(away);

    let error = ask(&alone, ask_about("ann")).await.expect_err("nobody listens");
    assert!(matches!(&error, AskError::Status { status, .. } if status.code() == Code::Unavailable), "{gone}: {error}");
    let error = ask(&alone, ask_about("ann")).now_or_never().expect("does not wait").expect_err("nobody is left");
    assert_eq!(error.to_string(), r#"cluster "limiter": no endpoint can be reached"#);

    ask(&both, ask_about("ann")).await.expect_err("its turn is the first");
    for _ in 0..4 {
        assert_eq!(ask(&both, ask_about("ann")).await.expect("is answered"), RateLimitAnswer::Ok);
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_asked_again() {
    let port = Port::new();
    let client = client(&[&port]);
    for _ in 0..3 {
        let running = Running::start(&port, Server::new(limits(1), MemoryStore::default()));
        assert_eq!(ask_again(&client, "ann").await, RateLimitAnswer::Ok, "memory begins anew");
        running.stop().await;
    }
}

#[tokio::test]
async fn what_was_asked_is_answered_before_the_end() {
    let port = Port::new();
    let gate = Gate::closed();
    let running = Running::start(&port, Server::new(limits(1), gate.clone()));
    let client = client(&[&port]);
    let slow = tokio::spawn(client.ask(ask_about("slow")));
    let _arrived = gate.arrived.acquire().await.expect("is never closed");
    let stopping = tokio::spawn(running.stop());
    gate.opened.add_permits(1);
    assert_eq!(slow.await.expect("does not panic").expect("is answered"), RateLimitAnswer::Ok);
    stopping.await.expect("does not panic");
}

/// A store that is away.
#[derive(Debug)]
struct Away;

impl Store for Away {
    async fn add(&self, _hits: &[Hit<'_>]) -> Result<Vec<u64>, StoreError> {
        Err(StoreError::new("away"))
    }
}

#[tokio::test]
async fn a_service_that_answers_with_an_error_is_asked_again() {
    let port = Port::new();
    let _running = Running::start(&port, Server::new(limits(1), Away));
    let client = patient_client(&[&port]);
    for _ in 0..3 {
        let error = ask(&client, ask_about("ann")).await.expect_err("there is no answer");
        assert_eq!(error.to_string(), r#"cluster "limiter": Unavailable: the counters cannot be reached: away"#);
    }
    let long = "x".repeat(300 << 10);
    let error = ask(&client, ask_about(&long)).await.expect_err("is too long");
    assert!(matches!(&error, AskError::Status { status, .. } if status.code() == Code::OutOfRange), "{error}");
}

/// A service of another make, which answers every question with one code.
struct Other(i32);

#[tonic::async_trait]
impl RateLimitService for Other {
    async fn should_rate_limit(&self, _: Request<RateLimitRequest>) -> Result<Response<RateLimitResponse>, Status> {
        Ok(Response::new(RateLimitResponse { overall_code: self.0, ..RateLimitResponse::default() }))
    }
}

#[tokio::test]
async fn a_code_that_is_not_known_lets_the_request_pass() {
    for (code, answer) in
        [(0, RateLimitAnswer::Ok), (1, RateLimitAnswer::Ok), (2, RateLimitAnswer::OverLimit), (77, RateLimitAnswer::Ok)]
    {
        let port = Port::new();
        let router = tonic::transport::Server::builder().add_service(RateLimitServiceServer::new(Other(code)));
        let _serving = tokio::spawn(serve(router, &port));
        assert_eq!(ask(&client(&[&port]), ask_about("ann")).await.expect("is answered"), answer);
    }
}

fn serve(router: tonic::transport::server::Router, port: &Port) -> impl Future<Output = ()> + use<> {
    let incoming = tonic::transport::server::TcpIncoming::from(port.listen());
    router.serve_with_incoming_shutdown(incoming, pending()).map(drop)
}

const PATIENCE: Duration = Duration::from_secs(20);
