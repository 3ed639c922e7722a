//! Attribute keys as small numbers, and their values read at most once per message.

use std::collections::HashMap;

use aeraki_codec::Attributes;
use foldhash::fast::RandomState;

/// Number of an attribute key within one table.
pub(crate) type Slot = u32;

/// Hands out slots while a table is compiled.
#[derive(Debug, Default)]
pub(super) struct KeyInterner {
    slots: HashMap<Box<str>, Slot, RandomState>,
    keys: Vec<Box<str>>,
}

impl KeyInterner {
    /// Returns the slot of `key`, whose ASCII case does not matter.
    pub(super) fn slot(&mut self, key: &str) -> Slot {
        if let Some(slot) = self.slots.get(key) {
            return *slot;
        }
        let key: Box<str> = key.to_ascii_lowercase().into();
        *self.slots.entry(key).or_insert_with_key(|key| {
            self.keys.push(key.clone());
            Slot::try_from(self.keys.len() - 1).expect("fewer than 2^32 keys fit into memory")
        })
    }

    /// Returns the keys in the order of their slots.
    pub(super) fn into_keys(self) -> Box<[Box<str>]> {
        self.keys.into()
    }
}

/// The attributes of one message behind slots.
pub(crate) struct Probe<'t, 'm, A: ?Sized> {
    keys: &'t [Box<str>],
    attributes: &'m A,
    /// Bit `slot` is set where `values[slot]` has been read.
    known: u32,
    values: [Option<&'m [u8]>; CACHED],
}

impl<'t, 'm, A: Attributes + ?Sized> Probe<'t, 'm, A> {
    pub(crate) fn new(keys: &'t [Box<str>], attributes: &'m A) -> Self {
        Self { keys, attributes, known: 0, values: [None; CACHED] }
    }

    /// Returns the value in `slot`; the first slots are looked up once however often they are asked for.
    #[inline]
    pub(crate) fn value(&mut self, slot: Slot) -> Option<&'m [u8]> {
        let index = slot as usize;
        let Some(value) = self.values.get_mut(index) else {
            return self.attributes.attr(&self.keys[index]);
        };
        if self.known & (1 << slot) == 0 {
            self.known |= 1 << slot;
            *value = self.attributes.attr(&self.keys[index]);
        }
        *value
    }
}

/// Slots whose values are kept while a message is judged. Real tables look at a handful of keys.
const CACHED: usize = 8;
