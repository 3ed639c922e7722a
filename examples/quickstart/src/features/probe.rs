//! A caller that looks closely at every answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aeraki_codec::{Message, Role};
use anyhow::{Context, Result};
use tokio::{net::TcpStream, time::Instant};

use crate::{caller, service::Seen, socket::Socket, wire::Wire};

/// A connection to the proxy, and what the services saw.
pub(super) struct Probe {
    socket: Socket,
    next: u32,
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
    pub(super) async fn connect(proxy: SocketAddr, seen: &Arc<Seen>) -> Result<Self> {
        let stream = TcpStream::connect(proxy).await.context("the proxy does not accept connections")?;
        Ok(Self { socket: Socket::new(stream, Wire::Dubbo, Role::Client)?, next: 1, seen: Arc::clone(seen) })
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
