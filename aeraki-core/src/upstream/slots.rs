//! The requests in flight on one connection, found by the ids that the connection gave them.

use aeraki_codec::{Id, IdSpace};

/// Gives every value an id that its protocol can carry: slot number in the low bits, generation above them.
///
/// A slot's generation changes with every use, so the id of an earlier use is told from the present one.
#[derive(Debug)]
pub(super) struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    ids: Ids,
}

#[derive(Debug)]
struct Entry<T> {
    /// How often the slot was used.
    uses: u64,
    value: Option<T>,
}

/// Whose id it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// That of the value in this slot.
    Live(u32),
    /// That of an earlier value, which is gone.
    Stale,
    /// Nobody's: it was never given.
    Unknown,
}

impl<T> Slots<T> {
    /// Makes room for `depth` values at a time, at most [`max_depth`] of the id space.
    pub(super) fn new(space: IdSpace, depth: u32) -> Self {
        Self { entries: Vec::new(), free: Vec::new(), ids: Ids::new(space, depth) }
    }

    /// Keeps a value; returns its slot and the id for the wire, if the protocol has any.
    pub(super) fn insert(&mut self, value: T) -> (u32, Option<u64>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { uses: 0, value: None });
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &mut self.entries[slot as usize];
        entry.uses += 1;
        entry.value = Some(value);
        (slot, self.ids.join(slot, entry.uses))
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entries.get_mut(slot as usize)?.value.as_mut()
    }

    /// Takes the value out of its slot, which is free again.
    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.entries.get_mut(slot as usize)?.value.take()?;
        self.free.push(slot);
        Some(value)
    }

    /// Drops the value where it is, which spares moving a large one.
    pub(super) fn free(&mut self, slot: u32) {
        if let Some(entry) = self.entries.get_mut(slot as usize).filter(|entry| entry.value.is_some()) {
            entry.value = None;
            self.free.push(slot);
        }
    }

    /// Finds out whose id it is. Protocols without numbers have one value at a time, and every id is its.
    pub(super) fn find(&self, id: Id) -> Found {
        let (slot, generation) = match id {
            Id::Number(number) => self.ids.split(number),
            _ => self.ids.split(0),
        };
        let Some(entry) = self.entries.get(slot as usize) else { return Found::Unknown };
        match self.ids.age(entry.uses, generation) {
            0 if entry.value.is_some() => Found::Live(slot),
            age if age < entry.uses && age <= self.ids.generations / 2 => Found::Stale,
            _ => Found::Unknown,
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().filter_map(|entry| entry.value.as_mut())
    }
}

/// Returns the largest depth that leaves as many bits for generations as for slots; 1 without numeric ids.
pub(super) fn max_depth(space: IdSpace) -> u32 {
    1 << (usable_bits(space).unwrap_or(0) / 2).min(16)
}

/// Packs slot and generation into the bits of an id.
#[derive(Clone, Copy, Debug)]
struct Ids {
    numbers: bool,
    slot_bits: u32,
    /// The highest generation; they wrap behind it.
    generations: u64,
}

impl Ids {
    fn new(space: IdSpace, depth: u32) -> Self {
        let Some(bits) = usable_bits(space) else {
            return Self { numbers: false, slot_bits: 0, generations: 0 };
        };
        let slot_bits = depth.max(1).next_power_of_two().trailing_zeros();
        Self { numbers: true, slot_bits, generations: (1 << bits.saturating_sub(slot_bits)) - 1 }
    }

    fn join(self, slot: u32, uses: u64) -> Option<u64> {
        self.numbers.then_some((uses & self.generations) << self.slot_bits | u64::from(slot))
    }

    /// Returns slot and generation; what does not fit is a slot that does not exist.
    fn split(self, id: u64) -> (u32, u64) {
        let generation = id >> self.slot_bits;
        if generation > self.generations {
            return (u32::MAX, 0);
        }
        let slot = id & ((1 << self.slot_bits) - 1);
        (u32::try_from(slot).unwrap_or(u32::MAX), generation)
    }

    /// Returns how many uses ago the generation was the present one.
    fn age(self, uses: u64, generation: u64) -> u64 {
        uses.wrapping_sub(generation) & self.generations
    }
}

/// Returns the number of bits to pack into: sign bits are left alone, since not every server takes a negative id.
fn usable_bits(space: IdSpace) -> Option<u32> {
    match space {
        IdSpace::Bits(bits @ (8 | 16 | 32 | 64)) => Some(u32::from(bits) - 1),
        IdSpace::Bits(bits) => Some(u32::from(bits).min(63)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_fit_their_space_whatever_wraps() {
        let mut slots = Slots::new(IdSpace::Bits(16), 100);
        for _ in 0..100_000 {
            let (slot, id) = slots.insert(());
            assert!(id.expect("numeric") <= 0x7fff);
            slots.remove(slot);
        }
    }

    #[test]
    fn tells_live_from_stale_from_unknown() {
        let mut slots = Slots::new(IdSpace::Bits(32), 4);
        let (slot, first) = slots.insert('a');
        let first = Id::Number(first.expect("numeric"));
        assert_eq!(slots.find(first), Found::Live(slot));
        slots.remove(slot);
        assert_eq!(slots.find(first), Found::Stale);
        let (_, second) = slots.insert('b');
        assert_eq!(slots.find(first), Found::Stale);
        assert_eq!(slots.find(Id::Number(second.expect("numeric"))), Found::Live(slot));
        for never in [0, 3, second.expect("numeric") + 4, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(slots.find(Id::Number(never)), Found::Unknown, "{never}");
        }
    }

    #[test]
    fn without_ids_there_is_one() {
        let mut slots = Slots::new(IdSpace::None, max_depth(IdSpace::None));
        assert_eq!(slots.find(Id::None), Found::Unknown);
        let (slot, id) = slots.insert('a');
        assert_eq!((id, slots.find(Id::None)), (None, Found::Live(slot)));
    }

    #[test]
    fn depth_leaves_room_for_generations() {
        assert_eq!(max_depth(IdSpace::Bits(64)), 1 << 16);
        assert_eq!(max_depth(IdSpace::Bits(31)), 1 << 15);
        assert_eq!(max_depth(IdSpace::Bits(8)), 1 << 3);
        assert_eq!(max_depth(IdSpace::Text), 1);
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(bits in 8u8..=64, depth in 1u32..8, steps in prop::collection::vec(any::<(bool, u8)>(), 1..300)) {
            let mut slots = Slots::new(IdSpace::Bits(bits), depth);
            let mut model: HashMap<u64, (u32, usize)> = HashMap::new();
            for (step, (insert, which)) in steps.into_iter().enumerate() {
                if insert && model.len() < depth as usize {
                    let (slot, id) = slots.insert(step);
                    prop_assert!(model.insert(id.expect("numeric"), (slot, step)).is_none());
                } else if let Some((&id, &(slot, value))) = model.iter().nth(usize::from(which) % model.len().max(1)) {
                    prop_assert_eq!(slots.find(Id::Number(id)), Found::Live(slot));
                    prop_assert_eq!(slots.remove(slot), Some(value));
                    prop_assert!(!matches!(slots.find(Id::Number(id)), Found::Live(_)));
                    model.remove(&id);
                }
            }
        }
    }
}
