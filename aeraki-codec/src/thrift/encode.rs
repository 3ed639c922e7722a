//! Writes a message under another id or with other headers: patched or spliced, the struct never touched.
//!
//! A frame is written only if it holds one message and nothing else. Many servers take a second message in it for the
//! next call, which nobody has judged, and the next frame for what a struct without an end lacks.

use bytes::Bytes;

use super::FRAME_LIMIT;
use super::begin::Begin;
use super::dialect::{Dialect, Encoding, Transport};
use super::head::is_own;
use super::header::{Goodbye, Header, write_length};
use super::inflate::Inflater;
use super::skip::Skip;
use super::wire::write_varint;
use crate::codec::{EncodeError, Limits, Output};
use crate::message::{Id, Message, Mutation};

/// The sequence numbers of a message and of its header, which are equal but for odd clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeqIds {
    pub(super) message: u32,
    pub(super) header: u32,
}

impl SeqIds {
    /// Makes an id: the number of the message, and above it how that of the header differs.
    pub(super) fn pack(self) -> u64 {
        u64::from(self.message ^ self.header) << 32 | u64::from(self.message)
    }

    /// Takes an id apart.
    pub(super) fn unpack(id: u64) -> Self {
        let [m0, m1, m2, m3, d0, d1, d2, d3] = id.to_le_bytes();
        let message = u32::from_le_bytes([m0, m1, m2, m3]);
        Self { message, header: message ^ u32::from_le_bytes([d0, d1, d2, d3]) }
    }
}

/// Where the sequence number lies, kept from parse to encode in the notes of the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    seq_id: u32,
    /// From the start of the frame; nowhere, where the message has to be inflated.
    seq_at: Option<usize>,
    seq_len: usize,
}

impl Layout {
    /// Notes the layout of a message that begins at `at` in its frame.
    pub(super) fn of(begin: &Begin, at: Option<usize>) -> Self {
        Self { seq_id: begin.seq_id, seq_at: at.map(|at| at.saturating_add(begin.seq_at)), seq_len: begin.seq_len }
    }

    pub(super) fn pack(self) -> [u32; 4] {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        [self.seq_id, self.seq_at.map_or(0, small), small(self.seq_len), 0]
    }

    fn unpack([seq_id, seq_at, seq_len, _]: [u32; 4]) -> Self {
        Self { seq_id, seq_at: (seq_at > 0).then_some(seq_at as usize), seq_len: seq_len as usize }
    }
}

/// Writes a message under its present id and with its mutation; on an error nothing is written.
pub(super) fn encode(
    message: &Message,
    dialect: Dialect,
    goodbye: Goodbye,
    inflater: &Inflater,
    limits: &Limits,
    out: &mut Output,
) -> Result<(), EncodeError> {
    let Id::Number(id) = message.id() else { return Err(EncodeError::BadId) };
    let rewrite = Rewrite {
        frame: message.frame(),
        mutation: message.mutation(),
        goodbye,
        dialect,
        layout: Layout::unpack(message.head().notes()),
        ids: SeqIds::unpack(id),
        body_at: message.head().head_len(),
        inflater,
        limit: limits.frame_or(FRAME_LIMIT),
        depth: limits.depth,
    };
    let start = out.mark();
    rewrite.write(out).inspect_err(|_| out.rollback(start))
}

/// What is to be written, and as what.
struct Rewrite<'a> {
    frame: &'a Bytes,
    mutation: Option<&'a Mutation>,
    goodbye: Goodbye,
    dialect: Dialect,
    layout: Layout,
    ids: SeqIds,
    /// Where the struct begins in the frame, unless it has to be inflated.
    body_at: usize,
    inflater: &'a Inflater,
    limit: usize,
    depth: usize,
}

impl Rewrite<'_> {
    fn write(&self, out: &mut Output) -> Result<(), EncodeError> {
        if self.dialect.transport == Transport::Header {
            return self.with_header(out);
        }
        if self.mutation.is_some() {
            return Err(EncodeError::Immutable);
        }
        if self.ids.header != self.ids.message {
            return Err(EncodeError::BadId);
        }
        let seq_at = self.layout.seq_at.ok_or(EncodeError::Foreign)?;
        if self.dialect.transport == Transport::Framed {
            self.check_end(self.frame, self.body_at)?;
        }
        if self.ids.message == self.layout.seq_id {
            out.put_bytes(self.frame);
            return Ok(());
        }
        if self.dialect.encoding != Encoding::Compact {
            return patch(out.forward(self.frame, seq_at.saturating_add(4)), seq_at, self.ids.message);
        }
        let start = out.mark();
        self.splice(self.frame, seq_at, self.layout.seq_len, out)?;
        if self.dialect.transport == Transport::Framed { write_length(start, self.limit, out) } else { Ok(()) }
    }

    fn with_header(&self, out: &mut Output) -> Result<(), EncodeError> {
        let old = self.frame.get(SEQ_AT..).and_then(|rest| rest.first_chunk()).ok_or(EncodeError::Foreign)?;
        let old = SeqIds { message: self.layout.seq_id, header: u32::from_be_bytes(*old) };
        let inflated = match self.layout.seq_at {
            Some(_) => {
                self.check_end(self.frame, self.body_at)?;
                None
            }
            None => Some(self.inflate()?),
        };
        let same_pairs = self.mutation.is_none() && self.goodbye == Goodbye::AsItIs;
        match self.layout.seq_at {
            _ if same_pairs && self.ids == old => out.put_bytes(self.frame),
            Some(seq_at) if same_pairs && self.dialect.encoding != Encoding::Compact => {
                let head = out.forward(self.frame, seq_at.saturating_add(4));
                patch(head, SEQ_AT, self.ids.header)?;
                patch(head, seq_at, self.ids.message)?;
            }
            _ => self.rebuild(inflated.as_ref(), out)?,
        }
        Ok(())
    }

    /// Inflates the message of a compressed payload, which takes of the [`Inflater`]'s room until it is written.
    fn inflate(&self) -> Result<(Bytes, Begin), EncodeError> {
        let payload = Header::read(self.frame).map_err(|_| EncodeError::Foreign)?.payload();
        let inflated = self.inflater.to_pass_on(payload, self.limit)?;
        let (_, begin) = Begin::read(&inflated, self.dialect.encoding).map_err(|_| EncodeError::Foreign)?;
        self.check_end(&inflated, begin.len)?;
        Ok((inflated, begin))
    }

    /// Refuses a message whose struct begins at `body_at` and ends elsewhere than the bytes do.
    fn check_end(&self, bytes: &[u8], body_at: usize) -> Result<(), EncodeError> {
        let body = bytes.get(body_at..).unwrap_or_default();
        match Skip::length_of(body, self.dialect.encoding, self.depth) {
            Ok(length) if length == body.len() => Ok(()),
            _ => Err(EncodeError::NotOneMessage),
        }
    }

    /// Writes a new header in front of the payload, which is shared as it is unless its number has to change.
    fn rebuild(&self, inflated: Option<&(Bytes, Begin)>, out: &mut Output) -> Result<(), EncodeError> {
        if self.mutation.is_some_and(|mutation| mutation.iter().any(|(key, _)| is_own(key))) {
            return Err(EncodeError::Immutable);
        }
        let header = Header::read(self.frame).map_err(|_| EncodeError::Foreign)?;
        let same = self.ids.message == self.layout.seq_id;
        let start = out.mark();
        header.rewrite(self.ids.header, header.is_deflated() && same, self.mutation, self.goodbye, out)?;
        let payload = tail(self.frame, header.payload_offset())?;
        if same {
            out.put_bytes(&payload);
        } else if let Some((message, begin)) = inflated {
            self.splice(message, begin.seq_at, begin.seq_len, out)?;
        } else {
            let seq_at = self.layout.seq_at.and_then(|at| at.checked_sub(header.payload_offset()));
            self.splice(&payload, seq_at.ok_or(EncodeError::Foreign)?, self.layout.seq_len, out)?;
        }
        write_length(start, self.limit, out)
    }

    /// Writes a message with another sequence number, which may be shorter or longer than the one it had.
    fn splice(&self, message: &Bytes, seq_at: usize, seq_len: usize, out: &mut Output) -> Result<(), EncodeError> {
        let rest = tail(message, seq_at.saturating_add(seq_len))?;
        out.put(message.get(..seq_at).unwrap_or_default());
        if self.dialect.encoding == Encoding::Compact {
            write_varint(self.ids.message, out);
        } else {
            out.put(&self.ids.message.to_be_bytes());
        }
        out.put_bytes(&rest);
        Ok(())
    }
}

fn patch(head: &mut [u8], at: usize, number: u32) -> Result<(), EncodeError> {
    let slot = head.get_mut(at..).and_then(|rest| rest.first_chunk_mut()).ok_or(EncodeError::Foreign)?;
    *slot = number.to_be_bytes();
    Ok(())
}

fn tail(bytes: &Bytes, at: usize) -> Result<Bytes, EncodeError> {
    if at <= bytes.len() { Ok(bytes.slice(at..)) } else { Err(EncodeError::Foreign) }
}

/// Where a header has its own sequence number.
const SEQ_AT: usize = 8;
