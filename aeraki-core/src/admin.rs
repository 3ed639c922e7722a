//! The admin interface: statistics, endpoints, readiness and drains over HTTP/1.1, for people, for Prometheus and for
//! what ends the process.

mod clusters;
mod query;
mod stats;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Uri, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use self::query::Query;
use crate::{
    io::Io,
    observe::Stats,
    server::{Accept, Drain, ListenerDrains, Phase, TcpAccept, pause_after},
    upstream::Clusters,
};

/// Answers `GET` and `HEAD` on `/stats`, `/stats/prometheus`, `/clusters`, `/server_info` and `/ready`, and drains
/// listeners at `POST` on `/drain_listeners`. A parameter that a path does not have is refused by name.
///
/// A connection is for one request, and for 30 s. There are 64 at a time: one that comes beyond takes the place of the
/// oldest whose request has not come, or of the oldest, so that nobody shuts others out.
#[derive(Debug)]
pub struct Admin {
    socket: std::net::TcpListener,
    local: SocketAddr,
    view: View,
}

/// What can be seen, and done.
struct View {
    stats: Stats,
    drain: Drain,
    listeners: ListenerDrains,
    /// The clusters of every worker.
    clusters: Vec<Arc<Clusters>>,
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("drain", &self.drain).finish_non_exhaustive()
    }
}

impl Admin {
    /// Answers on a socket that listens. Until `is_ready` says so, the proxy is shown as one that still waits for its
    /// configuration; it ends with `drain`. Those who ask for it have `listeners` drain.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(
        socket: std::net::TcpListener,
        stats: Stats,
        drain: Drain,
        listeners: ListenerDrains,
        is_ready: impl Fn() -> bool + Send + Sync + 'static,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let (clusters, is_ready) = (Vec::new(), Box::new(is_ready));
        Ok(Self { socket, local, view: View { stats, drain, listeners, clusters, is_ready } })
    }

    /// Shows the endpoints of these clusters, which are those of every worker.
    #[must_use]
    pub fn with_clusters(mut self, workers: impl IntoIterator<Item = Arc<Clusters>>) -> Self {
        self.view.clusters.extend(workers);
        self
    }

    /// Returns the address that it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Answers until the proxy has ended.
    pub async fn serve(self) {
        match tokio::net::TcpListener::from_std(self.socket) {
            Ok(socket) => Arc::new(self.view).serve(TcpAccept { socket, original_dst: false }).await,
            Err(error) => tracing::error!(%error, "the admin interface cannot be served"),
        }
    }
}

impl View {
    async fn serve(self: Arc<Self>, acceptor: impl Accept) {
        let mut connections = JoinSet::new();
        // the oldest first
        let mut open: VecDeque<Open> = VecDeque::new();
        let mut closing = pin!(self.drain.reached(Phase::Closing));
        loop {
            tokio::select! {
                biased;
                () = &mut closing => return,
                Some(_) = connections.join_next() => open.retain(|connection| !connection.task.is_finished()),
                accepted = poll_fn(|cx| acceptor.poll_accept(cx)) => match accepted {
                    Ok((io, _)) => {
                        if open.len() >= MOST_CONNECTIONS {
                            make_room(&mut open);
                        }
                        let asked = Arc::default();
                        let task = connections.spawn(Arc::clone(&self).answer(io, Arc::clone(&asked)));
                        open.push_back(Open { task, asked });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the admin interface could not be accepted");
                        if let Some(pause) = pause_after(&error) && timeout(pause, &mut closing).await.is_ok() {
                            return;
                        }
                    }
                },
            }
        }
    }

    async fn answer(self: Arc<Self>, io: Box<dyn Io>, asked: Arc<AtomicBool>) {
        let service = service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let response = self.respond(request.method(), request.uri());
            async move { Ok::<_, Infallible>(response) }
        });
        let served = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(io), service);
        match timeout(LONGEST, served).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
            Err(_) => tracing::debug!("an admin connection took too long"),
        }
    }

    fn respond(&self, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
        let Some(page) = PAGES.iter().find(|page| page.path == uri.path()) else {
            return response(StatusCode::NOT_FOUND, TEXT, PAGES.iter().map(|page| format!("{page}\n")).collect());
        };
        if !page.methods.contains(&method.as_str()) {
            let text = format!("only {}\n", page.methods.join(" and "));
            return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
        }
        let query = Query::read(uri.query().unwrap_or_default(), page.parameters);
        let answer = query.and_then(|query| (page.answer)(self, &query));
        answer.unwrap_or_else(|reason| response(StatusCode::BAD_REQUEST, TEXT, format!("{reason}\n")))
    }

    /// Shows the numbers that are asked for.
    fn stats(&self, query: &Query) -> Answer {
        let samples = stats::wanted(self.stats.samples(), query)?;
        match query.get("format") {
            None | Some("text") => Ok(response(StatusCode::OK, TEXT, samples.to_text())),
            Some("json") => Ok(response(StatusCode::OK, JSON, samples.to_json())),
            Some("prometheus") => Ok(response(StatusCode::OK, OPEN_METRICS, samples.into_prometheus())),
            Some(other) => Err(format!("format: {other:?} is none of json, prometheus and text")),
        }
    }

    fn prometheus(&self, query: &Query) -> Answer {
        let samples = stats::wanted(self.stats.samples(), query)?;
        Ok(response(StatusCode::OK, OPEN_METRICS, samples.into_prometheus()))
    }

    /// Shows every endpoint of every cluster.
    fn clusters(&self, _: &Query) -> Answer {
        Ok(response(StatusCode::OK, TEXT, clusters::to_text(&self.clusters)))
    }

    fn server_info(&self, _: &Query) -> Answer {
        let info = serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "state": self.state()});
        Ok(response(StatusCode::OK, JSON, info.to_string()))
    }

    fn ready(&self, _: &Query) -> Answer {
        let state = self.state();
        let status = if state == LIVE { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Ok(response(status, TEXT, format!("{state}\n")))
    }

    /// Tells how it is, in the words of Envoy's server states.
    fn state(&self) -> &'static str {
        if self.drain.phase().max(self.listeners.phase()) != Phase::Serving {
            "DRAINING"
        } else if (self.is_ready)() {
            LIVE
        } else {
            "INITIALIZING"
        }
    }

    /// Has listeners drain in the words of Envoy, whose `graceful` is the only way here.
    fn drain_listeners(&self, query: &Query) -> Answer {
        query.flag("graceful")?;
        let inbound_only = query.flag("inboundonly")?;
        tracing::info!(inbound_only, "listeners drain because the admin interface was asked to");
        self.listeners.begin(inbound_only);
        Ok(response(StatusCode::OK, TEXT, "OK\n".to_owned()))
    }
}

/// A page, or what is wrong with the parameters that it is asked for with.
type Answer = Result<Response<Full<Bytes>>, String>;

/// What is answered at a path.
struct Page {
    path: &'static str,
    methods: &'static [&'static str],
    parameters: &'static [&'static str],
    answer: fn(&View, &Query) -> Answer,
}

impl Page {
    /// Shows something to those who `GET` it.
    const fn shown(
        path: &'static str,
        parameters: &'static [&'static str],
        answer: fn(&View, &Query) -> Answer,
    ) -> Self {
        Self { path, methods: &["GET", "HEAD"], parameters, answer }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.methods.join(", "), self.path)?;
        for (place, parameter) in self.parameters.iter().enumerate() {
            write!(f, "{}{parameter}", if place == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

const PAGES: &[Page] = &[
    Page::shown("/stats", &["filter", "usedonly", "format"], View::stats),
    Page::shown("/stats/prometheus", &["filter", "usedonly"], View::prometheus),
    Page::shown("/clusters", &[], View::clusters),
    Page::shown("/server_info", &[], View::server_info),
    Page::shown("/ready", &[], View::ready),
    Page {
        path: "/drain_listeners",
        methods: &["POST"],
        parameters: &["graceful", "inboundonly"],
        answer: View::drain_listeners,
    },
];

/// A connection that has not ended.
struct Open {
    task: AbortHandle,
    /// Whether its request has come.
    asked: Arc<AtomicBool>,
}

/// Ends the oldest connection whose request has not come, so that newcomers end no answer; the oldest where all have
/// come.
fn make_room(open: &mut VecDeque<Open>) {
    let silent = open.iter().position(|connection| !connection.asked.load(Ordering::Relaxed));
    if let Some(connection) = open.remove(silent.unwrap_or(0)) {
        connection.task.abort();
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
/// The state in which it serves.
const LIVE: &str = "LIVE";
/// Connections at a time; a further one takes the place of another.
const MOST_CONNECTIONS: usize = 64;
/// How long a connection may take, whatever its client does.
const LONGEST: Duration = Duration::from_secs(30);
