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
    /// Takes back what was handed over and is not to be written yet; it comes before all else. A reset comes back with
    /// the messages, one of which may open the stream that it ends.
    pub(in super::super) fn take_back(&self, batch: &mut Queue) {
        let mut state = lock(&self.state);
        batch.messages.append(&mut state.queue.messages);
        batch.resets.append(&mut state.queue.resets);
        mem::swap(&mut state.queue, batch);
    }
}

#[cfg(test)]
mod tests {
    use aeraki_codec::{Head, Id, IdSpace, Kind, Reason};
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_reset_stays_behind_what_it_resets() {
        let link = Link::new(IdSpace::Bits(32), 2);
        let mut head = Head::new();
        head.set_kind(Kind::StreamOpen);
        head.set_id(Id::Number(7));
        let slot = link.submit(Box::new(Message::new(Bytes::from_static(b"open"), head))).expect("the link is open");
        let mut batch = Queue::default();
        link.work(true, &mut batch);
        // the opening is with the driver, which does not get to write it
        link.end_stream(slot, Some(LocalReply::new(Reason::Unspecified, "given up")));
        for _ in 0..2 {
            link.take_back(&mut batch);
            assert!(batch.is_empty());
            link.work(true, &mut batch);
            assert_eq!((batch.messages.len(), batch.resets.len()), (1, 1));
        }
    }
}
