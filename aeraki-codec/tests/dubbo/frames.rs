//! Frames that other implementations have written.

use std::{path::Path, sync::LazyLock};

use aeraki_codec::{
    Codec, DecodeError, Decoded, Demand, Framer, Head, Limits, Measure, Message, Protocol, Role, dubbo::Dubbo,
};
use bytes::{Bytes, BytesMut};

use crate::file::{self, Vector};

/// The vectors of one protocol.
pub(crate) fn vectors(protocol: &str) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let file = file::all(&folder).into_iter().find(|file| file.protocol == protocol);
    file.expect("a file of this protocol").vectors()
}

/// Every buffer that holds whole frames and nothing else.
pub(crate) fn well_formed() -> Vec<Vector> {
    let mut vectors = vectors("dubbo");
    vectors.retain(|vector| vector.op.is_none() && vector.expect.get("frames").is_some());
    vectors
}

/// Every frame, by the name of its vector.
pub(crate) fn frames() -> &'static [(String, Bytes)] {
    static FRAMES: LazyLock<Vec<(String, Bytes)>> = LazyLock::new(cut_all);
    &FRAMES
}

fn cut_all() -> Vec<(String, Bytes)> {
    let mut frames = Vec::new();
    for vector in well_formed() {
        let mut bytes = Bytes::from(vector.bytes);
        while !bytes.is_empty() {
            let Ok(Measure::Frame { len, .. }) = codec().measure(&bytes) else { panic!("{}: no frame", vector.name) };
            frames.push((vector.name.clone(), bytes.split_to(usize::try_from(len).expect("short"))));
        }
    }
    frames
}

pub(crate) fn codec() -> Box<dyn Codec> {
    Dubbo::default().codec(Role::Server, &Limits::default())
}

pub(crate) fn parse(frame: &Bytes) -> Message {
    let mut head = Head::new();
    codec().parse(frame, &Demand::all(), &mut head).expect("well-formed");
    Message::new(frame.clone(), head)
}

/// Everything that comes out of a connection into which `pieces` go one after the other.
pub(crate) fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Option<DecodeError>) {
    let mut framer = Framer::new(codec());
    let (mut input, mut seen) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match framer.decode(&mut input, &Demand::all()) {
                Ok(Decoded::Message(message)) => seen.push(describe(&message)),
                Ok(Decoded::Invalid(message, error)) => seen.push(format!("{error:?} {}", describe(&message))),
                Ok(_) => break,
                Err(error) => return (seen, Some(error)),
            }
        }
        assert!(framer.wanted().len() > input.len(), "nothing would ever come out");
    }
    (seen, None)
}

/// All that a message says.
fn describe(message: &Message) -> String {
    let attributes: Vec<_> = message.attrs().collect();
    format!("{:?} {attributes:?} {:?}", message.head(), message.frame())
}
