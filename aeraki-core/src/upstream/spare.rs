//! Connections to an endpoint that are made before anybody needs them.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    task::AbortHandle,
    time::sleep,
};

use super::{
    connect::connect,
    health::Host,
    shared::{Counted, Shared},
};
use crate::{io::Io, sync::lock};

/// Keeps some connections open that nobody uses yet; one that is taken is replaced, and so is one that ends.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Vec<Spare>>);

impl Spares {
    /// Keeps as many as the cluster says from now on, or none.
    pub(super) fn keep(&self, wanted: bool, host: &Arc<Host>, shared: &Arc<Shared>) {
        let mut spares = lock(&self.0);
        if !wanted {
            spares.clear();
        }
        let count = if wanted { shared.config.preconnect.spare_connections as usize } else { 0 };
        while spares.len() < count {
            let slot = Arc::new(Slot::default());
            let task = tokio::spawn(refill(Arc::clone(&slot), Arc::clone(host), Arc::clone(shared)));
            spares.push(Spare { slot, task: task.abort_handle() });
        }
    }

    /// Takes a connection, if one is ready; the caller counts it from now on.
    pub(super) fn take(&self) -> Option<Box<dyn Io>> {
        lock(&self.0).iter().find_map(|spare| spare.slot.take())
    }
}

/// One connection, and the task that looks after it.
#[derive(Debug)]
struct Spare {
    slot: Arc<Slot>,
    task: AbortHandle,
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.task.abort();
        // the task may hold the slot until it is polled again
        lock(&self.slot.0).ready = None;
    }
}

/// Where a connection waits to be taken.
#[derive(Debug, Default)]
struct Slot(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ready: Option<Ready>,
    /// Wakes the task that looks after it.
    task: Option<Waker>,
}

/// A connection that nobody uses, which counts as long as it is here.
struct Ready {
    io: Box<dyn Io>,
    counted: Counted,
}

impl Slot {
    fn take(&self) -> Option<Box<dyn Io>> {
        let mut state = lock(&self.0);
        let Ready { io, counted } = state.ready.take()?;
        counted.give_away();
        if let Some(task) = state.task.take() {
            task.wake();
        }
        Some(io)
    }

    /// Waits until the connection is taken, or ends: what a server says before it is asked ends it too.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<Gone> {
        let mut state = lock(&self.0);
        let Some(ready) = &mut state.ready else { return Poll::Ready(Gone::Taken) };
        if Pin::new(&mut ready.io).poll_read(cx, &mut ReadBuf::new(&mut [0])).is_ready() {
            state.ready = None;
            return Poll::Ready(Gone::Ended);
        }
        state.task = Some(cx.waker().clone());
        Poll::Pending
    }
}

enum Gone {
    Taken,
    Ended,
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

/// Makes the connection of a slot whenever it has none. What cannot be made, or ends at once, is tried again later and
/// later.
async fn refill(slot: Arc<Slot>, host: Arc<Host>, shared: Arc<Shared>) {
    let mut pause = PAUSE;
    loop {
        if let Some(counted) = Counted::begin(&shared, &host)
            && let Ok(io) = connect(&host.address, &*shared.connector, &shared).await
        {
            lock(&slot.0).ready = Some(Ready { io, counted });
            if let Gone::Taken = poll_fn(|cx| slot.poll_gone(cx)).await {
                pause = PAUSE;
                continue;
            }
        }
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
