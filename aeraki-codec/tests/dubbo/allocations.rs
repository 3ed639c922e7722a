//! Nothing is allocated on the way of a message.

use aeraki_codec::{Demand, Head, Message, Output};
use bytes::{Buf, Bytes};

use crate::frames::{codec, frames, parse};

fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

/// What a configuration asks for at most.
fn demand() -> Demand {
    Demand::of(["interface", "method", "version", "group", "dubbo.tag", "application", "timeout", "generic.method"])
}

#[test]
fn decoding_allocates_nothing() {
    let demand = demand();
    for (name, frame) in frames() {
        let mut codec = codec();
        let count = allocations(|| {
            codec.measure(frame).expect("well-formed");
            codec.parse(frame, &demand, &mut Head::new()).expect("well-formed");
        });
        // some clients send the timeout as a number, of which the message keeps the text
        let (message, in_frame) = (parse(frame), frame.as_ptr_range());
        let keeps_text = message.attr("timeout").is_some_and(|text| !in_frame.contains(&text.as_ptr()));
        assert_eq!(count, u64::from(keeps_text), "{name}");
    }
}

#[test]
fn encoding_allocates_nothing_once_the_buffer_is_there() {
    let large = ("large".to_owned(), large_request());
    for (name, frame) in frames().iter().chain([&large]) {
        let (mut codec, mut out) = (codec(), Output::new());
        let mut message = parse(frame);
        let mut encode = |message: &Message| {
            let count = allocations(|| codec.encode(message, &mut out).expect("encodes"));
            out.advance(out.remaining());
            count
        };
        encode(&message);
        encode(&message);
        assert_eq!(encode(&message), 0, "{name}");
        message.set_id(1);
        assert_eq!(encode(&message), 0, "{name} with another id");
        if message.head().is_mutable() && message.head().kind().is_request() {
            message.mutation_mut().set("x-lane", "gray").remove("timeout");
            encode(&message);
            encode(&message);
            assert!(encode(&message) <= 1, "{name} with changed attachments");
        }
    }
}

#[test]
fn a_value_in_chunks_is_copied_once() {
    let mut body = b"\x052.0.2\x01a\x00\x01m\x00H\x03tag".to_vec();
    body.extend_from_slice(b"R\x00\x02gr\x02ayZ");
    let len = u32::try_from(body.len()).expect("short").to_be_bytes();
    let frame = Bytes::from([&b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x01"[..], &len, &body].concat());
    let (mut codec, demand) = (codec(), Demand::of(["tag"]));
    let mut head = Head::new();
    codec.parse(&frame, &demand, &mut head).expect("well-formed");
    assert_eq!(head.attributes().get(&frame, "tag"), Some(&b"gray"[..]));
    head.clear();
    assert_eq!(allocations(|| codec.parse(&frame, &demand, &mut head).expect("well-formed")), 0, "the room is kept");
}

fn large_request() -> Bytes {
    let mut body = b"\x052.0.2\x01a\x00\x01m\x12Ljava/lang/String;S\xea\x60".to_vec();
    body.extend(std::iter::repeat_n(b'x', 60_000));
    body.extend_from_slice(b"H\x03tag\x04grayZ");
    let len = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x01"[..], &len, &body].concat().into()
}
