//! A closed loop of connections with a fixed number of requests in flight, and what the target paid for them.

use std::{
    cell::RefCell,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::{Buf, BytesMut};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

use crate::{
    client::{Client, Stream},
    cost::{Cost, Meter, connections, resident_kib},
    protocol::{Protocol, Template},
};

#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    #[arg(long)]
    target: SocketAddr,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 1)]
    depth: u32,
    /// Bytes of payload, both ways.
    #[arg(long, default_value_t = 128)]
    size: usize,
    #[arg(long, default_value_t = 150)]
    warm_ms: u64,
    #[arg(long, default_value_t = 450)]
    measure_ms: u64,
    /// The process that is measured; none: only what the generator sees.
    #[arg(long)]
    pid: Option<u32>,
    /// The port of the server behind it.
    #[arg(long, default_value_t = 0)]
    upstream_port: u16,
    /// Speaks TLS to a target whose certificate the one in this file has issued.
    #[arg(long)]
    authority: Option<PathBuf>,
}

/// Runs the load and returns its figures.
pub(crate) async fn run(protocol: Protocol, load: Load) -> Result<serde_json::Value> {
    let client = Client::new(load.authority.as_deref())?;
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let request = Rc::new(protocol.request(load.size));
    for _ in 0..load.connections {
        let (tally, request, client) = (Rc::clone(&tally), Rc::clone(&request), client.clone());
        let (target, depth) = (load.target, load.depth);
        tokio::task::spawn_local(async move {
            let driven = async { drive(protocol, client.connect(target).await?, depth, &request, &tally).await };
            if let Err(error) = driven.await {
                eprintln!("a connection failed: {error:#}");
                tally.borrow_mut().errors += 1;
            }
        });
    }
    sleep(Duration::from_millis(load.warm_ms)).await;
    let mut meter = load.pid.map(Meter::new);
    let mut cost = || meter.as_mut().map(Meter::read).unwrap_or_default();
    let (before, began) = (cost(), Instant::now());
    tally.borrow_mut().counting = true;
    sleep(Duration::from_millis(load.measure_ms)).await;
    tally.borrow_mut().counting = false;
    let paid = cost() - before;
    // the connections end with the process
    Ok(figures(&load, &tally.borrow(), paid, began.elapsed()))
}

struct Tally {
    latency: Histogram<u64>,
    counting: bool,
    errors: u64,
}

impl Tally {
    fn new() -> Result<Self> {
        let minute_ns = 60_000_000_000;
        Ok(Self { latency: Histogram::new_with_bounds(100, minute_ns, 3)?, counting: false, errors: 0 })
    }
}

/// Keeps one connection busy; an error when it breaks.
async fn drive(
    protocol: Protocol,
    mut stream: impl Stream,
    depth: u32,
    request: &Template,
    tally: &RefCell<Tally>,
) -> Result<()> {
    let mut window = Window::new(depth);
    let mut output = Vec::with_capacity(BUFFER);
    let mut input = BytesMut::with_capacity(BUFFER);
    for slot in 0..depth {
        request.write(window.open(slot)?, &mut output);
    }
    loop {
        stream.write_all(&output).await?;
        stream.flush().await?;
        output.clear();
        input.reserve(BUFFER);
        anyhow::ensure!(stream.read_buf(&mut input).await? > 0, "closed by the target");
        let mut tally = tally.borrow_mut();
        while let Some(len) = protocol.frame_len(&input).filter(|&len| len <= input.len()) {
            let reply = &input[..len];
            let (slot, sent) = window.find(protocol.id(reply).context("a reply has an id")?)?;
            if !protocol.is_success(reply) {
                tally.errors += 1;
            }
            if tally.counting {
                tally.latency.saturating_record(u64::try_from(sent.elapsed().as_nanos())?);
            }
            request.write(window.open(slot)?, &mut output);
            input.advance(len);
        }
    }
}

/// The requests in flight on one connection, by slot; an id is never used twice in a row for a slot.
struct Window {
    slots: Vec<(u32, Instant)>,
    depth: u32,
}

impl Window {
    fn new(depth: u32) -> Self {
        Self { slots: (0..depth).map(|_| (0, Instant::now())).collect(), depth }
    }

    /// Takes the slot for a new request and returns its id.
    fn open(&mut self, slot: u32) -> Result<u32> {
        let (turn, sent) = self.slots.get_mut(usize::try_from(slot)?).context("no such slot")?;
        *turn = (*turn + 1) & 0xffff;
        *sent = Instant::now();
        Ok(1 + *turn * self.depth + slot)
    }

    /// Finds the slot of the request `id` and when it was sent; an error if no request in flight has it.
    fn find(&self, id: u32) -> Result<(u32, Instant)> {
        let id = id.checked_sub(1).context("a reply to id 0")?;
        let slot = id % self.depth;
        let (turn, sent) = self.slots[usize::try_from(slot)?];
        anyhow::ensure!(id / self.depth == turn, "a reply to a request that is not in flight");
        Ok((slot, sent))
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn figures(load: &Load, tally: &Tally, paid: Cost, elapsed: Duration) -> serde_json::Value {
    let answered = tally.latency.len();
    let each = |total: u64| total as f64 / answered.max(1) as f64;
    let quantile = |at: f64| tally.latency.value_at_quantile(at) as f64 / 1e3;
    json!({
        "answered": answered,
        "errors": tally.errors,
        "rps": answered as f64 / elapsed.as_secs_f64(),
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
        "cpu_us": each(paid.cpu_ns) / 1e3,
        "busy": paid.cpu_ns as f64 / elapsed.as_nanos() as f64,
        "switches": each(paid.switches),
        "user": each(paid.user),
        "kernel": each(paid.kernel),
        "syscalls": each(paid.syscalls),
        "resident_kib": load.pid.map(resident_kib),
        "upstream_connections": load.pid.map(|pid| connections(pid, load.upstream_port)),
    })
}

const BUFFER: usize = 64 << 10;
