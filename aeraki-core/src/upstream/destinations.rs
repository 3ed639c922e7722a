//! Endpoints that clients bring along: where their connections were meant to go before they were intercepted.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
};

use aeraki_route::config::OriginalDst;
use foldhash::fast::RandomState;
use tokio::time::sleep;

use super::{endpoint::Endpoint, shared::Shared};
use crate::sync::lock;

/// The endpoints of a cluster whose requests go where their clients meant them to go.
#[derive(Debug)]
pub(super) struct Destinations {
    config: OriginalDst,
    known: Mutex<HashMap<SocketAddr, Known, RandomState>>,
}

#[derive(Debug)]
struct Known {
    endpoint: Arc<Endpoint>,
    /// Whether it was asked for since it was last looked at.
    used: bool,
}

impl Known {
    fn is_needed(&self) -> bool {
        self.used || self.endpoint.active.load(Relaxed) > 0
    }
}

impl Destinations {
    pub(super) fn new(config: OriginalDst) -> Self {
        Self { config, known: Mutex::default() }
    }

    /// Returns the endpoint at an address, made where it is not known yet; none where as many as may be are in use.
    pub(super) fn endpoint(&self, mut address: SocketAddr, shared: &Arc<Shared>) -> Option<Arc<Endpoint>> {
        if let Some(port) = self.config.port_override {
            address.set_port(port);
        }
        let mut known = lock(&self.known);
        if let Some(known) = known.get_mut(&address) {
            known.used = true;
            return Some(Arc::clone(&known.endpoint));
        }
        if known.len() >= MOST {
            known.retain(|_, known| keep(known, known.endpoint.active.load(Relaxed) > 0));
        }
        if known.len() >= MOST {
            return None;
        }
        let endpoint = Arc::new(Endpoint::new(address.into(), Arc::clone(shared)));
        known.insert(address, Known { endpoint: Arc::clone(&endpoint), used: true });
        Some(endpoint)
    }

    /// Forgets endpoints that nobody asks for, again and again.
    pub(super) async fn sweep_for_ever(&self) {
        loop {
            sleep(self.config.cleanup_interval).await;
            lock(&self.known).retain(|_, known| {
                let needed = known.is_needed();
                known.used = false;
                keep(known, needed)
            });
        }
    }

    /// Lists them.
    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        lock(&self.known).values().map(|known| Arc::clone(&known.endpoint)).collect()
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        lock(&self.known).len()
    }

    /// Forgets all endpoints; connections end with their last request.
    pub(super) fn clear(&self) {
        lock(&self.known).retain(|_, known| keep(known, false));
    }
}

/// Ends the connections of an endpoint that is not needed.
fn keep(known: &Known, needed: bool) -> bool {
    if !needed {
        known.endpoint.drain();
    }
    needed
}

/// Endpoints at a time: clients that mean ever other addresses are not to fill the memory.
const MOST: usize = 4096;
