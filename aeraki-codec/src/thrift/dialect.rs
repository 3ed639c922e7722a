//! In which transport and encoding messages travel, and how to tell from the first bytes of a connection.

use super::FRAME_LIMIT;
use super::wire::array;
use crate::codec::{DecodeError, DecodeErrorKind};

/// How messages are delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Back to back: only walking a message finds its end.
    Unframed,
    /// Behind a length of four bytes.
    Framed,
    /// `THeader`: behind a length and a header that can carry key/value pairs.
    Header,
}

/// How the values of a message are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Binary with a version in front of each message ("strict").
    Binary,
    /// Binary as before versions; readers take strict messages as well. Never detected: it must be chosen.
    BinaryOld,
    /// Compact.
    Compact,
}

/// A transport and an encoding; fixed for the life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Dialect {
    pub(super) transport: Transport,
    pub(super) encoding: Encoding,
}

/// What the first bytes of a connection tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    Dialect(Dialect),
    /// The input must have this length before more can be said.
    Need(usize),
}

impl Dialect {
    /// Tells transport and encoding from the first bytes of a connection, which is a client's or a server's alike.
    ///
    /// The old binary form begins with the length of a name and cannot be told from anything else.
    pub(super) fn detect(input: &[u8]) -> Result<Detected, DecodeError> {
        let Ok((rest, first)) = array(input) else { return Ok(Detected::Need(2)) };
        if let Some(encoding) = Encoding::of_start(first) {
            return Ok(Detected::Dialect(Self { transport: Transport::Unframed, encoding }));
        }
        let (Ok((rest, [_, _])), [0..=0x7f, _]) = (array(rest), first) else {
            return if first[0] > 0x7f { Err(undetectable(0)) } else { Ok(Detected::Need(6)) };
        };
        if input.starts_with(&[0; 4]) {
            return Err(undetectable(0));
        }
        let Ok((_, start)) = array(rest) else { return Ok(Detected::Need(6)) };
        if start == HEADER_MAGIC {
            // The encoding is named in each header.
            return Ok(Detected::Dialect(Self { transport: Transport::Header, encoding: Encoding::Binary }));
        }
        match Encoding::of_start(start) {
            Some(encoding) => Ok(Detected::Dialect(Self { transport: Transport::Framed, encoding })),
            None => Err(undetectable(4)),
        }
    }

    /// Tells whether a peer that speaks this dialect can tell where a message of the `other` one ends.
    pub(super) fn admits(self, other: Self) -> bool {
        let compact = |dialect: Self| dialect.encoding == Encoding::Compact;
        self.transport == other.transport && (self.transport == Transport::Header || compact(self) == compact(other))
    }

    /// Tells whether a connection that speaks it may begin so: frames have a largest length.
    pub(super) fn may_begin(self, input: &[u8]) -> bool {
        let Ok((_, len)) = array(input) else { return true };
        self.transport == Transport::Unframed || u32::from_be_bytes(len) as usize <= FRAME_LIMIT
    }

    /// Packs the dialect into a number; 0 stands for none.
    pub(super) fn pack(self) -> u32 {
        let transport = match self.transport {
            Transport::Unframed => 0x10,
            Transport::Framed => 0x20,
            Transport::Header => 0x30,
        };
        transport
            | match self.encoding {
                Encoding::Binary => 1,
                Encoding::BinaryOld => 2,
                Encoding::Compact => 3,
            }
    }

    /// Unpacks what [`pack`](Self::pack) made.
    pub(super) fn unpack(packed: u32) -> Option<Self> {
        let transport = match packed >> 4 {
            1 => Transport::Unframed,
            2 => Transport::Framed,
            3 => Transport::Header,
            _ => return None,
        };
        let encoding = match packed & 0x0f {
            1 => Encoding::Binary,
            2 => Encoding::BinaryOld,
            3 => Encoding::Compact,
            _ => return None,
        };
        Some(Self { transport, encoding })
    }
}

impl Encoding {
    /// Tells what to read a message as whose header names an encoding: the old binary form has no name of its own.
    pub(super) fn in_header(self, named: Self) -> Self {
        if self == Self::BinaryOld && named == Self::Binary { self } else { named }
    }

    /// Tells the encoding from the first two bytes of a message.
    fn of_start(start: [u8; 2]) -> Option<Self> {
        match start {
            [0x80, 0x01] => Some(Self::Binary),
            [0x82, second] if second & 0x1f == 1 => Some(Self::Compact),
            _ => None,
        }
    }
}

fn undetectable(offset: usize) -> DecodeError {
    DecodeError::fatal(DecodeErrorKind::Undetectable, offset)
}

/// What marks a `THeader` behind its length.
pub(super) const HEADER_MAGIC: [u8; 2] = [0x0f, 0xff];

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(bytes: &[u8]) -> Result<Detected, (DecodeErrorKind, usize)> {
        Dialect::detect(bytes).map_err(|error| (error.kind(), error.offset()))
    }

    #[test]
    fn tells_every_dialect_that_can_be_told() {
        let is = |transport, encoding| Ok(Detected::Dialect(Dialect { transport, encoding }));
        assert_eq!(detected(b"\x80\x01"), is(Transport::Unframed, Encoding::Binary));
        assert_eq!(detected(b"\x82\x21"), is(Transport::Unframed, Encoding::Compact));
        assert_eq!(detected(b"\0\0\0\x20\x80\x01"), is(Transport::Framed, Encoding::Binary));
        assert_eq!(detected(b"\0\0\0\x20\x82\x41"), is(Transport::Framed, Encoding::Compact));
        assert_eq!(detected(b"\0\0\0\x20\x0f\xff"), is(Transport::Header, Encoding::Binary));
    }

    #[test]
    fn asks_for_what_it_needs_and_no_more() {
        for length in 0..6 {
            let needed = if length < 2 { 2 } else { 6 };
            assert_eq!(detected(&b"\0\0\0\x20\x80\x01"[..length]), Ok(Detected::Need(needed)), "{length} bytes");
        }
    }

    #[test]
    fn refuses_everything_else_at_once() {
        for (bytes, offset) in [
            (&b"GET / "[..], 4),
            (b"\x80\x02", 0),
            (b"\x82\x02", 0),
            (b"\xff\xff", 0),
            (b"\0\0\0\0", 0),
            (b"[1,\"ad", 4),
            (b"\0\0\0\x03ad", 4),
        ] {
            assert_eq!(detected(bytes), Err((DecodeErrorKind::Undetectable, offset)), "{bytes:?}");
        }
    }

    #[test]
    fn survives_packing() {
        for transport in [Transport::Unframed, Transport::Framed, Transport::Header] {
            for encoding in [Encoding::Binary, Encoding::BinaryOld, Encoding::Compact] {
                let dialect = Dialect { transport, encoding };
                assert_eq!(Dialect::unpack(dialect.pack()), Some(dialect));
            }
        }
        assert_eq!(Dialect::unpack(0), None);
    }
}
