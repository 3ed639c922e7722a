//! Finds the end of a struct without recursion, and goes on where it stopped when more bytes have come.

use smallvec::SmallVec;

use super::dialect::Encoding;
use super::grammar::{BinaryGrammar, CompactGrammar, Field, Grammar, Items, Type};
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

    /// Returns the length of the struct that `body` begins with, all of which must be there.
    pub(super) fn length_of(body: &[u8], encoding: Encoding, depth: usize) -> Result<usize, Fault> {
        match encoding {
            Encoding::Compact => Self::new().run::<CompactGrammar>(body, 0, depth),
            Encoding::Binary | Encoding::BinaryOld => Self::new().run::<BinaryGrammar>(body, 0, depth),
        }
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
            let step = match self.open {
                Open::Struct { last } => self.fields::<G>(&mut rest, last, more, deep),
                Open::Items(items) => self.items::<G>(&mut rest, items, more, deep),
            };
            self.done = input.len().saturating_sub(rest.len());
            match step? {
                Step::Stay => {}
                Step::Enter(inner) => self.around.push(std::mem::replace(&mut self.open, inner)),
                Step::Leave => match self.around.pop() {
                    Some(outer) => self.open = outer,
                    None => return Ok(self.done),
                },
            }
        }
    }

    /// Steps over fields up to the first that holds others, or the end of the struct.
    fn fields<G: Grammar>(&mut self, rest: &mut &[u8], mut last: i16, more: usize, deep: bool) -> Result<Step, Fault> {
        let step = loop {
            *rest = G::plain_fields(rest);
            match whole(field::<G>(rest, last, more, deep)) {
                Ok((after, (id, step))) => {
                    (*rest, last) = (after, id);
                    if !matches!(step, Step::Stay) {
                        break Ok(step);
                    }
                }
                Err(fault) => break Err(fault),
            }
        };
        self.open = Open::Struct { last };
        step
    }

    /// Steps over items up to the first that holds others, or the end of the container.
    fn items<G: Grammar>(&mut self, rest: &mut &[u8], items: Items, more: usize, deep: bool) -> Result<Step, Fault> {
        let (Some((mut this, mut next)), mut left @ 1..) = (items.of, items.left) else { return Ok(Step::Leave) };
        if let (Some(this), Some(next)) = (G::width(this), G::width(next)) {
            let bytes = u64::from(this).saturating_add(u64::from(next)).saturating_mul(left) / 2;
            (*rest, _) = whole(take(rest, usize::try_from(bytes).unwrap_or(usize::MAX)))?;
            return Ok(Step::Leave);
        }
        let step = loop {
            match whole(value::<G>(rest, this, more, deep)) {
                Ok((after, step)) => {
                    (*rest, left) = (after, left.saturating_sub(1));
                    (this, next) = (next, this);
                    if !matches!(step, Step::Stay) {
                        break Ok(step);
                    }
                    if left == 0 {
                        break Ok(Step::Leave);
                    }
                }
                Err(fault) => break Err(fault),
            }
        };
        self.open = Open::Items(Items { of: Some((this, next)), left });
        step
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

/// Steps over one field, or up to what is in it; returns its id.
#[inline]
fn field<G: Grammar>(input: &[u8], last: i16, more: usize, deep: bool) -> Parsed<'_, (i16, Step)> {
    let (rest, field) = G::field(input, last)?;
    let Some(Field { id, of, flag }) = field else { return Ok((rest, (last, Step::Leave))) };
    if flag.is_some() {
        return Ok((rest, (id, Step::Stay)));
    }
    value::<G>(rest, of, more, deep).map(|(rest, step)| (rest, (id, step)))
}

/// Steps over one value, or over the head of a container.
#[inline]
fn value<G: Grammar>(input: &[u8], of: Type, more: usize, deep: bool) -> Parsed<'_, Step> {
    let stay = |rest| (rest, Step::Stay);
    match of {
        Type::String => {
            let (rest, length) = G::length(input)?;
            take(rest, usize::try_from(length).unwrap_or(usize::MAX)).map(|(rest, _)| stay(rest))
        }
        Type::Bool | Type::I8 => byte(input).map(|(rest, _)| stay(rest)),
        Type::I16 => G::i16(input).map(|(rest, _)| stay(rest)),
        Type::I32 => G::i32(input).map(|(rest, _)| stay(rest)),
        Type::I64 => G::i64(input).map(|(rest, _)| stay(rest)),
        Type::Double => array::<8>(input).map(|(rest, _)| stay(rest)),
        Type::Uuid => array::<16>(input).map(|(rest, _)| stay(rest)),
        Type::Struct | Type::List | Type::Set | Type::Map => container::<G>(input, of, more, deep),
    }
}

fn container<G: Grammar>(input: &[u8], of: Type, more: usize, deep: bool) -> Parsed<'_, Step> {
    if deep {
        return Fault::at(input, DecodeErrorKind::DepthExceeded);
    }
    let (rest, items) = match of {
        Type::Struct => return Ok((input, Step::Enter(Open::Struct { last: 0 }))),
        Type::Map => G::map(input, more)?,
        _ => G::list(input, more)?,
    };
    Ok((rest, Step::Enter(Open::Items(items))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a struct byte by byte; after each, what is left unread must be one field at most.
    fn feed<G: Grammar>(body: &[u8], field: usize) {
        let mut skip = Skip::new();
        for end in 0..body.len() {
            let fault = skip.run::<G>(&body[..end], body.len(), 64).expect_err("more to come");
            assert!(fault.missing > 0 && end - skip.done < field, "{end}: {} done, {fault:?}", skip.done);
        }
        assert_eq!(skip.run::<G>(body, 0, 64), Ok(body.len()));
        skip.restart();
        assert_eq!(skip.run::<G>(body, 0, 64), Ok(body.len()));
    }

    #[test]
    fn nothing_is_read_twice() {
        let string = [&[11, 0, 1, 0, 0, 0, 5][..], b"hello"].concat();
        let nested = [&[12, 0, 2][..], &string, &[0]].concat();
        let list = [&[15, 0, 3, 12, 0, 0, 0, 2][..], &string, &[0], &string, &[0]].concat();
        feed::<BinaryGrammar>(&[string.repeat(50), nested.repeat(50), list.repeat(50), vec![0]].concat(), 12);
        let string = [&[0x18, 5][..], b"hello"].concat();
        let nested = [&[0x1c][..], &string, &[0]].concat();
        let list = [&[0x19, 0x2c][..], &string, &[0], &string, &[0]].concat();
        feed::<CompactGrammar>(&[string.repeat(50), nested.repeat(50), list.repeat(50), vec![0]].concat(), 7);
    }
}
