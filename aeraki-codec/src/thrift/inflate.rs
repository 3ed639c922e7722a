//! Compressed payloads: as much of them as is needed, and never more than allowed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use crate::codec::{DecodeError, DecodeErrorKind, EncodeError, Role};

/// Inflates payloads for all connections of one protocol object.
///
/// The state of zlib takes 47 KiB: idle connections must not own one, and busy ones must not make one for each
/// message. So one is kept here; whoever finds it in use makes another.
#[derive(Clone, Debug)]
pub(super) struct Inflater {
    spare: Arc<Mutex<Option<Decompress>>>,
    /// What requests take until their servers have read them. Answers take nothing of it: whoever serves clients bounds
    /// what they leave unread, and one that reads slowly must not stop the others.
    room: Option<Arc<Room>>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { spare: Arc::default(), room: Some(Arc::new(Room { taken: AtomicUsize::new(0), most: MOST_ROOM })) }
    }
}

impl Inflater {
    /// Returns that of a connection, in which the proxy has this role.
    pub(super) fn of(&self, role: Role) -> Self {
        let room = if role == Role::Client { self.room.clone() } else { None };
        Self { spare: Arc::clone(&self.spare), room }
    }

    /// Inflates the first bytes of a payload into `out` and returns those that came out.
    pub(super) fn prefix<'a>(&self, deflated: &[u8], out: &'a mut [u8]) -> Result<&'a [u8], DecodeError> {
        let mut zlib = self.take();
        let status = zlib.decompress(deflated, out, FlushDecompress::None);
        let length = usize::try_from(zlib.total_out()).unwrap_or(usize::MAX);
        self.put(zlib);
        status.ok().and_then(|_| out.get(..length)).ok_or_else(bad)
    }

    /// Inflates a whole payload that is to be passed on: one that swells beyond measure would cost its sender nothing.
    /// It takes of the room until nobody holds it any more.
    pub(super) fn to_pass_on(&self, deflated: &[u8], limit: usize) -> Result<Bytes, EncodeError> {
        let limit = limit.min(deflated.len().saturating_mul(MOST_SWELLING).max(SMALL));
        let mut place = self.room.clone().map(Place::new);
        let inflated = self.inflate(deflated, limit, |more| place.as_mut().is_none_or(|place| place.widen(more)));
        match (inflated, place) {
            (Ok(inflated), Some(place)) => Ok(Bytes::from_owner(Counted { inflated, _place: place })),
            (Ok(inflated), None) => Ok(inflated.into()),
            (Err(Failure::Bad), _) => Err(EncodeError::Foreign),
            (Err(Failure::TooLong), _) => Err(EncodeError::TooLarge),
            (Err(Failure::NoRoom), _) => Err(EncodeError::Overflow),
        }
    }

    /// Inflates a whole payload of at most `limit` bytes.
    pub(super) fn all(&self, deflated: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        self.inflate(deflated, limit, |_| true).map_err(|_| bad())
    }

    fn inflate(&self, deflated: &[u8], limit: usize, may_take: impl FnMut(usize) -> bool) -> Result<Vec<u8>, Failure> {
        let mut zlib = self.take();
        let inflated = grow(&mut zlib, deflated, limit, may_take);
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

/// Inflates into memory that is asked for, by `may_take`, before it is taken.
fn grow(
    zlib: &mut Decompress,
    deflated: &[u8],
    limit: usize,
    mut may_take: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let mut more = deflated.len().saturating_mul(4).clamp(256, FIRST_ROOM).min(limit);
    loop {
        if !may_take(more) {
            return Err(Failure::NoRoom);
        }
        out.reserve_exact(more);
        let taken = usize::try_from(zlib.total_in()).unwrap_or(usize::MAX);
        let rest = deflated.get(taken..).unwrap_or_default();
        match zlib.decompress_vec(rest, &mut out, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) => return Ok(out),
            // The room is full: as much again, up to the limit.
            Ok(_) if out.len() == out.capacity() && out.len() < limit => {
                more = out.len().max(256).min(limit.saturating_sub(out.len()));
            }
            Ok(_) if out.len() == limit => return Err(Failure::TooLong),
            _ => return Err(Failure::Bad),
        }
    }
}

/// Why a payload was not inflated.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// It is no zlib, or not whole.
    Bad,
    /// It is longer than allowed.
    TooLong,
    /// Too much is inflated already.
    NoRoom,
}

/// Room for inflated payloads that have not been written yet.
#[derive(Debug)]
struct Room {
    taken: AtomicUsize,
    most: usize,
}

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
struct Place {
    bytes: usize,
    room: Arc<Room>,
}

impl Place {
    fn new(room: Arc<Room>) -> Self {
        Self { bytes: 0, room }
    }

    /// Takes `more` bytes; false where there is no room for them.
    fn widen(&mut self, more: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= self.room.most);
        let is_taken = self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if is_taken {
            self.bytes = self.bytes.saturating_add(more);
        }
        is_taken
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An inflated payload in its place.
#[derive(Debug)]
struct Counted {
    inflated: Vec<u8>,
    _place: Place,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.inflated
    }
}

fn bad() -> DecodeError {
    DecodeError::new(DecodeErrorKind::BadCompression, 0)
}

/// The most that is reserved before anything has been inflated.
const FIRST_ROOM: usize = 64 * 1024;
/// How many times its length a payload may have inflated, beyond [`SMALL`].
const MOST_SWELLING: usize = 16;
/// Bytes that any payload may have inflated.
const SMALL: usize = 256 * 1024;
/// The room of one protocol object: four of the longest messages, or many usual ones.
const MOST_ROOM: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    #[test]
    fn what_is_inflated_to_be_written_has_a_bound_until_it_is_written() {
        let room = Arc::new(Room { taken: AtomicUsize::new(0), most: 200_000 });
        let of_all = Inflater { room: Some(Arc::clone(&room)), ..Inflater::default() };
        let inflater = of_all.of(Role::Client);
        let text: Vec<u8> = (0u32..20_000).flat_map(u32::to_be_bytes).collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).expect("memory");
        let deflated = zlib.finish().expect("memory");
        let inflate = || inflater.to_pass_on(&deflated, 1 << 20);

        let one = inflate().expect("room for one");
        assert_eq!(one, text);
        let part = one.slice(70_000..);
        let taken = room.taken.load(Ordering::Relaxed);
        assert!((text.len()..=2 * text.len()).contains(&taken), "{taken}");
        assert_eq!(inflate(), Err(EncodeError::Overflow));
        assert_eq!(of_all.of(Role::Client).to_pass_on(&deflated, 1 << 20), Err(EncodeError::Overflow));
        for other in [of_all.of(Role::Server), Inflater::default().of(Role::Client)] {
            assert_eq!(other.to_pass_on(&deflated, 1 << 20).expect("no other takes its room"), text);
        }
        drop(one);
        assert_eq!(inflate(), Err(EncodeError::Overflow), "the rest of it has not been written");
        drop(part);
        inflate().expect("room again");
        assert_eq!(inflater.to_pass_on(&deflated[..100], 1 << 20), Err(EncodeError::Foreign));
        assert_eq!(inflater.to_pass_on(&deflated, text.len() - 1), Err(EncodeError::TooLarge));
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
