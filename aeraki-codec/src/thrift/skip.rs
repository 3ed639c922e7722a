//! Finds the end of a struct without recursion, and goes on where it stopped when more bytes have come.

use smallvec::SmallVec;

use super::grammar::{Field, Grammar, Items, Type};
use super::wire::{Fault, Parsed, array, byte, take, whole};
use crate::codec::DecodeErrorKind;

/// Steps over one struct. Its state lives through any number of calls, each with the same bytes and more.
#[derive(Debug)]
pub(super) struct Skip {
    /// What has been stepped over, from the beginning of the struct.
    done: usize,
    open: Open,
    around: SmallVec<[Open; 15]>,
}

impl Skip {
    /// Begins at the top struct.
    pub(super) fn new() -> Self {
        Self { done: 0, open: Open::Struct { last: 0 }, around: SmallVec::new() }
    }

    /// Begins with a container whose head has been read.
    pub(super) fn inside(open: Open) -> Self {
        Self { open, ..Self::new() }
    }

    /// Begins again at the top struct.
    pub(super) fn restart(&mut self) {
        self.done = 0;
        self.open = Open::Struct { last: 0 };
        self.around.clear();
    }

    /// Goes on in `input`, the bytes from the beginning of the struct, which may grow by `more` bytes at most.
    /// At most `depth` structs and containers may be open at once. Returns the length of the struct.
    ///
    /// After `Truncated` it may be called again with more bytes; nothing already stepped over is read again.
    pub(super) fn run<G: Grammar>(&mut self, input: &[u8], more: usize, depth: usize) -> Result<usize, Fault> {
        let mut rest = input.get(self.done..).unwrap_or_default();
        loop {
            let deep = self.around.len().saturating_add(1) >= depth;
            let parsed = match self.open {
                Open::Struct { last } => self.field::<G>(rest, last, more, deep),
                Open::Items(items) => self.items::<G>(rest, items, more, deep),
            };
            let (after, step) = whole(parsed)?;
            rest = after;
            self.done = input.len().saturating_sub(rest.len());
            match step {
                Step::Stay => {}
                Step::Enter(inner) => self.around.push(std::mem::replace(&mut self.open, inner)),
                Step::Leave => match self.around.pop() {
                    Some(outer) => self.open = outer,
                    None => return Ok(self.done),
                },
            }
        }
    }

    #[inline]
    fn field<'a, G: Grammar>(&mut self, input: &'a [u8], last: i16, more: usize, deep: bool) -> Parsed<'a, Step> {
        let (rest, field) = G::field(input, last)?;
        let Some(Field { id, of, flag }) = field else { return Ok((rest, Step::Leave)) };
        let parsed = if flag.is_some() { (rest, Step::Stay) } else { value::<G>(rest, of, more, deep)? };
        self.open = Open::Struct { last: id };
        Ok(parsed)
    }

    fn items<'a, G: Grammar>(&mut self, input: &'a [u8], items: Items, more: usize, deep: bool) -> Parsed<'a, Step> {
        let (Some((this, next)), 1..) = (items.of, items.left) else { return Ok((input, Step::Leave)) };
        if let (Some(this), Some(next)) = (G::width(this), G::width(next)) {
            let bytes = u64::from(this).saturating_add(u64::from(next)).saturating_mul(items.left) / 2;
            let (rest, _) = take(input, usize::try_from(bytes).unwrap_or(usize::MAX))?;
            return Ok((rest, Step::Leave));
        }
        let parsed = value::<G>(input, this, more, deep)?;
        self.open = Open::Items(Items { of: Some((next, this)), left: items.left.saturating_sub(1) });
        Ok(parsed)
    }
}

/// A struct or container whose end has not been reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Open {
    Struct { last: i16 },
    Items(Items),
}

enum Step {
    Stay,
    Enter(Open),
    Leave,
}

/// Steps over one value, or over the head of a container.
#[inline]
fn value<G: Grammar>(input: &[u8], of: Type, more: usize, deep: bool) -> Parsed<'_, Step> {
    let stay = |rest| (rest, Step::Stay);
    match of {
        Type::Bool | Type::I8 => byte(input).map(|(rest, _)| stay(rest)),
        Type::I16 => G::i16(input).map(|(rest, _)| stay(rest)),
        Type::I32 => G::i32(input).map(|(rest, _)| stay(rest)),
        Type::I64 => G::i64(input).map(|(rest, _)| stay(rest)),
        Type::Double => array::<8>(input).map(|(rest, _)| stay(rest)),
        Type::Uuid => array::<16>(input).map(|(rest, _)| stay(rest)),
        Type::String => {
            let (rest, length) = G::length(input)?;
            take(rest, usize::try_from(length).unwrap_or(usize::MAX)).map(|(rest, _)| stay(rest))
        }
        Type::Struct | Type::List | Type::Set | Type::Map if deep => Fault::at(input, DecodeErrorKind::DepthExceeded),
        Type::Struct => Ok((input, Step::Enter(Open::Struct { last: 0 }))),
        Type::List | Type::Set => G::list(input, more).map(|(rest, items)| (rest, Step::Enter(Open::Items(items)))),
        Type::Map => G::map(input, more).map(|(rest, items)| (rest, Step::Enter(Open::Items(items)))),
    }
}
