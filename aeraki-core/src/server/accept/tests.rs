use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{sync::Notify, time::Instant};

use super::*;
use crate::{stack::BoxFuture, sync::lock};

/// Gives what it was given, one after the other, and then nothing more.
struct Script(Mutex<VecDeque<io::Result<()>>>);

impl Script {
    fn new(results: impl IntoIterator<Item = io::Result<()>>) -> Self {
        Self(Mutex::new(results.into_iter().collect()))
    }
}

impl Accept for Script {
    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Io>, Accepted)>> {
        let Some(next) = lock(&self.0).pop_front() else { return Poll::Pending };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        Poll::Ready(next.map(|()| {
            let (near, _) = tokio::io::duplex(1);
            (Box::new(near) as Box<dyn Io>, Accepted::new(nowhere, nowhere))
        }))
    }
}

/// Holds connections until it is told to let go.
#[derive(Debug, Default)]
struct Hold {
    begun: AtomicUsize,
    let_go: Arc<Notify>,
}

impl Serve for Hold {
    fn serve(&self, _: Box<dyn Io>, _: Accepted, _: Drain) -> BoxFuture<()> {
        self.begun.fetch_add(1, Relaxed);
        let let_go = Arc::clone(&self.let_go);
        Box::pin(async move { let_go.notified().await })
    }
}

fn reception(serve: &Arc<Hold>, limit: ProcessLimit) -> Reception {
    let (stats, drain) = (ListenerStats::new("in"), Drain::new());
    Reception { serve: Arc::clone(serve) as _, stats, limit, drain }
}

#[tokio::test(start_paused = true)]
async fn without_room_for_files_it_waits_a_moment_and_goes_on() {
    let emfile = || Err(io::Error::from_raw_os_error(24));
    let aborted = || Err(io::ErrorKind::ConnectionAborted.into());
    let script = Script::new([emfile(), aborted(), emfile(), Ok(())]);
    let hold = Arc::<Hold>::default();
    let reception = reception(&hold, ProcessLimit::default());
    let (stats, drain) = (Arc::clone(&reception.stats), reception.drain.clone());
    let begun = Instant::now();
    let running = tokio::spawn(reception.run(script));
    while hold.begun.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!((200..=210).contains(&begun.elapsed().as_millis()), "only the system's errors take time");
    assert_eq!(stats.connections.downstream_cx_error.get(), 3);
    drain.begin();
    while stats.connections.downstream_cx_drain_close.get() == 0 {
        yield_now().await;
    }
    hold.let_go.notify_waiters();
    running.await.expect("no panic");
    assert_eq!(stats.connections.downstream_cx_drain_close.get(), 1);
    assert_eq!(stats.connections.downstream_cx_active.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_stops_at_once_when_it_is_time_to_go() {
    let script = Script::new((0..100).map(|_| Err(io::Error::from_raw_os_error(23))));
    let reception = reception(&Arc::default(), ProcessLimit::default());
    let drain = reception.drain.clone();
    let running = tokio::spawn(reception.run(script));
    tokio::time::sleep(Duration::from_millis(150)).await;
    let asked = Instant::now();
    drain.begin();
    running.await.expect("no panic");
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn those_that_are_open_have_their_turn_while_many_more_come() {
    let many = 10 * MOST_IN_TURN as usize;
    let hold = Arc::<Hold>::default();
    let reception = reception(&hold, ProcessLimit::default());
    let running = tokio::spawn(reception.run(Script::new((0..many).map(|_| Ok(())))));
    let mut before = 0;
    while before < many {
        yield_now().await;
        let now = hold.begun.load(Relaxed);
        assert!(now - before <= MOST_IN_TURN as usize, "{} in a turn", now - before);
        before = now;
    }
    running.abort();
}

#[tokio::test]
async fn connections_beyond_the_limit_of_the_process_are_closed() {
    let limit = ProcessLimit::new(Some(2));
    let hold = Arc::<Hold>::default();
    let first = reception(&hold, limit.clone());
    let second = reception(&hold, limit.clone());
    let both = [Arc::clone(&first.stats), Arc::clone(&second.stats)];
    let running = [first, second].map(|one| tokio::spawn(one.run(Script::new([Ok(()), Ok(()), Ok(())]))));
    yield_now().await;
    let sum = |count: fn(&ListenerStats) -> u64| both.iter().map(|stats| count(stats)).sum::<u64>();
    assert_eq!(sum(|stats| stats.connections.downstream_cx_total.get()), 2);
    assert_eq!(sum(|stats| stats.connections.downstream_global_cx_overflow.get()), 4);
    for task in running {
        task.abort();
        task.await.expect_err("was aborted");
    }
    assert!(limit.take().is_some(), "what has ended makes room");
}
