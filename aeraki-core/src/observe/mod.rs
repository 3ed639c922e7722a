//! What is known of requests: one record each, counted once; and the numbers that are shown of all of them.

mod counter;
mod facts;
mod histogram;
mod metrics;
mod recording;
mod stats;
mod text;

pub use self::{
    counter::{Counter, Gauge},
    facts::{Facts, Record},
    histogram::{Distribution, Histogram},
    metrics::{Counters, Metrics},
    recording::Recording,
    stats::{Collect, Samples, Scope, Stats, Value},
};
