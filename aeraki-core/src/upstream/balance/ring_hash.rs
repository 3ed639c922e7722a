//! By the request's hash on a ring of points.

use std::fmt::Write;

use aeraki_route::config::{self, HashFunction};
use xxhash_rust::xxh64::xxh64;

use super::{Balance, Draw, Ladder, Targets, bounded_load::BoundedLoad, murmur::murmur_hash_2};

/// A ring as Envoy makes it: the points of an endpoint are the hashes of `<address>_<i>`, as many as its part of the
/// requests says, and a request goes to the first point that is not before its hash.
#[derive(Debug)]
pub(super) struct RingHash {
    points: Ladder,
    /// The places of the targets of the points.
    places: Vec<u32>,
    bound: Option<BoundedLoad>,
}

impl RingHash {
    pub(super) fn new(config: config::RingHash, targets: &Targets, parts: &[f64]) -> Self {
        let bound = config.balance_factor.map(|factor| BoundedLoad::new(factor, parts));
        let (points, places) = points(config, targets, parts).into_iter().unzip();
        Self { points: Ladder::new(points), places, bound }
    }
}

impl Balance for RingHash {
    fn pick(&self, targets: &Targets, draw: Draw) -> usize {
        let Draw { hash, attempt } = draw;
        let next = self.points.find(hash) + attempt as usize;
        // past the last point comes the first, mostly without a division
        let next = if next < self.places.len() { next } else { next % self.places.len().max(1) };
        let place = self.places.get(next).map_or(0, |place| *place as usize);
        self.bound.as_ref().map_or(place, |bound| bound.settle(targets, hash, place))
    }
}

fn points(config: config::RingHash, targets: &Targets, parts: &[f64]) -> Vec<(u64, u32)> {
    let hash = match config.hash {
        HashFunction::MurmurHash2 => murmur_hash_2,
        _ => |key: &[u8]| xxh64(key, 0),
    };
    let scale = scale(config, parts);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the maximum of the ring")]
    let mut points = Vec::with_capacity(scale.ceil() as usize);
    let (mut made, mut due) = (0.0, 0.0);
    let mut key = String::new();
    for ((place, target), part) in (0..).zip(targets.iter()).zip(parts) {
        due += scale * part;
        key.clear();
        key.push_str(target.hash_key());
        key.push('_');
        let stem = key.len();
        let mut index = 0;
        while made < due {
            key.truncate(stem);
            let _ = write!(key, "{index}");
            points.push((hash(key.as_bytes()), place));
            (index, made) = (index + 1, made + 1.0);
        }
    }
    points.sort_unstable();
    points
}

/// Returns how many points there are, such that the least part is a whole number of them.
fn scale(config: config::RingHash, parts: &[f64]) -> f64 {
    let least = parts.iter().copied().filter(|part| *part > 0.0).fold(1.0, f64::min);
    ((least * f64::from(config.minimum)).ceil() / least).min(config.maximum.into())
}
