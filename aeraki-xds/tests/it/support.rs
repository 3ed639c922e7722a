//! A control plane and its clients in this process.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use aeraki_route::config::{Cluster, Node, Route, RouteAction, RouteConfig};
use aeraki_route::{Rules, SharedRules};
use aeraki_xds::client::{self, Backoff, Subscriber};
use aeraki_xds::server::{self, Server};
use aeraki_xds::{Publisher, Snapshot, SnapshotBuilder};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// A port that stays taken while servers come and go on it.
pub(crate) struct Port(TcpListener);

impl Port {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("the listener can be non-blocking");
        Self(listener)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("the listener is bound")
    }

    /// Listens on it, beside whoever does so already.
    pub(crate) fn listen(&self) -> tokio::net::TcpListener {
        self.0.try_clone().and_then(tokio::net::TcpListener::from_std).expect("the listener can be shared")
    }
}

pub(crate) struct ControlPlane {
    pub(crate) publisher: Publisher,
    pub(crate) events: Events,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl ControlPlane {
    pub(crate) fn start(port: &Port, publisher: Publisher) -> Self {
        let (observer, events) = Events::new();
        let server =
            Server::observed(publisher.clone(), move |event: &server::Event<'_>| observer.send(server_line(event)));
        let listener = port.listen();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            server.serve(listener, stopped).await.expect("the server ends well");
        });
        Self { publisher, events, stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("the server runs");
        self.task.await.expect("the server ends");
    }

    /// Publishes these tables after what is published now.
    pub(crate) fn publish(&self, tables: impl IntoIterator<Item = RouteConfig>) -> Arc<Snapshot> {
        let previous = self.publisher.current().unwrap_or_default();
        let snapshot = Arc::new(SnapshotBuilder::after(previous).routes(tables).build().expect("valid tables"));
        self.publisher.publish(Arc::clone(&snapshot));
        snapshot
    }
}

pub(crate) struct Client {
    pub(crate) rules: Arc<SharedRules>,
    pub(crate) events: Events,
    task: JoinHandle<()>,
}

impl Client {
    /// Subscribes to the table `name`.
    pub(crate) fn start(port: &Port, name: &'static str) -> Self {
        Self::of(&Cluster::new("aeraki-xds").with_endpoint(port.address()), name)
    }

    /// Subscribes to the table `name` at the control plane behind a cluster.
    pub(crate) fn of(cluster: &Cluster, name: &'static str) -> Self {
        let (observer, events) = Events::new();
        let subscriber = Subscriber::new(cluster, &Node::new("sidecar", "test"))
            .expect("the cluster has an endpoint")
            .with_backoff(Backoff::new(Duration::from_millis(10), Duration::from_millis(50)))
            .with_observer(move |event: &client::Event<'_>| observer.send(client_line(event)));
        let rules = Arc::new(SharedRules::new(Rules::empty()));
        let shared = Arc::clone(&rules);
        let task = tokio::spawn(async move { subscriber.drive(name, shared).await });
        Self { rules, events, task }
    }

    /// The cluster that a message without attributes goes to.
    pub(crate) fn cluster(&self) -> Option<String> {
        let nothing: [(&str, &str); 0] = [];
        self.rules.load().find(&nothing).map(|route| route.pick(0).to_string())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What happened, one line each, in order.
pub(crate) struct Events(mpsc::UnboundedReceiver<String>);

pub(crate) struct Observer(mpsc::UnboundedSender<String>);

impl Observer {
    fn send(&self, line: String) {
        // Nobody listens any more at the end of a test.
        drop(self.0.send(line));
    }
}

impl Events {
    fn new() -> (Observer, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Observer(sender), Self(receiver))
    }

    /// Waits for the next event that starts with `start`.
    pub(crate) async fn wait(&mut self, start: &str) -> String {
        let found = async {
            loop {
                let line = self.0.recv().await.expect("the observed is still there");
                if line.starts_with(start) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no event {start:?}"))
    }

    /// Returns the events that are here already.
    pub(crate) fn drain(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// A table that sends everything to `cluster`.
pub(crate) fn table(name: &str, cluster: &str) -> RouteConfig {
    RouteConfig::new(name, [Route::new("all", RouteAction::cluster(cluster))])
}

fn server_line(event: &server::Event<'_>) -> String {
    match event {
        server::Event::Connected { node } => format!("connected {}", node.id),
        server::Event::Acked { version, .. } => format!("acked {version}"),
        server::Event::Nacked { reason, .. } => format!("nacked {reason}"),
        server::Event::Absent { names, .. } => format!("absent {}", names.join(" ")),
        server::Event::Disconnected { node } => format!("disconnected {}", node.id),
        other => unexpected(other),
    }
}

fn client_line(event: &client::Event<'_>) -> String {
    match event {
        client::Event::Connected { .. } => "connected".to_owned(),
        client::Event::Accepted { version, .. } => format!("accepted {version}"),
        client::Event::Rejected { reason, .. } => format!("rejected {reason}"),
        client::Event::Empty { name } => format!("empty {name}"),
        client::Event::Disconnected { .. } => "disconnected".to_owned(),
        other => unexpected(other),
    }
}

fn unexpected(event: &dyn fmt::Debug) -> String {
    panic!("an event that no test knows: {event:?}")
}

const PATIENCE: Duration = Duration::from_secs(20);
