//! Numbers with a fraction.

use serde::{Deserialize, Serialize};

/// A number that is finite and not negative, and so can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Decimal(f64);

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// One.
    pub const ONE: Self = Self(1.0);

    /// Creates a number; none where it is negative, infinite or no number.
    pub fn new(number: f64) -> Option<Self> {
        (number.is_finite() && number >= 0.0).then_some(Self(number))
    }

    /// Returns the number.
    pub const fn value(self) -> f64 {
        self.0
    }
}

// what is no number is never made
impl Eq for Decimal {}

impl From<u32> for Decimal {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

impl From<Decimal> for f64 {
    fn from(number: Decimal) -> Self {
        number.0
    }
}

impl TryFrom<f64> for Decimal {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, &'static str> {
        Self::new(number).ok_or("must be a number of at least 0")
    }
}
