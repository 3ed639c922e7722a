//! Messages to test with, written by hand, and short ways to decode and encode.

use std::io::Write;

use aeraki_codec::{
    Codec, DecodeError, Decoded, Demand, Framer, Limits, Message, Output, Protocol, Role,
    thrift::{Encoding, Thrift, Transport},
};
use bytes::{Buf, Bytes, BytesMut};

/// Every dialect there is.
pub(crate) const DIALECTS: [(Transport, Encoding); 9] = [
    (Transport::Unframed, Encoding::Binary),
    (Transport::Unframed, Encoding::BinaryOld),
    (Transport::Unframed, Encoding::Compact),
    (Transport::Framed, Encoding::Binary),
    (Transport::Framed, Encoding::BinaryOld),
    (Transport::Framed, Encoding::Compact),
    (Transport::Header, Encoding::Binary),
    (Transport::Header, Encoding::BinaryOld),
    (Transport::Header, Encoding::Compact),
];

pub(crate) const CALL: u8 = 1;
pub(crate) const REPLY: u8 = 2;
pub(crate) const EXCEPTION: u8 = 3;
pub(crate) const ONEWAY: u8 = 4;

/// A struct that holds one string as field 1.
pub(crate) fn string_body(encoding: Encoding, text: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    if encoding == Encoding::Compact {
        body.push(0x18);
        varint(text.len() as u32, &mut body);
    } else {
        body.extend([11, 0, 1]);
        body.extend((text.len() as u32).to_be_bytes());
    }
    body.extend(text);
    body.push(0);
    body
}

/// A message without its transport.
pub(crate) fn message(encoding: Encoding, of: u8, name: &[u8], seq_id: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let length = name.len() as u32;
    match encoding {
        Encoding::Compact => {
            out.extend([0x82, of << 5 | 1]);
            varint(seq_id, &mut out);
            varint(length, &mut out);
            out.extend(name);
        }
        Encoding::BinaryOld => {
            out.extend(length.to_be_bytes());
            out.extend(name);
            out.push(of);
            out.extend(seq_id.to_be_bytes());
        }
        _ => {
            out.extend([0x80, 1, 0, of]);
            out.extend(length.to_be_bytes());
            out.extend(name);
            out.extend(seq_id.to_be_bytes());
        }
    }
    out.extend(body);
    out
}

/// Puts a message into a transport; headers go into `THeader` only.
pub(crate) fn wrap(
    transport: Transport,
    encoding: Encoding,
    seq_id: u32,
    headers: &[(&[u8], &[u8])],
    deflated: bool,
    message: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    if transport == Transport::Unframed {
        return message.to_vec();
    }
    if transport == Transport::Header {
        out.extend([0x0f, 0xff, 0, 0]);
        out.extend(seq_id.to_be_bytes());
        let mut block = vec![if encoding == Encoding::Compact { 2 } else { 0 }];
        block.extend(if deflated { &[1, 1][..] } else { &[0] });
        if !headers.is_empty() {
            block.push(1);
            varint(headers.len() as u32, &mut block);
            for text in headers.iter().flat_map(|(key, value)| [key, value]) {
                varint(text.len() as u32, &mut block);
                block.extend(*text);
            }
        }
        block.resize(block.len().next_multiple_of(4), 0);
        out.extend(((block.len() / 4) as u16).to_be_bytes());
        out.extend(block);
    }
    out.extend(message);
    let mut frame = (out.len() as u32).to_be_bytes().to_vec();
    frame.extend(out);
    frame
}

/// A whole frame in the given dialect.
pub(crate) fn frame(dialect: (Transport, Encoding), of: u8, name: &[u8], seq_id: u32, body: &[u8]) -> Vec<u8> {
    wrap(dialect.0, dialect.1, seq_id, &[], false, &message(dialect.1, of, name, seq_id, body))
}

pub(crate) fn codec(dialect: (Transport, Encoding), role: Role) -> Box<dyn Codec> {
    Thrift::fixed(dialect.0, dialect.1).codec(role, &Limits::default())
}

/// Decodes one whole frame.
pub(crate) fn decode(dialect: (Transport, Encoding), frame: &[u8]) -> Message {
    decode_with(&mut Framer::new(codec(dialect, Role::Server)), frame, &Demand::all()).expect("a good frame")
}

pub(crate) fn decode_with(framer: &mut Framer, frame: &[u8], demand: &Demand) -> Result<Message, DecodeError> {
    match framer.decode(&mut BytesMut::from(frame), demand)? {
        Decoded::Message(message) => Ok(message),
        Decoded::Invalid(_, error) => Err(error),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn drain(out: &mut Output) -> Bytes {
    out.copy_to_bytes(out.remaining())
}

pub(crate) fn varint(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(bytes).expect("memory");
    zlib.finish().expect("memory")
}
