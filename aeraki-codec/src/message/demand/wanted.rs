//! Which of a codec's own names anybody will look at.

use std::sync::Arc;

use super::Demand;

/// A demand, sorted by the names that a codec knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Bit `n` is set if the name with index `n` is wanted.
    pub(crate) names: u8,
    /// Keys are wanted that are no names.
    pub(crate) others: bool,
}

impl Wanted {
    fn by(demand: &Demand, names: &[&str]) -> Self {
        if demand.is_all() {
            return Self { names: u8::MAX, others: true };
        }
        let mut wanted = Self::default();
        for key in demand.keys() {
            match names.iter().position(|name| *name == key) {
                Some(name) => wanted.names |= 1 << name,
                None => wanted.others = true,
            }
        }
        wanted
    }

    /// Tells whether the name with this index is wanted.
    #[inline]
    pub(crate) const fn name(self, index: usize) -> bool {
        self.names >> index & 1 != 0
    }
}

/// Sorts demands, each of them once: asking for every name of every message would cost more than to read it.
#[derive(Debug)]
pub(crate) struct Sorter {
    names: &'static [&'static str],
    last: Demand,
    wanted: Wanted,
}

impl Sorter {
    /// Sorts by these names, eight at most.
    pub(crate) fn new(names: &'static [&'static str]) -> Self {
        Self { names, last: Demand::none(), wanted: Wanted::default() }
    }

    /// Sorts a demand, unless it is a clone of the one of the last call.
    #[inline]
    pub(crate) fn sort(&mut self, demand: &Demand) -> Wanted {
        let known = self.last.all == demand.all && Arc::ptr_eq(&self.last.keys, &demand.keys);
        if !known {
            self.sort_anew(demand);
        }
        self.wanted
    }

    #[cold]
    fn sort_anew(&mut self, demand: &Demand) {
        self.wanted = Wanted::by(demand, self.names);
        self.last = demand.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["interface", "method"];

    #[test]
    fn names_are_told_from_other_keys() {
        let wanted = Sorter::new(NAMES).sort(&Demand::of(["Method", "user"]));
        assert!(!wanted.name(0) && wanted.name(1) && wanted.others);
    }

    #[test]
    fn another_demand_is_sorted_anew() {
        let mut sorter = Sorter::new(NAMES);
        assert!(sorter.sort(&Demand::of(["interface"])).name(0));
        let method = Demand::of(["method"]);
        assert!(!sorter.sort(&method).name(0) && sorter.sort(&method.clone()).name(1));
        assert!(sorter.sort(&Demand::all()).others && !sorter.sort(&Demand::none()).others);
    }
}
