//! What the callers of a connection have for its driver.

use std::{collections::VecDeque, mem};

use aeraki_codec::{LocalReply, Message, Receipt};

use super::Link;
use crate::sync::lock;

/// What waits to be written.
#[derive(Debug, Default)]
pub(in super::super) struct Queue {
    /// Requests and frames of streams, each with its slot; frames may be left of a stream that has ended.
    pub(in super::super) messages: VecDeque<(u32, Box<Message>)>,
    /// Streams that the proxy ends, and why.
    pub(in super::super) resets: Vec<(Receipt, LocalReply)>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.resets.is_empty()
    }

    /// Returns the request in this slot.
    pub(super) fn position(&self, slot: u32) -> Option<usize> {
        self.messages.iter().position(|(queued, message)| *queued == slot && !message.kind().is_stream_frame())
    }
}

impl Link {
    /// Takes messages back that were handed over and are not to be written yet; they come before all others.
    pub(in super::super) fn take_back(&self, batch: &mut Queue) {
        let mut state = lock(&self.state);
        batch.messages.append(&mut state.queue.messages);
        mem::swap(&mut state.queue.messages, &mut batch.messages);
    }
}
