//! Who is called, as the provider will read it.

use super::wire::CallHead;
use crate::hessian2::Text;

/// The service as a provider looks it up: body fields first, attachments on top, keys compared exactly.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    pub(super) interface: Field<'a>,
    pub(super) version: Field<'a>,
    pub(super) group: Field<'a>,
}

#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) value: Option<Text<'a>>,
    /// An attachment has set the value.
    attached: bool,
    /// Body and attachment differ.
    pub(super) mismatch: bool,
    /// Attachments differ, or one is no string.
    pub(super) ambiguous: bool,
}

impl<'a> Identity<'a> {
    pub(super) fn of_body(head: &CallHead<'a>) -> Self {
        let field = |value| Field { value, attached: false, mismatch: false, ambiguous: false };
        Self { interface: field(head.path), version: field(head.version), group: field(None) }
    }

    /// Tells by its length alone whether [`take`](Self::take) may be true of a key.
    pub(super) const fn may_take(len: usize) -> bool {
        matches!(len, 4..=7 | 9 | 14)
    }

    /// Takes an attachment that belongs to the identity; false for all others. A key that differs in case only, and
    /// the attachments `interface` and `method`, say nothing to the provider and are dropped.
    #[inline]
    pub(super) fn take(&mut self, key: &[u8], value: Option<Text<'a>>) -> bool {
        match key {
            b"path" => self.interface.attach(value),
            b"version" => self.version.attach(value),
            b"group" => self.group.attach(value),
            b"interface" | b"method" => {}
            _ => return NAMES.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(key)),
        }
        true
    }
}

impl<'a> Field<'a> {
    /// Takes the value of an attachment; there is none where it is no string.
    fn attach(&mut self, value: Option<Text<'a>>) {
        let Some(value) = value else {
            self.ambiguous = true;
            return;
        };
        let differs =
            self.value.is_some_and(|known| known.encoded() != value.encoded() && known.to_bytes() != value.to_bytes());
        if self.attached {
            self.ambiguous |= differs;
        } else {
            self.mismatch = differs;
        }
        self.attached = true;
        self.value = Some(value);
    }
}

/// The attributes that do not come from an attachment of the same name.
pub(super) const NAMES: &[&str] = &["interface", "path", "version", "group", "method", "generic.method"];
pub(super) const INTERFACE: usize = 0;
pub(super) const PATH: usize = 1;
pub(super) const VERSION: usize = 2;
pub(super) const GROUP: usize = 3;
pub(super) const METHOD: usize = 4;
pub(super) const GENERIC_METHOD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_length_that_may_be_taken() {
        assert!(NAMES.iter().all(|name| Identity::may_take(name.len())));
    }
}
