//! Apache Thrift: binary and compact messages over unframed, framed and header transports.
//!
//! ```text
//! unframed   message message ...
//! framed     length i32 | message
//! header     length i32 | 0f ff | flags, sequence number, protocol, transforms, key/value pairs | message
//!
//! message    type, name, sequence number | one struct: arguments, result or exception
//! ```
//!
//! Transport and encoding are told from the first bytes of a connection and stay; the old binary form must be chosen
//! ([`Thrift::fixed`]). Only the head of a message is read: the struct passes as it came. Without frames a message must
//! be walked to find its end; that goes on where it stopped when more bytes come.
//!
//! | Attribute | Value | Mutable |
//! |---|---|---|
//! | `method` | the name as on the wire, `Service:method` where multiplexed | no |
//! | `thrift.service` | what comes in front of the first colon; absent without one | no |
//! | `thrift.method` | what comes behind it, or the whole name | no |
//! | any other | the header of this name, on the header transport only | on the header transport |
//!
//! A header cannot pose as one of the first three. Sequence numbers are ids of 32 bits; where a client gives `THeader`
//! a number of its own, how it differs lies in the upper half of the id and comes back in the answer.
//! Of info blocks only the pairs (1) are read; where a call has others, as persistent headers, the headers that are
//! asked for are ambiguous.
//!
//! Answers by the proxy are a `TApplicationException` in the transport and encoding of the request:
//!
//! | [`Reason`](crate::Reason) | Type |
//! |---|---|
//! | `RouteNotFound` | 1, unknown method (as Envoy; Aeraki's C++ proxy says 6 here) |
//! | `BadRequest`, `BadResponse` | 7, protocol error |
//! | any other | 6, internal error |
//!
//! A one-way call is never answered; a call whose number cannot be read is answered by closing.
//!
//! Payloads compressed with zlib are inflated as far as the head reaches, and as a whole before they are passed on: as
//! they came, or plain where the number has to change. They may be 256 KiB long, or 16 times as long as what came
//! ([`TooLarge`](crate::EncodeError::TooLarge)). Requests that have not been written yet take 64 MiB at most for each
//! [`Thrift`] and its clones ([`Overflow`](crate::EncodeError::Overflow)). Not spoken: JSON, HTTP, SASL, the upgrade of
//! Finagle, and transforms other than zlib.
//!
//! Whoever uses the codec alone starts with [`message`].

mod begin;
mod codec;
mod dialect;
mod encode;
mod envelope;
mod grammar;
mod head;
mod header;
mod inflate;
mod reply;
mod skip;
mod value;
mod wire;

pub use self::{
    begin::MessageType,
    codec::Thrift,
    dialect::{Encoding, Transport},
    envelope::{Envelope, message, message_as},
    grammar::Type,
    header::{Header, Pairs},
    value::{List, Map, Struct, Value},
};

/// The longest frame, as in all libraries of Apache Thrift.
const FRAME_LIMIT: usize = 16_384_000;
