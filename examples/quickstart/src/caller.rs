//! The callers of the demonstration: a steady stream of calls through the proxy, each counted by who answered.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aeraki_codec::{
    Message, Role, dubbo,
    thrift::{self, Value},
};
use anyhow::{Context, Result};
use tokio::{
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{socket::Socket, tally::Tally, wire::Wire};

/// What a group of callers calls, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) wire: Wire,
    pub(crate) interface: &'static str,
    pub(crate) method: &'static str,
    pub(crate) user: &'static str,
    /// Calls of the whole group in a second.
    pub(crate) rate: u32,
}

/// Starts `count` callers of `group`, which call `proxy` until the program ends and add to `tally`.
pub(crate) fn start(group: &Group, count: u32, proxy: SocketAddr, tally: &Arc<Tally>) {
    let pause = Duration::from_secs(1) * count / group.rate.max(1);
    for _ in 0..count {
        let (group, tally) = (group.clone(), Arc::clone(tally));
        tokio::spawn(async move {
            loop {
                if let Err(error) = call_for_ever(&group, pause, proxy, &tally).await {
                    tally.failed(&format!("{error:#}"));
                }
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        });
    }
}

async fn call_for_ever(group: &Group, pause: Duration, proxy: SocketAddr, tally: &Tally) -> Result<()> {
    let stream = TcpStream::connect(proxy).await.context("the proxy does not accept connections")?;
    let mut socket = Socket::new(stream, group.wire, Role::Client)?;
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for id in 0..u32::MAX {
        ticks.tick().await;
        let started = Instant::now();
        let answer = call(&mut socket, id, &group.wire.call(id, group.interface, group.method, group.user)).await?;
        match group.wire.version(&answer) {
            Some(version) => tally.answered(&version, started.elapsed()),
            None => tally.failed(&told(group.wire, &answer)),
        }
    }
    Ok(())
}

/// Returns what an answer that is an error says.
fn told(wire: Wire, answer: &Message) -> String {
    let text = match wire {
        Wire::Dubbo => dubbo::response(answer.frame())
            .ok()
            .and_then(|answer| answer.error_message()?.to_str().map(|text| text.into_owned())),
        Wire::Thrift => thrift::message(answer.frame()).ok().and_then(|answer| match answer.body().field(1)? {
            Value::String(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        }),
    };
    text.map_or_else(
        || "an error instead of an answer".to_owned(),
        |text| format!("an error instead of an answer: {text}"),
    )
}

/// Sends the call with this id and waits for its answer.
pub(crate) async fn call(socket: &mut Socket, id: u32, call: &[u8]) -> Result<Message> {
    socket.send(call).await?;
    let answer = timeout(PATIENCE, socket.next()).await.context("no answer in time")??;
    let answer = answer.context("the proxy closed the connection before it answered")?;
    anyhow::ensure!(answer.id().number() == u64::from(id), "the answer belongs to another call");
    Ok(answer)
}

const PATIENCE: Duration = Duration::from_secs(5);
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
