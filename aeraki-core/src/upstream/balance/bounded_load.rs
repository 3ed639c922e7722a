//! Bounds the requests under way to an endpoint that is chosen by hash.

use super::Targets;

/// Passes requests over from an endpoint that has more than its part of all requests under way to it, in a certain
/// order that depends on the request's hash, so that they do not all meet at its neighbour; the rule is Envoy's
/// (`hash_balance_factor`), the order is not.
#[derive(Debug)]
pub(super) struct BoundedLoad {
    /// In per cent of the mean.
    factor: u64,
    /// The part of the requests of every target; all together are 1.
    parts: Box<[f64]>,
}

impl BoundedLoad {
    pub(super) fn new(factor: u32, parts: &[f64]) -> Self {
        Self { factor: factor.into(), parts: parts.into() }
    }

    /// Returns the chosen target, or the first other one that has room, or the one with the least load where none has.
    pub(super) fn settle(&self, targets: &Targets, hash: u64, chosen: usize) -> usize {
        let slots = self.slots(targets);
        let load = |place| self.load(targets, slots, place);
        let least = load(chosen);
        if least <= 1.0 {
            return chosen;
        }
        let mut best = (chosen, least);
        for place in order(hash, targets.len()) {
            let found = (place, load(place));
            if found.1 <= 1.0 {
                return place;
            }
            if found.1 < best.1 {
                best = found;
            }
        }
        best.0
    }

    /// Returns how many requests all targets together may have, the next one included.
    fn slots(&self, targets: &Targets) -> u64 {
        let active = targets.get(0).map_or(0, |target| target.endpoint.cluster_active());
        ((active + 1) * self.factor).div_ceil(100)
    }

    /// Returns the requests of a target in relation to those that it may have.
    fn load(&self, targets: &Targets, slots: u64, place: usize) -> f64 {
        let (Some(target), Some(part)) = (targets.get(place), self.parts.get(place)) else { return f64::INFINITY };
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 requests")]
        let own = (slots as f64 * part).ceil().max(1.0);
        f64::from(target.active()) / own
    }
}

/// Returns every place once, in an order that the hash tells.
fn order(hash: u64, len: usize) -> impl Iterator<Item = usize> {
    let len = len.max(1) as u64;
    let begin = hash.rotate_left(32) % len;
    let stride = STRIDES[(hash % STRIDES.len() as u64) as usize] % len;
    (0..len).map(move |turn| ((begin + turn * stride) % len) as usize)
}

/// Prime numbers above every number of targets: steps of such a length meet every place.
const STRIDES: [u64; 4] = [4_294_967_311, 6_442_450_967, 8_589_934_609, 10_737_418_247];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_has_every_place_once() {
        for len in 1..200 {
            for hash in 0..8 {
                let mut places: Vec<usize> = order(hash, len).collect();
                places.sort_unstable();
                assert_eq!(places, (0..len).collect::<Vec<_>>(), "{hash} {len}");
            }
        }
    }
}
