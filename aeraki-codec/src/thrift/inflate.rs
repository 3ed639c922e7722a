//! Compressed payloads: as much of them as is needed, and never more than allowed.

use flate2::{Decompress, FlushDecompress, Status};

use crate::codec::{DecodeError, DecodeErrorKind};

/// Inflates the first bytes of a payload into `out` and returns those that came out.
pub(super) fn prefix<'a>(deflated: &[u8], out: &'a mut [u8]) -> Result<&'a [u8], DecodeError> {
    let mut zlib = Decompress::new(true);
    zlib.decompress(deflated, out, FlushDecompress::None).map_err(|_| bad())?;
    let length = usize::try_from(zlib.total_out()).unwrap_or(usize::MAX);
    out.get(..length).ok_or_else(bad)
}

/// Inflates a whole payload of at most `limit` bytes.
pub(super) fn all(deflated: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut zlib = Decompress::new(true);
    let mut out = Vec::with_capacity(deflated.len().saturating_mul(4).clamp(256, FIRST_ROOM).min(limit));
    let mut rest = deflated;
    loop {
        let before = zlib.total_in();
        let status = zlib.decompress_vec(rest, &mut out, FlushDecompress::Finish).map_err(|_| bad())?;
        let taken = usize::try_from(zlib.total_in().saturating_sub(before)).unwrap_or(usize::MAX);
        rest = rest.get(taken..).unwrap_or_default();
        match status {
            Status::StreamEnd => return Ok(out),
            // The room is full: twice as much, up to the limit.
            _ if out.len() == out.capacity() && out.len() < limit => {
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
