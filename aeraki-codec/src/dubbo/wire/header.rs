//! The 16 bytes before every body.

use nom::{Parser, combinator::verify};

use crate::{
    DecodeError, DecodeErrorKind, Kind,
    nom_ext::{self, array},
};

/// The fixed header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    flags: u8,
    status: u8,
    id: u64,
    body_len: u32,
}

impl Header {
    /// Length of the header in bytes.
    pub const LEN: usize = 16;

    /// Reads the header at the start of `frame`; the body need not be there.
    ///
    /// # Errors
    /// [`BadMagic`](DecodeErrorKind::BadMagic), [`Incomplete`](DecodeErrorKind::Incomplete) and
    /// [`NegativeLength`](DecodeErrorKind::NegativeLength).
    #[inline]
    pub fn read(frame: &[u8]) -> Result<Self, DecodeError> {
        let magic = verify(array, |found: &[u8; 2]| *found == MAGIC);
        let fields = (magic, array, array.map(u64::from_be_bytes), array.map(u32::from_be_bytes));
        let ((_, [flags, status], id, body_len), _) = nom_ext::read(fields, frame, DecodeErrorKind::BadMagic)?;
        if body_len > i32::MAX as u32 {
            return Err(DecodeError::new(DecodeErrorKind::NegativeLength, LENGTH_OFFSET));
        }
        Ok(Self { flags, status, id, body_len })
    }

    /// Tells whether this is a request or event rather than an answer.
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.flags & REQUEST != 0
    }

    /// Tells whether an answer is expected; always false in answers of Java.
    #[must_use]
    pub const fn is_two_way(self) -> bool {
        self.flags & TWO_WAY != 0
    }

    /// Tells whether this is a heartbeat or a note about the connection.
    #[must_use]
    pub const fn is_event(self) -> bool {
        self.flags & EVENT != 0
    }

    /// Returns the serialization of the body: 2 is Hessian2.
    #[must_use]
    pub const fn serialization(self) -> u8 {
        self.flags & SERIALIZATION
    }

    /// Tells whether the body is one that this crate reads.
    #[must_use]
    pub const fn is_hessian2(self) -> bool {
        self.serialization() == HESSIAN2
    }

    /// Returns the status of an answer; 0 in requests.
    #[must_use]
    pub const fn status(self) -> u8 {
        self.status
    }

    /// Returns the request id as Java prints it.
    #[must_use]
    pub const fn request_id(self) -> i64 {
        self.id.cast_signed()
    }

    /// Returns the bits of the request id.
    #[must_use]
    pub const fn id_bits(self) -> u64 {
        self.id
    }

    /// Returns the length of the body in bytes.
    #[must_use]
    pub const fn body_len(self) -> u32 {
        self.body_len
    }

    /// Returns the kind that the header alone tells: an event counts as a heartbeat until its body says otherwise.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match (self.is_event(), self.is_request(), self.is_two_way()) {
            (true, _, _) => Kind::Heartbeat,
            (_, true, true) => Kind::Request,
            (_, true, false) => Kind::Oneway,
            _ if self.status == super::status::OK => Kind::Response,
            _ => Kind::Error,
        }
    }

    /// Returns the bytes of this header with another id and body length.
    pub(in crate::dubbo) const fn encode(self, id: u64, body_len: u32) -> [u8; Self::LEN] {
        encode(self.flags, self.status, id, body_len)
    }

    /// Checks what can be assigned: serialization and status.
    ///
    /// # Errors
    /// [`UnknownSerialization`](DecodeErrorKind::UnknownSerialization) and
    /// [`UnknownStatus`](DecodeErrorKind::UnknownStatus). A proxy has no need to care and forwards such frames.
    pub fn check_assigned(self) -> Result<(), DecodeError> {
        if !ASSIGNED_SERIALIZATIONS.contains(&self.serialization()) {
            return Err(DecodeError::new(DecodeErrorKind::UnknownSerialization, FLAGS_OFFSET));
        }
        if !self.is_request() && !super::status::ASSIGNED.contains(&self.status) {
            return Err(DecodeError::new(DecodeErrorKind::UnknownStatus, STATUS_OFFSET));
        }
        Ok(())
    }
}

/// Finds a wrong magic as soon as its first byte is there.
pub(in crate::dubbo) fn check_magic(input: &[u8]) -> Result<(), DecodeError> {
    let right = input.iter().zip(&MAGIC).all(|(found, wanted)| found == wanted);
    if right { Ok(()) } else { Err(DecodeError::new(DecodeErrorKind::BadMagic, 0)) }
}

/// Makes the bytes of a header.
pub(in crate::dubbo) const fn encode(flags: u8, status: u8, id: u64, body_len: u32) -> [u8; Header::LEN] {
    let [i0, i1, i2, i3, i4, i5, i6, i7] = id.to_be_bytes();
    let [l0, l1, l2, l3] = body_len.to_be_bytes();
    let [m0, m1] = MAGIC;
    [m0, m1, flags, status, i0, i1, i2, i3, i4, i5, i6, i7, l0, l1, l2, l3]
}

/// First two bytes of every frame.
pub(in crate::dubbo) const MAGIC: [u8; 2] = [0xda, 0xbb];

/// Flag of requests and events.
pub(in crate::dubbo) const REQUEST: u8 = 0x80;
/// Flag of requests that are answered.
pub(in crate::dubbo) const TWO_WAY: u8 = 0x40;
/// Flag of heartbeats and notes.
pub(in crate::dubbo) const EVENT: u8 = 0x20;
/// The bits of the flags that hold the serialization.
pub(in crate::dubbo) const SERIALIZATION: u8 = 0x1f;
/// The serialization that this crate reads.
pub(in crate::dubbo) const HESSIAN2: u8 = 2;

/// Where the id stands.
pub(in crate::dubbo) const ID_OFFSET: usize = 4;
/// Where the body length stands.
pub(in crate::dubbo) const LENGTH_OFFSET: usize = 12;
const FLAGS_OFFSET: usize = 2;
const STATUS_OFFSET: usize = 3;

/// `org.apache.dubbo.common.serialize.Constants`.
const ASSIGNED_SERIALIZATIONS: &[u8] = &[2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 16, 18, 21, 22, 23, 25, 27, 28, 31];
