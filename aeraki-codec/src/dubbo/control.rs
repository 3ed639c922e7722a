//! Signs of life, and notes about the connection: never routed, answered here.

use super::wire::{header, status};
use crate::{Control, Flow, Kind, Message, Output, Role};

pub(super) fn handle(role: Role, event: Control<'_>, out: &mut Output) -> Flow {
    match event {
        Control::Frame(message) => incoming(role, message, out),
        Control::Ping => {
            let flags = header::REQUEST | header::TWO_WAY | header::EVENT | header::HESSIAN2;
            out.put(&header::encode(flags, 0, 0, 1));
            out.put(NULL);
            Flow::Handled
        }
        Control::Goodbye if role == Role::Server => {
            let flags = header::REQUEST | header::EVENT | header::HESSIAN2;
            out.put(&header::encode(flags, 0, 0, 2));
            out.put(&[STRING_OF_ONE, READ_ONLY]);
            Flow::Handled
        }
        Control::Goodbye | Control::Open => Flow::Ignored,
    }
}

fn incoming(role: Role, message: &Message, out: &mut Output) -> Flow {
    let Some((head, body)) = message.frame().split_at_checked(header::LENGTH_OFFSET) else { return Flow::Ignored };
    let body = body.get(4..).unwrap_or_default();
    match (message.kind(), role) {
        (Kind::Heartbeat, _) => {
            let flags = head.get(2).copied().unwrap_or_default();
            if flags & (header::REQUEST | header::TWO_WAY) == header::REQUEST | header::TWO_WAY {
                answer(flags & header::SERIALIZATION, message.id().number(), body, out);
            }
            Flow::Handled
        }
        (Kind::Event, Role::Client) => match letter(body) {
            Some(READ_ONLY) => Flow::Drain,
            Some(WRITABLE) => Flow::Ready,
            _ => Flow::Ignored,
        },
        _ => Flow::Ignored,
    }
}

/// Tells whether the body of an event is a note, in whatever serialization.
pub(super) fn is_note(body: &[u8]) -> bool {
    matches!(letter(body), Some(READ_ONLY | WRITABLE))
}

/// Returns the letter that a note is. Serializations put what they need in front of it; only JSON has something behind
/// it.
fn letter(body: &[u8]) -> Option<u8> {
    body.iter().rev().copied().find(|byte| !matches!(byte, b'"' | b'\r' | b'\n'))
}

/// A sign of life asks for the null of its own serialization, which outside Hessian2 is what it brought itself.
fn answer(serialization: u8, id: u64, body: &[u8], out: &mut Output) {
    let null = if serialization == header::HESSIAN2 { NULL } else { body };
    let len = u32::try_from(null.len()).unwrap_or_default();
    out.put(&header::encode(header::EVENT | serialization, status::OK, id, len));
    out.put(null);
}

const NULL: &[u8] = b"N";
/// Begins a string of one letter in Hessian2.
const STRING_OF_ONE: u8 = 1;
const READ_ONLY: u8 = b'R';
const WRITABLE: u8 = b'W';
