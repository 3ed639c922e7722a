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

    /// Takes an attachment that belongs to the identity, and drops those of which the provider takes the value from
    /// elsewhere; false for all others.
    #[inline(always)]
    pub(super) fn take(&mut self, key: &[u8], value: Option<Text<'a>>) -> bool {
        // A `match` would look at one byte after the other.
        let field = if key == b"path" {
            &mut self.interface
        } else if key == b"version" {
            &mut self.version
        } else if key == b"group" {
            &mut self.group
        } else {
            return key == b"interface" || key == b"method";
        };
        field.attach(value);
        true
    }

    /// Tells whether its parts can be divided otherwise: the provider looks for `group/path:version` and does not see
    /// where one part ends.
    pub(super) fn is_divisible(&self) -> bool {
        let has = |field: &Field<'_>, marks| field.value.is_some_and(|text| has_any(&text, marks));
        has(&self.interface, [b'/', b':']) || has(&self.group, [b'/'; 2])
    }

    /// Tells whether a key is one of the [`NAMES`] but for its case, which says nothing to the provider.
    pub(super) fn is_name(key: &[u8]) -> bool {
        NAMES.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(key))
    }
}

impl<'a> Field<'a> {
    /// Takes the value of an attachment; there is none where it is no string.
    #[inline(never)]
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

#[inline]
fn has_any(text: &Text<'_>, [one, other]: [u8; 2]) -> bool {
    match text.as_utf8() {
        Some(bytes) => memchr::memchr2(one, other, bytes).is_some(),
        None => text.utf16().any(|unit| unit == one.into() || unit == other.into()),
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
