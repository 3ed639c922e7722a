//! The boxes of messages, used again and again.

use aeraki_codec::{Head, Message};
use bytes::Bytes;

/// Keeps the boxes of messages that are gone for the next ones.
///
/// A request leaves its box with the upstream connection, which sends an answer back in it: so the allocator is asked
/// only while the load grows.
#[derive(Debug)]
pub(crate) struct Boxes {
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    free: Vec<Box<Message>>,
    most: usize,
}

impl Boxes {
    /// Makes a store that keeps at most so many boxes.
    pub(crate) const fn new(most: usize) -> Self {
        Self { free: Vec::new(), most }
    }

    /// Puts a message into a box.
    #[inline]
    pub(crate) fn fill(&mut self, message: Message) -> Box<Message> {
        let Some(mut free) = self.free.pop() else { return Box::new(message) };
        *free = message;
        free
    }

    /// Takes the box of a message that is not needed any more, and lets its bytes go at once.
    #[inline]
    pub(crate) fn empty(&mut self, mut message: Box<Message>) {
        if self.free.len() < self.most {
            *message = Message::new(Bytes::new(), Head::new());
            self.free.push(message);
        }
    }

    /// Gives all memory back.
    pub(crate) fn release(&mut self) {
        self.free = Vec::new();
    }
}
