//! Answers by the proxy; the table of types is in the parent module.

use super::begin::Begin;
use super::dialect::{Dialect, Encoding, Transport};
use super::encode::SeqIds;
use super::header::{Goodbye, write_length, write_plain};
use super::wire::write_varint;
use crate::codec::{Answer, EncodeError, LocalReply, Output, Reason, Receipt};
use crate::message::Id;

/// Writes the answer; on an error nothing is written.
pub(super) fn write(
    to: &Receipt,
    reply: &LocalReply,
    goodbye: Goodbye,
    limit: usize,
    out: &mut Output,
) -> Result<Answer, EncodeError> {
    if !to.wants_answer() {
        return Ok(Answer::Written);
    }
    let (Some(dialect), Id::Number(id)) = (Dialect::unpack(to.dialect()), to.id()) else { return Ok(Answer::Close) };
    let ids = SeqIds::unpack(id);
    let start = out.mark();
    let opened = match dialect.transport {
        Transport::Unframed => Ok(()),
        Transport::Framed => {
            out.put(&[0; 4]);
            Ok(())
        }
        Transport::Header => write_plain(dialect.encoding, ids.header, goodbye, out),
    };
    // Servers answer a multiplexed call under the name that it has for them.
    let (_, method) = Begin::split(to.echo());
    Begin::write_exception(dialect.encoding, method, ids.message, out);
    write_exception(dialect.encoding, reply, out);
    let closed = match dialect.transport {
        Transport::Unframed => Ok(()),
        Transport::Framed | Transport::Header => write_length(start, limit, out),
    };
    match opened.and(closed) {
        Ok(()) => Ok(Answer::Written),
        Err(error) => {
            out.rollback(start);
            Err(error)
        }
    }
}

/// Writes the struct: field 1 is the message, field 2 the type.
fn write_exception(encoding: Encoding, reply: &LocalReply, out: &mut Output) {
    let text = if reply.text().is_empty() { reply.reason().as_str() } else { reply.text() };
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let asked = reply.status().and_then(failure);
    let code = asked.unwrap_or_else(|| exception_type(reply.reason()));
    if encoding == Encoding::Compact {
        out.put(&[0x18]);
        write_varint(length, out);
        out.put(text.as_bytes());
        // The type is small and not negative: zigzag doubles it.
        out.put(&[0x15, code << 1, 0]);
    } else {
        out.put(&[11, 0, 1]);
        out.put(&length.to_be_bytes());
        out.put(text.as_bytes());
        out.put(&[8, 0, 2, 0, 0, 0, code, 0]);
    }
}

/// Returns the type of exception that a status asks for; none where it is too large for the one byte of compact
/// encoding.
pub(super) fn failure(status: u32) -> Option<u8> {
    u8::try_from(status).ok().filter(|status| *status < 64)
}

/// Returns the type of a `TApplicationException`.
const fn exception_type(reason: Reason) -> u8 {
    match reason {
        Reason::RouteNotFound => 1,
        Reason::BadRequest | Reason::BadResponse => 7,
        _ => 6,
    }
}
