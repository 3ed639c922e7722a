//! Bounds on what a peer may send.

/// Bounds what a peer may make a codec do; one struct for all protocols.
///
/// ```
/// use aeraki_codec::Limits;
/// let limits = Limits { frame: Some(64 * 1024), ..Limits::default() };
/// assert_eq!(limits.frame_or(8 * 1024 * 1024), 64 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by struct update syntax, as the example shows")]
pub struct Limits {
    /// Longest frame in bytes; `None` takes the protocol's own default (Dubbo bodies 8 MiB, Thrift 16 384 000).
    pub frame: Option<usize>,
    /// Deepest nesting of values; default 64.
    pub depth: usize,
    /// Most attributes of one message; default 256.
    pub attributes: usize,
    /// Longest attribute value that is made available, and longest header block that is walked, in bytes; default
    /// 65 536. A message with a longer one is malformed.
    pub attribute_bytes: usize,
    /// Most class definitions, and most references, of one Hessian2 body; default 1 024 and 64 times as many.
    pub definitions: usize,
    /// Longest method name in bytes; default 1 024.
    pub method: usize,
}

impl Limits {
    /// Returns the longest frame in bytes, or the protocol's default.
    #[must_use]
    pub fn frame_or(&self, default: usize) -> usize {
        self.frame.unwrap_or(default)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame: None, depth: 64, attributes: 256, attribute_bytes: 64 * 1024, definitions: 1024, method: 1024 }
    }
}
