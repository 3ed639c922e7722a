//! What a codec reads of a frame.

use super::{AttributeTable, Kind, Span, Status, Text};
use crate::codec::{Affinity, DecodeError, Limits};

/// The id by which a protocol matches responses with requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Id {
    /// The protocol, or this message, has none.
    #[default]
    None,
    /// A number, as the bits on the wire (a signed id is reinterpreted, not converted).
    Number(u64),
    /// A text in the frame.
    Text(Span),
}

impl Id {
    /// Returns the number, or 0 where there is none.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Number(id) => id,
            Self::None | Self::Text(_) => 0,
        }
    }
}

/// Holds what a codec read of one frame: kind, id, status, attributes, and notes for its own later use.
///
/// Filled by [`Codec::parse`](crate::Codec::parse): id and kind first, so that even a frame that turns out to be bad
/// can be answered.
#[derive(Clone, Debug, Default)]
pub struct Head {
    attributes: AttributeTable,
    id: Id,
    notes: [u32; 4],
    echo: Option<Span>,
    status: Status,
    head_len: u32,
    dialect: u32,
    kind: Kind,
    affinity: Affinity,
    immutable: bool,
    opaque: bool,
    goodbye: bool,
}

impl Head {
    /// Makes an empty head.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, keeping allocated room.
    pub fn clear(&mut self) {
        let Self { attributes, id, notes, echo, status, head_len, dialect, kind, affinity, immutable, opaque, goodbye } =
            self;
        attributes.clear();
        (*id, *notes, *echo) = Default::default();
        (*status, *head_len, *dialect, *kind, *affinity) = Default::default();
        (*immutable, *opaque, *goodbye) = Default::default();
    }

    /// Returns what kind of message this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Sets the kind.
    pub const fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// Returns the id.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// Sets the id.
    pub const fn set_id(&mut self, id: Id) {
        self.id = id;
    }

    /// Returns how the call ended.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Sets how the call ended.
    pub const fn set_status(&mut self, status: Status) {
        self.status = status;
    }

    /// Returns which upstream connection the message needs.
    #[must_use]
    pub const fn affinity(&self) -> Affinity {
        self.affinity
    }

    /// Sets which upstream connection the message needs.
    pub const fn set_affinity(&mut self, affinity: Affinity) {
        self.affinity = affinity;
    }

    /// Returns the codec's number for the variant of the protocol that the message is written in (transport,
    /// serialization); messages of different dialects never share an upstream connection.
    #[must_use]
    pub const fn dialect(&self) -> u32 {
        self.dialect
    }

    /// Sets the dialect.
    pub const fn set_dialect(&mut self, dialect: u32) {
        self.dialect = dialect;
    }

    /// Returns the length of the protocol's header, in bytes from the start of the frame.
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.head_len as usize
    }

    /// Sets the length of the protocol's header; saturates at 4 GiB, more than a frame can have.
    pub fn set_head_len(&mut self, len: usize) {
        self.head_len = u32::try_from(len).unwrap_or(u32::MAX);
    }

    /// Tells whether a [`Mutation`](super::Mutation) of this message can be written.
    #[must_use]
    pub const fn is_mutable(&self) -> bool {
        !self.immutable
    }

    /// Declares whether a mutation of this message can be written; it can unless said otherwise.
    pub const fn set_mutable(&mut self, mutable: bool) {
        self.immutable = !mutable;
    }

    /// Tells whether the attributes could not be read.
    #[must_use]
    pub const fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// Declares that the attributes cannot be read: those that are there may be others for the receiver, and whoever
    /// must know one for sure takes every key for [ambiguous](super::Attributes::is_ambiguous).
    pub const fn set_opaque(&mut self) {
        self.opaque = true;
    }

    /// Tells whether the server says with this answer that it wants no further requests on the connection.
    #[must_use]
    pub const fn says_goodbye(&self) -> bool {
        self.goodbye
    }

    /// Declares that the server says with this answer, or frame of a stream, that it wants no further requests on the
    /// connection, as [`Flow::Drain`](crate::Flow::Drain) does of an event.
    pub const fn set_goodbye(&mut self) {
        self.goodbye = true;
    }

    /// Returns the four numbers that the codec keeps from `parse` for `encode` and `reply`, such as offsets.
    #[must_use]
    pub const fn notes(&self) -> [u32; 4] {
        self.notes
    }

    /// Keeps four numbers for `encode` and `reply`; all four travel in the [`Receipt`](crate::Receipt).
    pub const fn set_notes(&mut self, notes: [u32; 4]) {
        self.notes = notes;
    }

    /// Returns the bytes that a reply must repeat, such as the method name of Thrift.
    #[must_use]
    pub const fn echo(&self) -> Option<Span> {
        self.echo
    }

    /// Names the bytes that a reply must repeat; they travel in the [`Receipt`](crate::Receipt).
    pub const fn set_echo(&mut self, echo: Span) {
        self.echo = Some(echo);
    }

    /// Returns the attributes.
    #[must_use]
    pub const fn attributes(&self) -> &AttributeTable {
        &self.attributes
    }

    /// Sets the codec's table of names, to which [`Text::Name`] refers.
    pub const fn set_names(&mut self, names: &'static [&'static str]) {
        self.attributes.set_names(names);
    }

    /// Adds an attribute; a repeated key takes the last value and, where they differ, counts as ambiguous.
    ///
    /// # Errors
    /// [`TooManyAttributes`](crate::DecodeErrorKind::TooManyAttributes) beyond [`Limits::attributes`] and
    /// [`Limits::attribute_bytes`], and [`FrameTooLarge`](crate::DecodeErrorKind::FrameTooLarge) for a position outside
    /// the frame or beyond 1 GiB.
    #[inline(always)]
    pub fn insert(&mut self, frame: &[u8], limits: &Limits, key: Text<'_>, value: Text<'_>) -> Result<(), DecodeError> {
        self.attributes.insert(frame, limits, key, value)
    }

    /// Copies bytes that are not contiguous in the frame into the message, for [`Text::Span`] and
    /// [`set_echo`](Self::set_echo); `None` beyond 1 GiB.
    pub fn copy(&mut self, bytes: &[u8]) -> Option<Span> {
        self.attributes.copy(bytes)
    }

    /// Declares that peers may read `name`, which `key` stands for, differently; where it is not there yet, it stands
    /// there with an empty value, since to have none would be sure too.
    #[cfg(any(feature = "dubbo", feature = "thrift"))]
    #[cold]
    pub(crate) fn doubt(
        &mut self,
        frame: &[u8],
        limits: &Limits,
        key: Text<'_>,
        name: &str,
    ) -> Result<(), DecodeError> {
        if self.attributes.get(frame, name).is_none() {
            self.insert(frame, limits, key, Text::Copied(b""))?;
        }
        self.mark_ambiguous(frame, name);
        Ok(())
    }

    /// Declares that peers may read `key` differently; without effect where the key is not there.
    pub fn mark_ambiguous(&mut self, frame: &[u8], key: &str) {
        self.attributes.mark_ambiguous(frame, key);
    }
}
