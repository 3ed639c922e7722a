//! Who is called, as the provider will read it.

use super::wire::CallHead;
use crate::hessian2::{Event, Text};

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

    /// Takes an attachment that belongs to the identity; false for all others. A key that differs in case only, and
    /// the attachments `interface` and `method`, say nothing to the provider and are dropped.
    pub(super) fn take(&mut self, key: &Text<'a>, value: &Event<'a>) -> bool {
        let odd;
        let key = match key.as_utf8() {
            Some(key) => key,
            None => {
                odd = key.to_str().unwrap_or_default();
                odd.as_bytes()
            }
        };
        match key {
            b"path" => self.interface.attach(value),
            b"version" => self.version.attach(value),
            b"group" => self.group.attach(value),
            _ => return NAMES.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(key)),
        }
        true
    }
}

impl<'a> Field<'a> {
    fn attach(&mut self, value: &Event<'a>) {
        let Event::Text(value) = value else {
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
        self.value = Some(*value);
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
