//! Passes connections on whose protocol no codec reads: bytes in, bytes out.
//!
//! ```text
//! socket -> server::Listener -> TcpProxy: which cluster? -> Cluster::connect: which endpoint? -> Relay <-> socket
//! ```
//!
//! The connection to the endpoint is made as soon as the client's is there, so that servers may speak first. Each
//! direction has one buffer, which is full before more is read, and ends by itself: a side that has finished writing
//! goes on reading. A connection has one [`Record`], which is counted when it ends, whichever way it does.
//!
//! ```
//! use std::sync::Arc;
//!
//! use aeraki_core::{
//!     observe::ListenerStats,
//!     route::config,
//!     server::{Drain, Listener, ListenerOptions},
//!     tcp::{TcpProxy, TcpStats},
//!     upstream::{Clusters, Context},
//! };
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TcpListener::bind("127.0.0.1:0").await?;
//! let clusters = Arc::new(Clusters::new(Context::new()));
//! clusters.update([config::Cluster::new("redis").with_endpoint(server.local_addr()?)]);
//! let stats = TcpStats::new("cache");
//! let proxy = TcpProxy::new(config::TcpProxy::new("cache", "redis"), clusters, Arc::clone(&stats));
//!
//! let listener = Listener::bind("in", "127.0.0.1:0".parse()?, &ListenerOptions::default())?;
//! let address = listener.local_addr();
//! tokio::spawn(listener.serve(Arc::new(proxy), ListenerStats::new("in"), Drain::new()));
//!
//! let mut client = TcpStream::connect(address).await?;
//! let (mut upstream, _) = server.accept().await?;
//! client.write_all(b"PING").await?;
//! let mut heard = [0; 4];
//! upstream.read_exact(&mut heard).await?;
//! assert_eq!((&heard, stats.counters.downstream_cx_total.get()), (b"PING", 1));
//! # Ok(())
//! # }
//! ```

mod proxy;
mod record;
mod relay;
#[cfg(test)]
mod tests;

pub use self::{
    proxy::TcpProxy,
    record::{Counters, End, Record, TcpStats},
};
