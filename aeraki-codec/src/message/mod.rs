//! What is known of one frame: its [`Head`], its attributes, and the change that is still to be written.
//!
//! A [`Message`] owns its bytes and refers to parts of them by position, so it can be stored, moved and sent
//! without copying anything.

mod attributes;
mod demand;
mod head;
mod kind;
mod mutation;
mod span;

use std::sync::Arc;

use bytes::Bytes;

#[cfg(any(feature = "dubbo", feature = "thrift"))]
pub(crate) use self::demand::{Sorter, Wanted};
pub use self::{
    attributes::{AttributeTable, Attributes, Text},
    demand::Demand,
    head::{Head, Id},
    kind::{Kind, Outcome, Status},
    mutation::{Change, Mutation},
    span::Span,
};
use crate::codec::Receipt;

/// Holds one frame, what a codec read of it, and the mutation that is applied when it is written.
///
/// Cloning is cheap: the bytes and the mutation are shared.
#[derive(Clone, Debug)]
pub struct Message {
    frame: Bytes,
    head: Head,
    mutation: Option<Arc<Mutation>>,
}

const _: () = assert!(size_of::<Message>() <= 288);

impl Message {
    /// Joins a frame with the head that [`Codec::parse`](crate::Codec::parse) filled from it.
    #[must_use]
    pub const fn new(frame: Bytes, head: Head) -> Self {
        Self { frame, head, mutation: None }
    }

    /// Returns the whole frame as it came from the wire.
    #[must_use]
    pub const fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// Returns what the codec read.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Returns the bytes behind the protocol's fixed or framed header.
    #[must_use]
    pub fn body(&self) -> Body {
        Body::Whole(self.frame.slice(self.head.head_len().min(self.frame.len())..))
    }

    /// Returns what kind of message this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.head.kind()
    }

    /// Returns the id by which requests and responses are matched; set by the codec, or by [`set_id`](Self::set_id).
    #[must_use]
    pub const fn id(&self) -> Id {
        self.head.id()
    }

    /// Sets the id under which the message is written; the frame itself is not touched.
    pub const fn set_id(&mut self, id: u64) {
        self.head.set_id(Id::Number(id));
    }

    /// Returns how the call ended, as the protocol says it; meaningful on responses.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.head.status()
    }

    /// Returns the length of the frame in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.frame.len()
    }

    /// Tells whether the frame holds no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.frame.is_empty()
    }

    /// Returns the value of an attribute; keys are compared without regard to ASCII case.
    #[must_use]
    pub fn attr(&self, key: &str) -> Option<&[u8]> {
        self.head.attributes().get(&self.frame, key)
    }

    /// Lists all attributes that were read, in the order in which their keys first appeared.
    pub fn attrs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.head.attributes().iter(&self.frame)
    }

    /// Resolves a span of this message.
    #[must_use]
    pub fn text(&self, span: Span) -> Option<&[u8]> {
        self.head.attributes().resolve(&self.frame, span)
    }

    /// Returns the change that is applied when the message is written.
    #[must_use]
    pub fn mutation(&self) -> Option<&Mutation> {
        self.mutation.as_deref().filter(|mutation| !mutation.is_empty())
    }

    /// Gives access to the change that is applied when the message is written.
    pub fn mutation_mut(&mut self) -> &mut Mutation {
        Arc::make_mut(self.mutation.get_or_insert_default())
    }

    /// Adds a change that wins over an earlier one of the same key; shared, not copied, when it is the first.
    pub fn apply(&mut self, mutation: &Arc<Mutation>) {
        match &mut self.mutation {
            Some(pending) => Arc::make_mut(pending).merge(mutation),
            None => self.mutation = Some(Arc::clone(mutation)),
        }
    }

    /// Keeps what a later reply to this request needs of it; see [`Receipt`].
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt::of(self)
    }
}

impl Attributes for Message {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        Self::attr(self, key)
    }

    fn is_ambiguous(&self, key: &str) -> bool {
        self.head.is_opaque() || self.head.attributes().is_ambiguous(&self.frame, key)
    }
}

/// The payload of a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Body {
    /// The whole payload is in memory.
    Whole(Bytes),
}
