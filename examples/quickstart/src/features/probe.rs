//! A caller that looks closely at every answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aeraki_codec::{Message, Role};
use aeraki_core::observe::{Stats, Value};
use anyhow::{Context, Result};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{DUBBO_HOST, caller, mesh::DataPlane, service::Seen, socket::Socket, wire::Wire};

/// A connection to the proxy, what the proxy counts, and what the services saw.
pub(super) struct Probe {
    proxy: SocketAddr,
    socket: Socket,
    next: u32,
    stats: Stats,
    pub(super) seen: Arc<Seen>,
}

/// The answer to one call.
pub(super) struct Outcome {
    /// Who answered; none where the answer is an error.
    pub(super) version: Option<String>,
    /// The status of the protocol.
    pub(super) status: i32,
    pub(super) took: Duration,
    message: Message,
}

impl Outcome {
    /// Returns an attribute of the answer.
    pub(super) fn attribute(&self, key: &str) -> Option<String> {
        self.message.attr(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(super) fn is_answer(&self) -> bool {
        self.version.is_some()
    }
}

impl Probe {
    pub(super) async fn connect(data: &DataPlane, seen: &Arc<Seen>) -> Result<Self> {
        let proxy = data.address(DUBBO_HOST).context("a listener for the service")?;
        let (socket, stats) = (socket(proxy).await?, data.stats().clone());
        Ok(Self { proxy, socket, next: 1, stats, seen: Arc::clone(seen) })
    }

    /// Makes another connection to the same proxy.
    pub(super) async fn another(&self) -> Result<Self> {
        let (socket, stats, seen) = (socket(self.proxy).await?, self.stats.clone(), Arc::clone(&self.seen));
        Ok(Self { proxy: self.proxy, socket, next: 1, stats, seen })
    }

    /// Returns a counter of the listener.
    pub(super) fn count(&self, counter: &str) -> u64 {
        match self.stats.samples().get(&format!("meta_protocol.dubbo.{DUBBO_HOST}.{counter}")) {
            Some(Value::Counter(count)) => count,
            _ => 0,
        }
    }

    /// Waits for what happens beside the calls.
    pub(super) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Calls `method` as `user` and waits for the answer.
    pub(super) async fn call(&mut self, method: &str, user: &str) -> Result<Outcome> {
        let (id, started) = (self.next, Instant::now());
        self.next += 1;
        let call = Wire::Dubbo.call(id, "dubbo.demo.Greeter", method, user);
        let message = caller::call(&mut self.socket, id, &call).await?;
        let (version, status) = (Wire::Dubbo.version(&message), message.status().code());
        Ok(Outcome { version, status, took: started.elapsed(), message })
    }

    /// Calls `method` as `user` several times, one after the other.
    pub(super) async fn calls(&mut self, count: usize, method: &str, user: &str) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for _ in 0..count {
            outcomes.push(self.call(method, user).await?);
        }
        Ok(outcomes)
    }
}

async fn socket(proxy: SocketAddr) -> Result<Socket> {
    let stream = TcpStream::connect(proxy).await.context("the proxy does not accept connections")?;
    Socket::new(stream, Wire::Dubbo, Role::Client)
}
