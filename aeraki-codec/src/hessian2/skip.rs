//! Over a value without looking into it.

use smallvec::{SmallVec, smallvec};

use super::{Event, Reader};
use crate::{DecodeError, DecodeErrorKind};

/// A container that is open while its children are skipped.
#[derive(Clone, Copy)]
enum Frame {
    /// So many values are left.
    Counted(u32),
    /// Values up to the terminator.
    Values,
    /// Pairs up to the terminator, which may stand in place of a key only.
    Pairs { at_key: bool },
}

impl Reader<'_> {
    /// Skips one value, whatever it is, without recursion and, up to 64 open containers and
    /// 8 class definitions, without allocation.
    ///
    /// # Errors
    ///
    /// Any [`DecodeErrorKind`]; after an error the reader stands somewhere inside the value.
    #[inline]
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        let event = self.event()?;
        self.skip_children_of(&event)
    }

    /// Skips the children of the container that `event` has opened, if it has.
    #[inline]
    pub fn skip_children_of(&mut self, event: &Event<'_>) -> Result<(), DecodeError> {
        match opened(event) {
            None => Ok(()),
            Some(container) => self.skip_children(container),
        }
    }

    fn skip_children(&mut self, container: Frame) -> Result<(), DecodeError> {
        let mut stack: SmallVec<[Frame; 64]> = smallvec![container];
        while let Some(top) = stack.last_mut() {
            if self.finished(top) {
                stack.pop();
                continue;
            }
            let start = self.input;
            let Some(child) = opened(&self.event()?) else {
                continue;
            };
            if stack.len() >= self.depth {
                return Err(start.error(DecodeErrorKind::DepthExceeded));
            }
            stack.push(child);
        }
        Ok(())
    }

    /// Steps to the next child of `frame`; true if there is none.
    fn finished(&mut self, frame: &mut Frame) -> bool {
        match frame {
            Frame::Counted(left) => match left.checked_sub(1) {
                None => true,
                Some(after) => {
                    *left = after;
                    false
                }
            },
            Frame::Values => self.terminator(),
            Frame::Pairs { at_key } => {
                let done = *at_key && self.terminator();
                *at_key = !*at_key;
                done
            }
        }
    }
}

fn opened(event: &Event<'_>) -> Option<Frame> {
    match *event {
        Event::List { len: Some(len), .. } => Some(Frame::Counted(len)),
        Event::List { len: None, .. } => Some(Frame::Values),
        Event::Map { .. } => Some(Frame::Pairs { at_key: true }),
        Event::Object { fields, .. } => Some(Frame::Counted(fields)),
        _ => None,
    }
}
