//! Bytes that mean harm: a typed error, in bounded time and memory.

use aeraki_codec::{
    DecodeError, DecodeErrorKind, Demand, Head, Limits,
    hessian2::{Reader, TypeTable},
};
use proptest::prelude::*;

use crate::{
    dubbo_target::raw,
    frames::{codec, feed, frames},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn damaged_frames_are_survived(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let frames = frames();
        let mut frame = frames[which.index(frames.len())].1.to_vec();
        for (at, octet) in damage {
            let at = at.index(frame.len());
            frame[at] = octet;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len()));
        }
        raw(&frame);
    }

    #[test]
    fn noise_behind_a_header_is_survived(flags in any::<u8>(), status in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let len = u32::try_from(body.len()).expect("short").to_be_bytes();
        raw(&[&[0xda, 0xbb, flags, status, 0, 0, 0, 0, 0, 0, 0, 1][..], &len, &body].concat());
    }
}

#[test]
fn a_small_body_makes_no_large_work() {
    let nested = vec![0x79; 1_000_000];
    let definitions = b"C\x01A\x90".repeat(100_000);
    let fields = b"C\x01AI\x7f\xff\xff\xff".to_vec();
    let items = b"XI\x7f\xff\xff\xff\x90".to_vec();
    for (bytes, kind) in [
        (nested, DecodeErrorKind::DepthExceeded),
        (definitions, DecodeErrorKind::TooManyDefinitions),
        (fields, DecodeErrorKind::LengthExceedsInput),
        (items, DecodeErrorKind::LengthExceedsInput),
        (b"S\xff\xffabc".to_vec(), DecodeErrorKind::Incomplete),
    ] {
        let used = allocation_counter::measure(|| {
            let skipped = Reader::new(&bytes, &Limits::default()).skip();
            assert_eq!(skipped.map_err(DecodeError::kind), Err(kind));
            let tree = Reader::new(&bytes, &Limits::default()).value(&mut TypeTable::default());
            assert_eq!(tree.map_err(DecodeError::kind).err(), Some(kind));
        });
        assert!(used.bytes_max < 64 * 1024, "{kind}: {} bytes", used.bytes_max);
    }
}

#[test]
fn references_are_not_followed() {
    // Ten lists, each of seven references to the one before: 7^10 values if anybody followed them.
    let mut bomb = b"W\x78".to_vec();
    for level in 1..=10u8 {
        bomb.push(0x7f);
        bomb.extend([b'Q', 0x90 + level].repeat(7));
    }
    bomb.push(b'Z');
    assert_eq!(Reader::new(&bomb, &Limits::default()).skip(), Ok(()));
    let used = allocation_counter::measure(|| {
        Reader::new(&bomb, &Limits::default()).value(&mut TypeTable::default()).expect("well-formed");
    });
    assert!(used.bytes_max < 64 * 1024, "{} bytes", used.bytes_max);
}

#[test]
fn attributes_of_a_peer_are_bounded() {
    let mut body = b"\x052.0.2\x01a\x00\x01m\x00H".to_vec();
    for number in 0..2000u32 {
        let key = format!("{number:04}");
        body.extend([&b"\x04"[..], key.as_bytes(), b"\x01v"].concat());
    }
    body.push(b'Z');
    let len = u32::try_from(body.len()).expect("short").to_be_bytes();
    let frame = [&b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x01"[..], &len, &body].concat();
    let parse = |demand: &Demand| codec().parse(&frame, demand, &mut Head::new());
    assert_eq!(parse(&Demand::all()).expect_err("too many").kind(), DecodeErrorKind::TooManyAttributes);
    assert_eq!(parse(&Demand::of(["1999"])), Ok(()), "what nobody asks for takes no room");
}

#[test]
fn framing_errors_end_the_connection() {
    for (bytes, kind) in [
        (&b"\xda\xbc"[..], DecodeErrorKind::BadMagic),
        (b"GET / HTTP/1.1\r\n", DecodeErrorKind::BadMagic),
        (b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x01\xff\xff\xff\xff", DecodeErrorKind::NegativeLength),
        (b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x01\x7f\xff\xff\xff", DecodeErrorKind::FrameTooLarge),
    ] {
        let (seen, error) = feed([bytes]);
        assert!(seen.is_empty());
        assert!(error.is_some_and(|error| error.is_fatal() && error.kind() == kind));
    }
}
