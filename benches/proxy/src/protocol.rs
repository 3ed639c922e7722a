//! Encoded requests and replies, and the little of each protocol that the yardstick must read.
//!
//! Written apart from `aeraki-codec` on purpose: what is measured does not check itself.

use std::ops::Range;

use clap::ValueEnum;

/// A protocol that the yardstick speaks; method `echo` with one string, back and forth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Dubbo 2 with Hessian2 bodies.
    Dubbo,
    /// Framed binary Thrift.
    Thrift,
}

/// An encoded frame whose id is patched for every use.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    id: Range<usize>,
}

impl Template {
    /// Appends the frame with `id`, at most 31 bits, to `out`.
    pub(crate) fn write(&self, id: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        // big-endian in both protocols, four bytes or eight
        let last = start + self.id.end;
        out[last - 4..last].copy_from_slice(&id.to_be_bytes());
    }
}

impl Protocol {
    /// A request whose one argument is a string of `size` bytes.
    pub(crate) fn request(self, size: usize) -> Template {
        match self {
            Self::Dubbo => {
                let mut body = Vec::new();
                for text in ["2.0.2", INTERFACE, "1.0.0", METHOD, "Ljava/lang/String;", &payload(size)] {
                    hessian_string(text, &mut body);
                }
                body.push(b'H');
                for text in ["path", INTERFACE, "interface", INTERFACE, "version", "1.0.0", "timeout", "3000"] {
                    hessian_string(text, &mut body);
                }
                body.push(b'Z');
                dubbo_frame(0xc2, 0, &body)
            }
            Self::Thrift => thrift_frame(1, 1, &payload(size)),
        }
    }

    /// A successful reply with a string of `size` bytes.
    pub(crate) fn reply(self, size: usize) -> Template {
        match self {
            Self::Dubbo => {
                let mut body = vec![0x91];
                hessian_string(&payload(size), &mut body);
                dubbo_frame(0x02, DUBBO_OK, &body)
            }
            Self::Thrift => thrift_frame(THRIFT_REPLY, 0, &payload(size)),
        }
    }

    /// The length of the first frame of `bytes`, `None` while its header is incomplete.
    pub(crate) fn frame_len(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Dubbo => Some(16 + word(bytes, 12)?),
            Self::Thrift => Some(4 + word(bytes, 0)?),
        }
    }

    /// Where the low half of a whole frame's id lies.
    pub(crate) fn id_at(self, frame: &[u8]) -> Option<Range<usize>> {
        let start = match self {
            Self::Dubbo => 8,
            Self::Thrift => 12 + word(frame, 8)?,
        };
        (frame.len() >= start + 4).then_some(start..start + 4)
    }

    /// The id of a whole frame.
    pub(crate) fn id(self, frame: &[u8]) -> Option<u32> {
        let at = self.id_at(frame)?;
        Some(u32::from_be_bytes(frame[at].try_into().ok()?))
    }

    /// Whether a whole reply is a success.
    pub(crate) fn is_success(self, frame: &[u8]) -> bool {
        match self {
            Self::Dubbo => frame.get(3) == Some(&DUBBO_OK),
            Self::Thrift => frame.get(7) == Some(&THRIFT_REPLY),
        }
    }

    /// What a whole request is routed by: the method, after the interface where there is one.
    pub(crate) fn routing_key(self, frame: &[u8], key: &mut Vec<u8>) -> Option<()> {
        key.clear();
        match self {
            Self::Dubbo => {
                let (_, rest) = split_hessian_string(frame.get(16..)?)?;
                let (interface, rest) = split_hessian_string(rest)?;
                let (_, rest) = split_hessian_string(rest)?;
                let (method, _) = split_hessian_string(rest)?;
                key.extend_from_slice(interface);
                key.push(b':');
                key.extend_from_slice(method);
            }
            Self::Thrift => key.extend_from_slice(frame.get(12..12 + word(frame, 8)?)?),
        }
        Some(())
    }

    /// The key that the requests of the yardstick have.
    pub(crate) fn echo_key(self) -> Vec<u8> {
        match self {
            Self::Dubbo => format!("{INTERFACE}:{METHOD}").into_bytes(),
            Self::Thrift => METHOD.into(),
        }
    }
}

fn dubbo_frame(flags: u8, status: u8, body: &[u8]) -> Template {
    let mut bytes = vec![0xda, 0xbb, flags, status, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&length(body));
    bytes.extend_from_slice(body);
    Template { bytes, id: 4..12 }
}

fn thrift_frame(kind: u8, field: u16, text: &str) -> Template {
    let mut message = vec![0x80, 0x01, 0x00, kind];
    message.extend_from_slice(&length(METHOD.as_bytes()));
    message.extend_from_slice(METHOD.as_bytes());
    let id = 4 + message.len()..4 + message.len() + 4;
    message.extend_from_slice(&[0; 4]);
    message.push(11);
    message.extend_from_slice(&field.to_be_bytes());
    message.extend_from_slice(&length(text.as_bytes()));
    message.extend_from_slice(text.as_bytes());
    message.push(0);
    Template { bytes: [length(&message).as_slice(), &message].concat(), id }
}

/// Writes an ASCII string in the shortest form.
fn hessian_string(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while rest.len() > HESSIAN_CHUNK {
        let (chunk, tail) = rest.split_at(HESSIAN_CHUNK);
        out.extend_from_slice(b"R\x80\x00");
        out.extend_from_slice(chunk);
        rest = tail;
    }
    let [.., high, low] = length(rest);
    match rest.len() {
        0..32 => out.push(low),
        32..1024 => out.extend_from_slice(&[0x30 + high, low]),
        _ => out.extend_from_slice(&[b'S', high, low]),
    }
    out.extend_from_slice(rest);
}

/// Splits off a string of at most 1023 ASCII characters.
fn split_hessian_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0x00..=0x1f => rest.split_at_checked(usize::from(first)),
        0x30..=0x33 => {
            let (&low, rest) = rest.split_first()?;
            rest.split_at_checked(usize::from(first - 0x30) << 8 | usize::from(low))
        }
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(word)).ok()
}

#[expect(clippy::cast_possible_truncation, reason = "what the yardstick sends is far below 4 GiB")]
fn length(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_be_bytes()
}

fn payload(size: usize) -> String {
    (b'a'..=b'z').cycle().take(size).map(char::from).collect()
}

const METHOD: &str = "echo";
const INTERFACE: &str = "org.example.EchoService";
const DUBBO_OK: u8 = 20;
const THRIFT_REPLY: u8 = 2;
const HESSIAN_CHUNK: usize = 0x8000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_and_carry_their_id() {
        for protocol in [Protocol::Dubbo, Protocol::Thrift] {
            for size in [0, 31, 32, 1023, 1024, HESSIAN_CHUNK, 3 * HESSIAN_CHUNK] {
                for template in [protocol.request(size), protocol.reply(size)] {
                    let mut frame = Vec::new();
                    template.write(77, &mut frame);
                    assert_eq!(protocol.frame_len(&frame), Some(frame.len()), "{protocol:?} {size}");
                    assert_eq!(protocol.id(&frame), Some(77), "{protocol:?} {size}");
                }
            }
        }
    }

    #[test]
    fn requests_have_the_key_that_relays_route_by() {
        for protocol in [Protocol::Dubbo, Protocol::Thrift] {
            let (mut frame, mut key) = (Vec::new(), Vec::new());
            protocol.request(128).write(1, &mut frame);
            protocol.routing_key(&frame, &mut key);
            assert_eq!(key, protocol.echo_key());
        }
    }

    #[test]
    fn only_a_reply_is_a_success() {
        for protocol in [Protocol::Dubbo, Protocol::Thrift] {
            let (mut request, mut reply) = (Vec::new(), Vec::new());
            protocol.request(1).write(1, &mut request);
            protocol.reply(1).write(1, &mut reply);
            assert!(protocol.is_success(&reply) && !protocol.is_success(&request));
        }
    }
}
