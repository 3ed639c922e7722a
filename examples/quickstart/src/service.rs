//! The services of the demonstration: one listener a version, which answers with its version.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aeraki_codec::{Kind, Limits, LocalReply, Message, Output, Reason, Role};
use anyhow::Result;
use bytes::Buf;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{socket::Socket, wire::Wire};

/// How many calls each version saw, by method.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<BTreeMap<(&'static str, String), u64>>);

impl Seen {
    fn note(&self, version: &'static str, method: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry((version, method.to_owned())).or_default() += 1;
    }

    /// Counts the calls of `method` that `version` saw.
    pub(crate) fn count(&self, version: &'static str, method: &str) -> u64 {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(version, method.to_owned())).copied().unwrap_or(0)
    }
}

/// Starts version `version` of a service on a free port of the loopback interface and returns its address.
///
/// Of all methods, `slow` takes long, `lazy` takes long in v1, `busy` is refused by v1, and `alike` is answered without
/// saying by whom.
pub(crate) async fn start(wire: Wire, version: &'static str, seen: &Arc<Seen>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = Service { wire, version, seen: Arc::clone(seen) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(service.clone().serve(stream));
        }
    });
    Ok(address)
}

#[derive(Clone)]
struct Service {
    wire: Wire,
    version: &'static str,
    seen: Arc<Seen>,
}

impl Service {
    async fn serve(self, stream: TcpStream) -> Result<()> {
        let mut socket = Socket::new(stream, self.wire, Role::Server)?;
        let mut late = FuturesUnordered::new();
        loop {
            tokio::select! {
                call = socket.next() => {
                    let Some(call) = call? else { return Ok(()) };
                    if call.kind() != Kind::Request {
                        continue;
                    }
                    let (answer, delay) = self.answer(&call)?;
                    if delay.is_zero() {
                        socket.send(&answer).await?;
                    } else {
                        late.push(async move {
                            sleep(delay).await;
                            answer
                        });
                    }
                }
                Some(answer) = late.next() => socket.send(&answer).await?,
            }
        }
    }

    /// Makes the answer to a call, and says how long it takes.
    fn answer(&self, call: &Message) -> Result<(Vec<u8>, Duration)> {
        let method = String::from_utf8_lossy(call.attr("method").unwrap_or_default());
        self.seen.note(self.version, &method);
        let delay = match (&*method, self.version) {
            ("slow", _) | ("lazy", "v1") => LONG,
            _ => Duration::ZERO,
        };
        let refused = method == "busy" && self.version == "v1";
        let version = if method == "alike" { "either" } else { self.version };
        let answer = if refused { self.refusal(call)? } else { self.wire.answer(call, version) };
        Ok((answer, delay))
    }

    /// Writes that a call was not taken, in the protocol's own words.
    fn refusal(&self, call: &Message) -> Result<Vec<u8>> {
        let mut out = Output::new();
        let reply = LocalReply::new(Reason::Overflow, "all threads are busy");
        self.wire.protocol().codec(Role::Server, &Limits::default()).reply(&call.receipt(), &reply, &mut out)?;
        Ok(out.copy_to_bytes(out.remaining()).into())
    }
}

/// What a slow answer takes.
const LONG: Duration = Duration::from_secs(2);
