//! The admin interface: statistics, readiness and drains over HTTP/1.1, for people, for Prometheus and for what ends the
//! process.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque, convert::Infallible, fmt, future::poll_fn, io, net::SocketAddr, pin::pin, sync::Arc,
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

use crate::{
    io::Io,
    observe::Stats,
    server::{Accept, Drain, ListenerDrains, Phase, TcpAccept, pause_after},
};

/// Answers `GET` on `/stats`, `/stats/prometheus` and `/ready`, and drains listeners at `POST` on `/drain_listeners`.
///
/// A connection is for one request, and for 30 s. There are 64 at a time: one that comes beyond takes the place of the
/// oldest, so that nobody shuts others out.
#[derive(Debug)]
pub struct Admin {
    socket: std::net::TcpListener,
    local: SocketAddr,
    view: Arc<View>,
}

/// What can be seen, and done.
struct View {
    stats: Stats,
    drain: Drain,
    listeners: ListenerDrains,
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
        Ok(Self { socket, local, view: Arc::new(View { stats, drain, listeners, is_ready: Box::new(is_ready) }) })
    }

    /// Returns the address that it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Answers until the proxy has ended.
    pub async fn serve(self) {
        match tokio::net::TcpListener::from_std(self.socket) {
            Ok(socket) => self.view.serve(TcpAccept { socket, original_dst: false }).await,
            Err(error) => tracing::error!(%error, "the admin interface cannot be served"),
        }
    }
}

impl View {
    async fn serve(self: Arc<Self>, acceptor: impl Accept) {
        let mut connections = JoinSet::new();
        // the oldest first
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        let mut closing = pin!(self.drain.reached(Phase::Closing));
        loop {
            tokio::select! {
                biased;
                () = &mut closing => return,
                Some(_) = connections.join_next() => open.retain(|connection| !connection.is_finished()),
                accepted = poll_fn(|cx| acceptor.poll_accept(cx)) => match accepted {
                    Ok((io, _)) => {
                        if open.len() >= MOST_CONNECTIONS {
                            open.pop_front().iter().for_each(AbortHandle::abort);
                        }
                        open.push_back(connections.spawn(Arc::clone(&self).answer(io)));
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

    async fn answer(self: Arc<Self>, io: Box<dyn Io>) {
        let service = service_fn(move |request: Request<Incoming>| {
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
        let path = uri.path();
        let allowed = if path == DRAIN_LISTENERS { Method::POST } else { Method::GET };
        if *method != allowed {
            return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("only {allowed}\n"));
        }
        match path {
            "/stats" => response(StatusCode::OK, TEXT, self.stats.samples().to_text()),
            "/stats/prometheus" => response(StatusCode::OK, OPEN_METRICS, self.stats.samples().into_prometheus()),
            "/ready" => self.ready(),
            DRAIN_LISTENERS => self.drain_listeners(uri.query().unwrap_or_default()),
            _ => response(StatusCode::NOT_FOUND, TEXT, PATHS.to_owned()),
        }
    }

    /// Answers with the words of Envoy's server states.
    fn ready(&self) -> Response<Full<Bytes>> {
        let (status, state) = if self.drain.phase().max(self.listeners.phase()) != Phase::Serving {
            (StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n")
        } else if !(self.is_ready)() {
            (StatusCode::SERVICE_UNAVAILABLE, "INITIALIZING\n")
        } else {
            (StatusCode::OK, "LIVE\n")
        };
        response(status, TEXT, state.to_owned())
    }

    /// Has listeners drain in the words of Envoy, whose `graceful` is the only way here.
    fn drain_listeners(&self, query: &str) -> Response<Full<Bytes>> {
        let mut inbound_only = false;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=').map_or(parameter, |(name, _)| name) {
                "graceful" => {}
                "inboundonly" => inbound_only = true,
                name => return response(StatusCode::BAD_REQUEST, TEXT, format!("{name:?} is not supported\n")),
            }
        }
        tracing::info!(inbound_only, "listeners drain because the admin interface was asked to");
        self.listeners.begin(inbound_only);
        response(StatusCode::OK, TEXT, "OK\n".to_owned())
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
const DRAIN_LISTENERS: &str = "/drain_listeners";
const PATHS: &str = "/stats\n/stats/prometheus\n/ready\n/drain_listeners (POST)\n";
/// Connections at a time; a further one takes the place of the oldest.
const MOST_CONNECTIONS: usize = 64;
/// How long a connection may take, whatever its client does.
const LONGEST: Duration = Duration::from_secs(30);
