//! However the bytes arrive, the same messages come out; and go on as they came.

use aeraki_codec::{Demand, Head, Kind, Measure, Message, Output, dubbo::Header};
use bytes::{Buf, Bytes};

use crate::frames::{codec, feed, frames, parse, vectors, well_formed};

#[test]
fn every_split_point_gives_the_same() {
    for vector in vectors("dubbo") {
        let bytes = &vector.bytes[..];
        let whole = feed([bytes]);
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(feed([head, tail]), whole, "{} split at {at}", vector.name);
        }
        assert_eq!(feed(bytes.chunks(1)), whole, "{} byte by byte", vector.name);
    }
}

#[test]
fn many_messages_in_one_read_come_out_one_by_one() {
    let well_formed = well_formed();
    let all: Vec<u8> = well_formed.iter().flat_map(|vector| vector.bytes.clone()).collect();
    let one_by_one: Vec<String> = well_formed.iter().flat_map(|vector| feed([&vector.bytes[..]]).0).collect();
    // Whether answers can be changed depends on the clients of the connection.
    let comparable = |it: &String| it.replace("immutable: true", "immutable: false");
    let (together, error) = feed([&all[..]]);
    assert_eq!(error, None);
    let (together, one_by_one): (Vec<_>, Vec<_>) =
        (together.iter().map(comparable).collect(), one_by_one.iter().map(comparable).collect());
    assert_eq!(together, one_by_one);
}

#[test]
fn a_message_goes_out_byte_for_byte_as_it_came() {
    for (name, frame) in frames() {
        let mut message = parse(frame);
        assert_eq!(encoded(&message), frame, "{name}");
        message.set_id(0x0102_0304_0506_0708);
        let renumbered = encoded(&message);
        assert_eq!(Header::read(&renumbered).expect("header").request_id(), 0x0102_0304_0506_0708);
        assert_eq!((&renumbered[..4], &renumbered[12..]), (&frame[..4], &frame[12..]), "{name}");
    }
}

#[test]
fn the_part_that_measure_names_tells_as_much_as_the_whole() {
    for (name, frame) in frames() {
        let Ok(Measure::Frame { head, len }) = codec().measure(frame) else { panic!("{name}: no frame") };
        assert!(head as u64 <= len);
        let read = |bytes: &[u8]| {
            let mut head = Head::new();
            codec().parse(bytes, &Demand::all(), &mut head).expect("well-formed");
            format!("{head:?}")
        };
        assert_eq!(read(&frame[..head]), read(frame), "{name}");
    }
}

#[test]
fn what_need_not_be_understood_passes_by_its_header() {
    let unassigned = [(0xc1, 0, Kind::Request), (0x02, 21, Kind::Error), (0x1f, 20, Kind::Response)];
    for (flags, status, kind) in unassigned {
        let frame = [&[0xda, 0xbb, flags, status][..], &[0; 11], &[3], b"xyz"].concat().into();
        let message: Message = parse(&frame);
        assert_eq!(message.kind(), kind);
        assert!(!message.head().is_mutable());
        assert_eq!(encoded(&message), frame);
    }
}

fn encoded(message: &Message) -> Bytes {
    let mut out = Output::new();
    codec().encode(message, &mut out).expect("encodes");
    out.copy_to_bytes(out.remaining())
}
