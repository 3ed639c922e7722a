//! The admin interface: statistics and readiness over HTTP/1.1, for people and for Prometheus.

use std::{convert::Infallible, fmt, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    observe::Stats,
    server::{Drain, Phase},
};

/// Answers `GET` on `/stats`, `/stats/prometheus` and `/ready`.
#[derive(Debug)]
pub struct Admin {
    socket: std::net::TcpListener,
    local: SocketAddr,
    view: Arc<View>,
}

/// What can be seen.
struct View {
    stats: Stats,
    drain: Drain,
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("drain", &self.drain).finish_non_exhaustive()
    }
}

impl Admin {
    /// Answers on a socket that listens. Until `is_ready` says so, the proxy is shown as one that still waits for its
    /// configuration; it ends with `drain`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(
        socket: std::net::TcpListener,
        stats: Stats,
        drain: Drain,
        is_ready: impl Fn() -> bool + Send + Sync + 'static,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local, view: Arc::new(View { stats, drain, is_ready: Box::new(is_ready) }) })
    }

    /// Returns the address that it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Answers until the proxy has ended.
    pub async fn serve(self) {
        let socket = match tokio::net::TcpListener::from_std(self.socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%error, "the admin interface cannot be served"),
        };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = self.view.drain.reached(Phase::Closing) => return,
                Some(_) = connections.join_next() => {}
                Ok((stream, _)) = socket.accept(), if connections.len() < MOST_CONNECTIONS => {
                    connections.spawn(answer(stream, Arc::clone(&self.view)));
                }
            }
        }
    }
}

async fn answer(stream: TcpStream, view: Arc<View>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = view.respond(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "an admin connection failed");
    }
}

impl View {
    fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET {
            return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
        }
        match path {
            "/stats" => response(StatusCode::OK, TEXT, self.stats.samples().to_text()),
            "/stats/prometheus" => response(StatusCode::OK, OPEN_METRICS, self.stats.samples().into_prometheus()),
            "/ready" => self.ready(),
            _ => response(StatusCode::NOT_FOUND, TEXT, "/stats\n/stats/prometheus\n/ready\n".to_owned()),
        }
    }

    /// Answers with the words of Envoy's server states.
    fn ready(&self) -> Response<Full<Bytes>> {
        let (status, state) = if self.drain.phase() != Phase::Serving {
            (StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n")
        } else if !(self.is_ready)() {
            (StatusCode::SERVICE_UNAVAILABLE, "INITIALIZING\n")
        } else {
            (StatusCode::OK, "LIVE\n")
        };
        response(status, TEXT, state.to_owned())
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
/// Connections at a time; further ones wait.
const MOST_CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::observe::Metrics;

    async fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("text");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    #[tokio::test]
    async fn shows_statistics_and_readiness() {
        let (stats, drain) = (Stats::new(), Drain::new());
        let metrics = Metrics::new("dubbo", "in");
        metrics.counters.request.add(3);
        stats.register(metrics);
        let ready = Arc::new(AtomicBool::new(false));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let is_ready = Arc::clone(&ready);
        let admin = Admin::new(socket, stats, drain.clone(), move || is_ready.load(Ordering::Relaxed));
        let admin = admin.expect("a socket");
        let address = admin.local_addr();
        let served = tokio::spawn(admin.serve());

        let (status, body) = get(address, "/stats").await;
        assert!(status == 200 && body.contains("meta_protocol.dubbo.in.request: 3\n"), "{body}");
        let (status, body) = get(address, "/stats/prometheus").await;
        let line = "meta_protocol_request_total{protocol=\"dubbo\",stat_prefix=\"in\"} 3\n";
        assert!(status == 200 && body.contains(line), "{body}");
        assert_eq!(get(address, "/other").await.0, 404);

        assert_eq!(get(address, "/ready").await, (503, "INITIALIZING\n".to_owned()));
        ready.store(true, Ordering::Relaxed);
        assert_eq!(get(address, "/ready").await, (200, "LIVE\n".to_owned()));
        drain.begin();
        assert_eq!(get(address, "/ready").await, (503, "DRAINING\n".to_owned()));
        drain.close();
        served.await.expect("no panic");

        std::net::TcpListener::bind(address).expect("the port is free again");
    }
}
