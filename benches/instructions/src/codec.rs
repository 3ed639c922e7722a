//! What reading and forwarding a message costs.

use std::hint::black_box;

use aeraki_codec::{
    Codec, Decoded, Demand, Framer, Head, Limits, Message, Output, Protocol, Role, dubbo::Dubbo, thrift::Thrift,
};
use bytes::{Buf, BytesMut};

use aeraki_instructions::{Row, frames};

pub(crate) const ROWS: &[Row] = &[
    ("dubbo/measure", |turns| measure(&Dubbo::default(), &frames::dubbo_request(), turns)),
    ("dubbo/parse/method", |turns| parse(&Dubbo::default(), &frames::dubbo_request(), &["method"], turns)),
    ("dubbo/parse/interface", |turns| parse(&Dubbo::default(), &frames::dubbo_request(), IDENTITY, turns)),
    ("dubbo/parse/user", |turns| parse(&Dubbo::default(), &frames::dubbo_request(), USER, turns)),
    ("dubbo/parse/response", |turns| parse(&Dubbo::default(), &frames::dubbo_response(), &[], turns)),
    ("dubbo/decode/method", |turns| decode(&Dubbo::default(), &frames::dubbo_request(), &["method"], turns)),
    ("dubbo/decode/interface", |turns| decode(&Dubbo::default(), &frames::dubbo_request(), IDENTITY, turns)),
    ("dubbo/decode/user", |turns| decode(&Dubbo::default(), &frames::dubbo_request(), USER, turns)),
    ("dubbo/decode/response", |turns| decode(&Dubbo::default(), &frames::dubbo_response(), &[], turns)),
    ("dubbo/forward", |turns| forward(&Dubbo::default(), &frames::dubbo_request(), None, turns)),
    ("dubbo/forward/changed", |turns| forward(&Dubbo::default(), &frames::dubbo_request(), Some("lane"), turns)),
    ("thrift/measure", |turns| measure(&Thrift::default(), &frames::thrift_request(), turns)),
    ("thrift/parse/method", |turns| parse(&Thrift::default(), &frames::thrift_request(), &["method"], turns)),
    ("thrift/parse/response", |turns| parse(&Thrift::default(), &frames::thrift_response(), &[], turns)),
    ("thrift/decode/method", |turns| decode(&Thrift::default(), &frames::thrift_request(), &["method"], turns)),
    ("thrift/decode/response", |turns| decode(&Thrift::default(), &frames::thrift_response(), &[], turns)),
    ("thrift/forward", |turns| forward(&Thrift::default(), &frames::thrift_request(), None, turns)),
];

const IDENTITY: &[&str] = &["interface", "method"];
const USER: &[&str] = &["interface", "method", "user"];

/// The length alone.
fn measure(protocol: &dyn Protocol, frame: &[u8], turns: usize) {
    let mut codec = codec(protocol);
    for _ in 0..turns {
        black_box(codec.measure(black_box(frame)).is_ok());
    }
}

/// The head alone, into one that is used again.
fn parse(protocol: &dyn Protocol, frame: &[u8], demand: &[&str], turns: usize) {
    let (mut codec, demand, mut head) = (codec(protocol), Demand::of(demand), Head::new());
    for _ in 0..turns {
        head.clear();
        assert!(codec.parse(black_box(frame), &demand, &mut head).is_ok());
        black_box(&head);
    }
}

/// All that is done to bytes until a message can be routed, or a response be matched, and to drop it.
fn decode(protocol: &dyn Protocol, frame: &[u8], demand: &[&str], turns: usize) {
    let (mut framer, demand) = (Framer::new(codec(protocol)), Demand::of(demand));
    let mut input = BytesMut::from(&frame.repeat(MOST)[..]);
    for _ in 0..turns {
        let decoded = framer.decode(black_box(&mut input), &demand);
        assert!(matches!(black_box(&decoded), Ok(Decoded::Message(_))));
    }
}

/// Written under another id, as it came or with one attribute more.
fn forward(protocol: &dyn Protocol, frame: &[u8], added: Option<&'static str>, turns: usize) {
    let (mut codec, mut head, mut out) = (codec(protocol), Head::new(), Output::new());
    assert!(codec.parse(frame, &Demand::of(added), &mut head).is_ok());
    let mut message = Message::new(frame.to_vec().into(), head);
    if let Some(key) = added {
        message.mutation_mut().set(key, "gray");
    }
    for id in 0..turns {
        message.set_id(id as u64);
        assert!(codec.encode(black_box(&message), &mut out).is_ok());
        out.advance(out.remaining());
    }
}

fn codec(protocol: &dyn Protocol) -> Box<dyn Codec> {
    protocol.codec(Role::Server, &Limits::default())
}

/// Frames that lie ready: more than there are turns.
const MOST: usize = 4096;
