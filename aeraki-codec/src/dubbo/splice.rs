//! Changing attachments without touching anything else.
//!
//! ```text
//! header | body up to the attachments | old pairs that stay | new pairs | Z | what followed
//!  new len   shared                     copied as they are
//! ```
//!
//! Back references count containers from the start of the body, so a pair that holds one can go only if nothing
//! behind it counts on its place.

use std::ops::Range;

use super::{
    attributes::Notes,
    codec::{Options, forward},
    wire::{CallHead, Header, Tail, header, open_attachments, read_type, status},
};
use crate::{
    Change, DecodeError, EncodeError, Kind, Limits, Message, Mutation, Output,
    codec::Mark,
    hessian2::{Entry, Event, Reader, write},
};

/// One message and the change that it goes out with.
pub(super) struct Splice<'a> {
    pub(super) message: &'a Message,
    pub(super) mutation: &'a Mutation,
    pub(super) limits: &'a Limits,
    pub(super) options: Options,
    pub(super) max_frame: usize,
    /// Answers without attachments may be given some.
    pub(super) promote: bool,
}

/// A place in the body, and what has to be known to read on from there.
struct Attachments<'a> {
    reader: Reader<'a>,
    /// They are a map of strings and nothing else.
    plain: bool,
    /// The body starts with this response type instead of its own, which reaches up to the offset.
    new_type: Option<(i32, usize)>,
}

impl Attachments<'_> {
    fn has_any(&self) -> bool {
        self.new_type.is_none() && !matches!(self.reader.rest(), [] | [b'N', ..])
    }
}

impl Splice<'_> {
    /// Writes the message, or nothing.
    pub(super) fn write(&self, out: &mut Output) -> Result<(), EncodeError> {
        let header = Header::read(self.message.frame()).map_err(|_| EncodeError::Foreign)?;
        if !header.is_hessian2() || header.is_event() {
            return Err(EncodeError::Immutable);
        }
        let attachments = self.find(header)?;
        if !self.sets_anything() && !attachments.has_any() {
            forward(self.message, out);
            return Ok(());
        }
        let mark = out.mark();
        let written = self.write_frame(header, attachments, out).and_then(|()| self.write_len(out, mark));
        if written.is_err() {
            out.rollback(mark);
        }
        written
    }

    fn find(&self, header: Header) -> Result<Attachments<'_>, EncodeError> {
        let notes = Notes::from_numbers(self.message.head().notes());
        let frame = self.message.frame();
        if notes.plain_map
            && let Ok(offset) = usize::try_from(notes.attachments)
        {
            let reader = self.options.reader_at(frame, offset, self.limits);
            return Ok(Attachments { reader, plain: true, new_type: None });
        }
        let mut reader = self.options.reader_at(frame, Header::LEN, self.limits);
        let new_type = match self.message.kind() {
            Kind::Request | Kind::Oneway => {
                skip_call(&mut reader).map_err(immutable)?;
                None
            }
            _ if header.status() == status::OK => self.skip_answer(&mut reader)?,
            _ => return Err(EncodeError::Immutable),
        };
        Ok(Attachments { reader, plain: false, new_type })
    }

    fn skip_answer(&self, reader: &mut Reader<'_>) -> Result<Option<(i32, usize)>, EncodeError> {
        let ty = read_type(reader).map_err(immutable)?;
        let after_type = reader.offset();
        if ty.has_value() {
            reader.skip().map_err(immutable)?;
        }
        if ty.has_attachments() {
            return Ok(None);
        }
        if !self.promote && self.sets_anything() {
            return Err(EncodeError::Immutable);
        }
        Ok(Some((ty.with_attachments().code(), after_type)))
    }

    fn write_frame(&self, header: Header, attachments: Attachments<'_>, out: &mut Output) -> Result<(), EncodeError> {
        let Attachments { mut reader, plain, new_type } = attachments;
        let start = reader.offset();
        // An answer that has no attachments yet is followed, if at all, by bytes that mean nothing.
        let has_map = new_type.is_none() && open_attachments(&mut reader).map_err(immutable)?;
        out.put(&header.encode(self.message.id().number(), 0));
        match new_type {
            Some((code, after_type)) => {
                write::int(out, code);
                self.put_part(after_type..start, out);
            }
            None => self.put_part(Header::LEN..start, out),
        }
        if has_map {
            self.put_part(start..reader.offset(), out);
            let last_fixed = if plain { 0 } else { last_fixed(reader.clone()).map_err(immutable)? };
            self.write_kept(&mut reader, last_fixed, out)?;
        } else {
            write::map(out);
        }
        self.write_new(out)?;
        write::end(out);
        self.put_part(reader.offset()..self.message.len(), out);
        Ok(())
    }

    fn write_kept(&self, reader: &mut Reader<'_>, last_fixed: usize, out: &mut Output) -> Result<(), EncodeError> {
        let mut kept_from = reader.offset();
        loop {
            let at = reader.offset();
            let drops = if let Some((key, _)) = reader.plain_pair() {
                // most are such, and nothing counts on their places
                key.as_utf8().is_some_and(|key| self.mutation.get(key).is_some())
            } else if let Some(entry) = reader.entry().map_err(immutable)? {
                self.drops(&entry, last_fixed)?
            } else {
                self.put_part(kept_from..at, out);
                return Ok(());
            };
            if drops {
                self.put_part(kept_from..at, out);
                kept_from = reader.offset();
            }
        }
    }

    fn drops(&self, entry: &Entry<'_>, last_fixed: usize) -> Result<bool, EncodeError> {
        let Event::Text(key) = entry.key else { return Ok(false) };
        let change = key.to_str().and_then(|key| self.mutation.get(key.as_bytes()));
        match change {
            None => Ok(false),
            Some(_) if entry.removable || entry.range.start >= last_fixed => Ok(true),
            // It stays, and the new pair behind it wins.
            Some(Change::Set(_)) => Ok(false),
            Some(Change::Remove) => Err(EncodeError::Immutable),
        }
    }

    fn write_new(&self, out: &mut Output) -> Result<(), EncodeError> {
        for (key, change) in self.mutation.iter() {
            if let Change::Set(value) = change {
                for text in [key, value] {
                    write::string(out, std::str::from_utf8(text).map_err(|_| EncodeError::Immutable)?);
                }
            }
        }
        Ok(())
    }

    fn write_len(&self, out: &mut Output, mark: Mark) -> Result<(), EncodeError> {
        let len = out.len_since(mark);
        if len > self.max_frame {
            return Err(EncodeError::TooLarge);
        }
        let body = i32::try_from(len.saturating_sub(Header::LEN)).map_err(|_| EncodeError::TooLarge)?;
        if let Some(place) = out.copied_since(mark).get_mut(header::LENGTH_OFFSET..Header::LEN) {
            place.copy_from_slice(&body.to_be_bytes());
        }
        Ok(())
    }

    fn put_part(&self, range: Range<usize>, out: &mut Output) {
        let frame = self.message.frame();
        let part = frame.get(range).unwrap_or_default();
        if part.len() <= Output::COPIED {
            out.put(part);
        } else {
            out.put_bytes(&frame.slice_ref(part));
        }
    }

    fn sets_anything(&self) -> bool {
        self.mutation.iter().any(|(_, change)| matches!(change, Change::Set(_)))
    }
}

/// Leaves `reader` at the attachments.
fn skip_call(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    CallHead::read(reader)?;
    Tail::read(reader).map(|_| ())
}

/// The start of the last pair that counts containers or refers to one.
fn last_fixed(mut reader: Reader<'_>) -> Result<usize, DecodeError> {
    let mut last = 0;
    while let Some(entry) = reader.entry()? {
        if !entry.removable || matches!(entry.value, Event::Ref(_)) {
            last = entry.range.start;
        }
    }
    Ok(last)
}

fn immutable(_: DecodeError) -> EncodeError {
    EncodeError::Immutable
}
