//! Class definitions, read again when somebody asks for names.

use super::{Reader, Text};
use crate::Limits;

/// A class definition: the names that the objects of a body refer to.
#[derive(Clone, Debug)]
pub struct Class<'a> {
    reader: Reader<'a>,
}

impl<'a> Class<'a> {
    /// `definition` starts behind the `C` and was read once without an error.
    pub(super) fn new(definition: &'a [u8], four_byte_utf8: bool) -> Self {
        Self { reader: Reader::new(definition, &Limits::default()).accept_four_byte_utf8(four_byte_utf8) }
    }

    /// Returns the name of the class.
    pub fn name(&self) -> Option<Text<'a>> {
        self.reader.clone().text().ok()?
    }

    /// Iterates over the names of the fields, in the order in which objects write their values.
    pub fn fields(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        let mut reader = self.reader.clone();
        let count = reader.text().and_then(|_| reader.int()).unwrap_or(0);
        (0..count).map_while(move |_| reader.text().ok()?)
    }
}
