//! Compressed payloads: as much of them as is needed, and never more than allowed.

use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress, Status};

use crate::codec::{DecodeError, DecodeErrorKind};

/// Inflates payloads for all connections of one protocol object.
///
/// The state of zlib takes 47 KiB: idle connections must not own one, and busy ones must not make one for each
/// message. So one is kept here; whoever finds it in use makes another.
#[derive(Clone, Debug, Default)]
pub(super) struct Inflater {
    spare: Arc<Mutex<Option<Decompress>>>,
}

impl Inflater {
    /// Inflates the first bytes of a payload into `out` and returns those that came out.
    pub(super) fn prefix<'a>(&self, deflated: &[u8], out: &'a mut [u8]) -> Result<&'a [u8], DecodeError> {
        let mut zlib = self.take();
        let status = zlib.decompress(deflated, out, FlushDecompress::None);
        let length = usize::try_from(zlib.total_out()).unwrap_or(usize::MAX);
        self.put(zlib);
        status.ok().and_then(|_| out.get(..length)).ok_or_else(bad)
    }

    /// Inflates a whole payload that is to be passed on: one that swells beyond measure would cost its sender nothing.
    pub(super) fn to_pass_on(&self, deflated: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        self.all(deflated, limit.min(deflated.len().saturating_mul(MOST_SWELLING).max(SMALL)))
    }

    /// Inflates a whole payload of at most `limit` bytes.
    pub(super) fn all(&self, deflated: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let mut zlib = self.take();
        let inflated = grow(&mut zlib, deflated, limit);
        self.put(zlib);
        inflated
    }

    fn take(&self) -> Decompress {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        spare.unwrap_or_else(|| Decompress::new(true))
    }

    fn put(&self, mut zlib: Decompress) {
        zlib.reset(true);
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(zlib);
    }
}

fn grow(zlib: &mut Decompress, deflated: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(deflated.len().saturating_mul(4).clamp(256, FIRST_ROOM).min(limit));
    loop {
        let taken = usize::try_from(zlib.total_in()).unwrap_or(usize::MAX);
        let rest = deflated.get(taken..).unwrap_or_default();
        match zlib.decompress_vec(rest, &mut out, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) => return Ok(out),
            // The room is full: as much again, up to the limit.
            Ok(_) if out.len() == out.capacity() && out.len() < limit => {
                out.reserve_exact(out.len().max(256).min(limit.saturating_sub(out.len())));
            }
            _ => return Err(bad()),
        }
    }
}

fn bad() -> DecodeError {
    DecodeError::new(DecodeErrorKind::BadCompression, 0)
}

/// The most that is reserved before anything has been inflated.
const FIRST_ROOM: usize = 64 * 1024;
/// How many times its length a payload may have inflated, beyond [`SMALL`].
const MOST_SWELLING: usize = 64;
/// Bytes that any payload may have inflated.
const SMALL: usize = 256 * 1024;
