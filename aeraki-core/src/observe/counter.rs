//! Numbers that many tasks change at once.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Counts events; never goes down.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Returns the present number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Tells how many there are now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// Adds one until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered<'_> {
        self.inc();
        Entered(self)
    }

    /// Returns the present number.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// One that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Entered<'a>(&'a Gauge);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Defines what is counted of one thing: each number's documentation is also its help text.
///
/// `collect` adds the numbers to a scope, under the names of the fields.
macro_rules! numbers {
    (
        $(#[$meta:meta])*
        pub struct $Numbers:ident {
            counters: { $($(#[doc = $counter_help:literal])+ $counter:ident,)+ }
            gauges: { $($(#[doc = $gauge_help:literal])* $gauge:ident,)* }
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct $Numbers {
            $($(#[doc = $counter_help])+ pub $counter: $crate::observe::Counter,)+
            $($(#[doc = $gauge_help])+ pub $gauge: $crate::observe::Gauge,)*
        }

        impl $Numbers {
            fn collect(&self, scope: &mut $crate::observe::Scope<'_>) {
                $(scope.add(
                    stringify!($counter),
                    concat!($($counter_help),+).trim_ascii(),
                    $crate::observe::Value::Counter(self.$counter.get()),
                );)+
                $(scope.add(
                    stringify!($gauge),
                    concat!($($gauge_help),+).trim_ascii(),
                    $crate::observe::Value::Gauge(self.$gauge.get()),
                );)*
            }
        }
    };
}
pub(crate) use numbers;
