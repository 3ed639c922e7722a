//! Options of protocols, as configurations write them.

/// Why a protocol refuses an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// The protocol has no option of this name.
    #[error("there is no such option")]
    Unknown,
    /// The value is none of those that the option takes, which are named here.
    #[error("the value must be {0}")]
    BadValue(&'static str),
}

/// Reads the value of an option that is on or off: `true` or `false`.
#[cfg(feature = "dubbo")]
pub(crate) fn switch(value: &str) -> Result<bool, OptionError> {
    value.parse().map_err(|_| OptionError::BadValue("true or false"))
}
