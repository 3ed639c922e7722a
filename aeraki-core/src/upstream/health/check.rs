//! Asks endpoints whether they are well.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use aeraki_codec::{Codec, Control, Decoded, Demand, Flow, Framer, Kind, Limits, Output, Protocol, Role};
use aeraki_route::config::{HealthCheck, HealthCheckKind, SocketAddress};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{Health, Host, outlier::random};
use crate::{io::Io, upstream::Connector};

/// The checks of one cluster's endpoints, a task each; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Checks {
    checker: Arc<Checker>,
    tasks: HashMap<SocketAddress, AbortHandle>,
}

/// How endpoints are asked.
#[derive(Debug)]
struct Checker {
    health: Arc<Health>,
    config: HealthCheck,
    /// Whether a check that passes brings an endpoint back that was taken out.
    unejects: bool,
    connector: Arc<dyn Connector>,
    /// What the sign of life is spoken in.
    protocol: Option<Arc<dyn Protocol>>,
}

impl Checks {
    pub(super) fn new(
        health: Arc<Health>,
        config: HealthCheck,
        unejects: bool,
        connector: Arc<dyn Connector>,
        protocol: Option<Arc<dyn Protocol>>,
    ) -> Self {
        let checker = Arc::new(Checker { health, config, unejects, connector, protocol });
        Self { checker, tasks: HashMap::new() }
    }

    /// Makes these the endpoints that are asked.
    pub(super) fn keep(&mut self, hosts: impl IntoIterator<Item = Arc<Host>>) {
        let mut before = std::mem::take(&mut self.tasks);
        for host in hosts {
            let address = host.address.clone();
            let task = before.remove(&address).unwrap_or_else(|| {
                let checker = Arc::clone(&self.checker);
                tokio::spawn(async move { checker.check_for_ever(&host).await }).abort_handle()
            });
            self.tasks.insert(address, task);
        }
        before.into_values().for_each(|gone| gone.abort());
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

impl Checker {
    async fn check_for_ever(&self, host: &Host) {
        let mut verdict = Verdict::default();
        sleep(random(self.config.initial_jitter)).await;
        loop {
            let passed = self.check(&host.address).await;
            if let Some(well) = verdict.note(passed.is_ok(), &self.config) {
                let (cluster, endpoint) = (&*self.health.cluster, &host.address);
                match &passed {
                    Ok(()) => tracing::info!(cluster, %endpoint, "endpoint passes its checks"),
                    Err(error) => tracing::warn!(cluster, %endpoint, %error, "endpoint fails its checks"),
                }
                self.health.judge(host, well);
            }
            if passed.is_ok() && self.unejects {
                self.health.uneject(host);
            }
            sleep(self.wait(verdict.interval(&self.config))).await;
        }
    }

    fn wait(&self, interval: Duration) -> Duration {
        let share = f64::from(self.config.interval_jitter_percent) / 100.0;
        interval + random(self.config.interval_jitter) + random(interval.mul_f64(share))
    }

    async fn check(&self, address: &SocketAddress) -> io::Result<()> {
        let stats = &self.health.stats;
        stats.attempt.inc();
        let late =
            |_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {:?}", self.config.timeout)));
        let passed = timeout(self.config.timeout, self.ask(address)).await.unwrap_or_else(late);
        if passed.is_ok() {
            stats.success.inc()
        } else {
            stats.failure.inc()
        }
        passed
    }

    async fn ask(&self, address: &SocketAddress) -> io::Result<()> {
        let mut io = self.connector.connect(address).await?;
        match (&self.config.kind, &self.protocol) {
            (HealthCheckKind::Tcp { send, receive }, _) => exchange(&mut io, send, receive).await,
            (_, Some(protocol)) => ping(&mut io, &**protocol).await,
            (_, None) => Err(io::Error::other("the protocol of the check is not known")),
        }
    }
}

/// Sends bytes and waits for what is expected.
async fn exchange(io: &mut Box<dyn Io>, send: &[u8], receive: &[Vec<u8>]) -> io::Result<()> {
    io.write_all(send).await?;
    io.flush().await?;
    let mut answer = BytesMut::new();
    while !holds(&answer, receive) {
        read_more(io, &mut answer).await?;
    }
    Ok(())
}

/// Tells whether all blocks are there, in this order.
fn holds(mut bytes: &[u8], blocks: &[Vec<u8>]) -> bool {
    blocks.iter().all(|block| {
        let at = bytes.windows(block.len().max(1)).position(|window| window == block);
        let rest = at.and_then(|at| bytes.get(at.saturating_add(block.len())..));
        bytes = rest.unwrap_or_default();
        rest.is_some()
    })
}

/// Sends a sign of life and waits for the answer.
async fn ping(io: &mut Box<dyn Io>, protocol: &dyn Protocol) -> io::Result<()> {
    let mut framer = Framer::new(protocol.codec(Role::Client, &Limits::default()));
    let mut out = Output::new();
    if !ask(framer.codec(), &mut out) {
        return Err(io::Error::other("the protocol has no sign of life"));
    }
    io.write_all_buf(&mut out).await?;
    io.flush().await?;
    let mut answer = BytesMut::new();
    loop {
        match framer.decode(&mut answer, &Demand::none()) {
            Ok(Decoded::Message(message)) if matches!(message.kind(), Kind::Heartbeat | Kind::Response) => {
                return Ok(());
            }
            Ok(Decoded::Message(_)) => {}
            Ok(_) => read_more(io, &mut answer).await?,
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        }
    }
}

/// Tells whether endpoints can be asked for a sign of life in this protocol.
pub(crate) fn has_sign_of_life(protocol: &dyn Protocol) -> bool {
    ask(&mut *protocol.codec(Role::Client, &Limits::default()), &mut Output::new())
}

/// Writes the question for a sign of life; false where the protocol has none.
fn ask(codec: &mut dyn Codec, out: &mut Output) -> bool {
    let asked = codec.control(Control::Open, out).and_then(|_| codec.control(Control::Ping, out));
    !matches!(asked, Ok(Flow::Ignored) | Err(_))
}

async fn read_more(io: &mut Box<dyn Io>, answer: &mut BytesMut) -> io::Result<()> {
    if answer.len() > MAX_ANSWER {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
    }
    match io.read_buf(answer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// What checks in a row say.
#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    /// None before the first check.
    well: Option<bool>,
    /// Checks in a row that say otherwise.
    against: u32,
}

impl Verdict {
    /// Takes a check in; tells what is true from now on, where that changes.
    fn note(&mut self, passed: bool, config: &HealthCheck) -> Option<bool> {
        let threshold = match self.well {
            None => 1,
            Some(well) if well == passed => {
                self.against = 0;
                return None;
            }
            Some(true) => config.unhealthy_threshold,
            Some(false) => config.healthy_threshold,
        };
        self.against = self.against.saturating_add(1);
        if self.against < threshold {
            return None;
        }
        *self = Self { well: Some(passed), against: 0 };
        self.well
    }

    /// Returns the time until the next check.
    fn interval(self, config: &HealthCheck) -> Duration {
        let other = match (self.well, self.against) {
            (Some(true), 0) | (None, _) => None,
            (Some(true), _) => config.unhealthy_edge_interval.or(config.unhealthy_interval),
            (Some(false), 0) => config.unhealthy_interval,
            (Some(false), _) => config.healthy_edge_interval,
        };
        other.unwrap_or(config.interval)
    }
}

/// Bytes of an answer that are looked at, at most.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_check_decides_alone_and_then_the_thresholds_do() {
        let config = HealthCheck::new(HealthCheckKind::CONNECT, Duration::from_secs(1), Duration::from_secs(10))
            .with_thresholds(3, 2);
        let mut verdict = Verdict::default();
        let mut note = |checks: &[bool]| checks.iter().map(|passed| verdict.note(*passed, &config)).collect::<Vec<_>>();
        assert_eq!(note(&[true]), [Some(true)]);
        assert_eq!(note(&[false, false, true, false, false]), [None; 5], "not three in a row");
        assert_eq!(note(&[false, false]), [Some(false), None]);
        assert_eq!(note(&[true, false, true, true]), [None, None, None, Some(true)]);
        assert_eq!(Verdict::default().note(false, &config), Some(false));
    }

    #[test]
    fn the_interval_is_that_of_the_state_and_of_its_edges() {
        let seconds = Duration::from_secs;
        let mut config = HealthCheck::new(HealthCheckKind::CONNECT, seconds(1), seconds(10)).with_thresholds(2, 2);
        let states = [(true, 0), (true, 1), (false, 0), (false, 1)];
        let intervals = |config: &HealthCheck| {
            states.map(|(well, against)| Verdict { well: Some(well), against }.interval(config).as_secs())
        };
        assert_eq!(intervals(&config), [10; 4]);
        config.unhealthy_interval = Some(seconds(60));
        assert_eq!(intervals(&config), [10, 60, 60, 10]);
        config.unhealthy_edge_interval = Some(seconds(1));
        config.healthy_edge_interval = Some(seconds(2));
        assert_eq!(intervals(&config), [10, 1, 60, 2]);
    }

    #[test]
    fn blocks_are_found_in_their_order_whatever_lies_between() {
        let blocks = |blocks: &[&str]| blocks.iter().map(|block| block.as_bytes().to_vec()).collect::<Vec<_>>();
        assert!(holds(b"", &[]));
        assert!(holds(b"x+PONG..ok", &blocks(&["PONG", "ok"])));
        assert!(!holds(b"ok+PONG", &blocks(&["PONG", "ok"])));
        assert!(!holds(b"+PON", &blocks(&["PONG"])));
        assert!(!holds(b"aa", &blocks(&["a", "a", "a"])));
    }
}
