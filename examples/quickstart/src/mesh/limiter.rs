//! The rate limit service of the mesh.

use std::{future, net::SocketAddr};

use aeraki_xds::ratelimit::{Limits, MemoryStore, Server};
use anyhow::{Context, Result};
use tokio::net::TcpListener;

/// The cluster under which routes ask it.
pub(super) const CLUSTER: &str = "ratelimit";

/// Starts the service on a free port of the loopback interface and returns its address.
pub(super) async fn start() -> Result<SocketAddr> {
    let limits = Limits::parse([("quickstart.yaml", LIMITS)])?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("the rate limit service's port")?;
    let address = listener.local_addr()?;
    tokio::spawn(Server::new(limits, MemoryStore::default()).serve(listener, future::pending()));
    Ok(address)
}

/// As envoyproxy/ratelimit has them.
const LIMITS: &str = "
domain: quickstart
descriptors:
- key: user
  rate_limit:
    unit: day
    requests_per_unit: 3
";
