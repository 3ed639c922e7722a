//! Heads are read from the part of a frame that the codec announces: the rest may still be on its way.

use aeraki_codec::{Attributes, Codec, Demand, Head, Limits, Measure, Message, Protocol, Role};
use bytes::Bytes;

use crate::{check::same, file::Vector};

/// How many good frames were compared.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Frames whose announced head is shorter than the frame.
    pub(crate) shorter: usize,
    /// Frames whose announced head is the whole frame, which proves nothing.
    pub(crate) whole: usize,
}

/// Compares, for every frame of a vector that is cut and read, the head of its announced part with that of the whole.
pub(crate) fn compare(protocol: &dyn Protocol, vector: &Vector, compared: &mut Compared) -> Result<(), String> {
    let mut bytes = Bytes::from(vector.bytes.clone());
    while let Some((head, frame)) = cut(protocol, &mut bytes) {
        let mut good = false;
        // what is read may depend on the side that reads
        for role in [Role::Server, Role::Client] {
            if let Ok(whole) = read(protocol, role, &frame, frame.len()) {
                same("head of the announced part", read(protocol, role, &frame, head)?, whole)?;
                good = true;
            }
        }
        match (good, head < frame.len()) {
            (true, true) => compared.shorter += 1,
            (true, false) => compared.whole += 1,
            (false, _) => {}
        }
    }
    Ok(())
}

/// Removes the first frame, with the length of its head; none where it is not whole or not a frame.
fn cut(protocol: &dyn Protocol, bytes: &mut Bytes) -> Option<(usize, Bytes)> {
    match codec(protocol, Role::Server).measure(bytes) {
        Ok(Measure::Frame { head, len }) => {
            let len = usize::try_from(len).ok().filter(|len| *len <= bytes.len())?;
            Some((head, bytes.split_to(len)))
        }
        _ => None,
    }
}

/// Reads the head of the first `len` bytes of a frame and writes down all that it holds.
fn read(protocol: &dyn Protocol, role: Role, frame: &Bytes, len: usize) -> Result<String, String> {
    let mut codec = codec(protocol, role);
    // a codec reads the frames that it has measured
    codec.measure(frame).map_err(|error| error.to_string())?;
    let mut head = Head::new();
    codec.parse(&frame[..len], &Demand::all(), &mut head).map_err(|error| format!("{len} bytes: {error}"))?;
    let message = Message::new(frame.slice(..len), head);
    let attributes: Vec<_> = message.attrs().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let ambiguous = attributes.iter().filter_map(|(key, _)| std::str::from_utf8(key).ok());
    let ambiguous: Vec<_> = ambiguous.filter(|key| message.is_ambiguous(key)).collect();
    let echo = message.head().echo().map(|span| message.text(span));
    Ok(format!("{:?} {attributes:?} {ambiguous:?} {echo:?}", message.head()))
}

fn codec(protocol: &dyn Protocol, role: Role) -> Box<dyn Codec> {
    protocol.codec(role, &Limits::default())
}
