//! What is known of requests: one record each, counted once.

mod facts;

pub use self::facts::{Facts, Record};
