use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, split},
    time::Instant,
};

use super::*;

/// Sends everything back.
#[derive(Debug)]
struct Echo;

impl Serve for Echo {
    fn serve(&self, io: Box<dyn Io>, _: Accepted, _: Drain) -> BoxFuture<()> {
        Box::pin(async move {
            let (mut reader, mut writer) = split(io);
            let _ = copy(&mut reader, &mut writer).await;
        })
    }
}

/// A listener of which every worker has its own part.
struct Bench {
    limit: ConnectionLimit,
    workers: [Arc<dyn Serve>; 2],
    drain: Drain,
}

impl Bench {
    fn new(config: config::ConnectionLimit) -> Self {
        let limit = ConnectionLimit::new(config);
        let workers = [limit.serve(Arc::new(Echo)), limit.serve(Arc::new(Echo))];
        Self { limit, workers, drain: Drain::new() }
    }

    fn connect(&self, worker: usize) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let served = self.workers[worker].serve(Box::new(far), Accepted::new(nowhere, nowhere), self.drain.clone());
        tokio::spawn(served);
        near
    }

    fn counted(&self) -> [Option<Value>; 2] {
        let mut samples = Samples::default();
        self.limit.collect(&mut samples);
        ["active", "limited"].map(|name| samples.get(&format!("connection_limit.in.{name}_connections")))
    }
}

/// Tells whether a connection is served.
async fn is_served(client: &mut DuplexStream) -> bool {
    let _ = client.write_all(b"x").await;
    matches!(client.read(&mut [0]).await, Ok(1))
}

#[tokio::test(start_paused = true)]
async fn those_beyond_the_limit_are_closed_whichever_worker_has_them() {
    let bench = Bench::new(config::ConnectionLimit::new("in", 2));
    let (mut first, mut second) = (bench.connect(0), bench.connect(1));
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    for worker in [0, 1] {
        assert!(!is_served(&mut bench.connect(worker)).await);
    }
    assert_eq!(bench.counted(), [Some(Value::Gauge(2)), Some(Value::Counter(2))]);
    drop(first);
    sleep(Duration::from_millis(1)).await;
    assert!(is_served(&mut bench.connect(1)).await, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn those_beyond_the_limit_are_held_for_the_delay_but_do_not_hold_a_drain() {
    let minute = Duration::from_secs(60);
    let bench = Bench::new(config::ConnectionLimit::new("in", 1).with_delay(minute));
    let mut served = bench.connect(0);
    assert!(is_served(&mut served).await);
    let begun = Instant::now();
    let mut held = bench.connect(0);
    assert_eq!(held.read(&mut [0]).await.expect("closed"), 0);
    assert_eq!(begun.elapsed(), minute);

    let mut held = bench.connect(0);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.counted(), [Some(Value::Gauge(2)), Some(Value::Counter(2))]);
    bench.drain.begin();
    assert_eq!(held.read(&mut [0]).await.expect("closed"), 0);
    assert_eq!(begun.elapsed(), minute + Duration::from_secs(1));
}
