//! Bytes that lie, nest, swell or end too early: refused at once, in bounded memory.

use aeraki_codec::{
    DecodeErrorKind, Decoded, Demand, EncodeError, Framer, Head, Limits, Measure, Message, Output, Protocol, Role,
    thrift::{self, Encoding, Thrift, Transport},
};
use bytes::{Bytes, BytesMut};

use super::wire::{CALL, DIALECTS, codec, decode, deflate, frame, message, string_body, wrap};

/// Feeds bytes without a frame and returns what they are refused with.
fn refused(encoding: Encoding, bytes: &[u8]) -> (DecodeErrorKind, usize) {
    let error = codec((Transport::Unframed, encoding), Role::Server).measure(bytes).expect_err("bad bytes");
    assert!(error.is_fatal());
    (error.kind(), error.offset())
}

#[test]
fn sizes_that_cannot_be_true_are_refused_before_anything_is_read() {
    let call = |encoding, body: &[u8]| message(encoding, CALL, b"m", 1, body);
    let huge = i32::MAX.to_be_bytes();
    let string = [&[11, 0, 1], &huge[..]].concat();
    assert_eq!(refused(Encoding::Binary, &call(Encoding::Binary, &string)), (DecodeErrorKind::FrameTooLarge, 20));
    let list = [&[15, 0, 1, 8], &huge[..]].concat();
    assert_eq!(refused(Encoding::Binary, &call(Encoding::Binary, &list)), (DecodeErrorKind::LengthExceedsInput, 17));
    let map = [&[13, 0, 1, 8, 8], &huge[..]].concat();
    assert_eq!(refused(Encoding::Binary, &call(Encoding::Binary, &map)), (DecodeErrorKind::LengthExceedsInput, 18));
    let list = [0x19, 0xf5, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(refused(Encoding::Compact, &call(Encoding::Compact, &list)), (DecodeErrorKind::LengthExceedsInput, 6));
    let name = [&[0x80, 1, 0, 1], &huge[..]].concat();
    assert_eq!(refused(Encoding::Binary, &name), (DecodeErrorKind::FrameTooLarge, 8));
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| {
        let body = [[12, 0, 1].repeat(depth - 1), vec![0; depth]].concat();
        message(Encoding::Binary, CALL, b"m", 1, &body)
    };
    let mut codec = codec((Transport::Unframed, Encoding::Binary), Role::Server);
    let deepest = nested(64);
    assert!(matches!(codec.measure(&deepest), Ok(Measure::Frame { len, .. }) if len == deepest.len() as u64));
    assert_eq!(refused(Encoding::Binary, &nested(65)).0, DecodeErrorKind::DepthExceeded);
    let body = [&[0x19][..], &[0x19; 100_000]].concat();
    let lists = message(Encoding::Compact, CALL, b"m", 1, &body);
    assert_eq!(refused(Encoding::Compact, &lists).0, DecodeErrorKind::DepthExceeded);
}

#[test]
fn endless_messages_end_at_the_limit() {
    let limits = Limits { frame: Some(4096), ..Limits::default() };
    let mut framer = Framer::new(Thrift::default().codec(Role::Server, &limits));
    let mut input = BytesMut::from(&message(Encoding::Binary, CALL, b"m", 1, &[])[..]);
    let error = loop {
        input.extend_from_slice(&[3, 0, 1, 0].repeat(100));
        match framer.decode(&mut input, &Demand::all()) {
            Ok(Decoded::Partial) => assert!(input.len() <= 4096 + 400, "more is buffered than allowed"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_fatal()), (DecodeErrorKind::FrameTooLarge, true));
}

#[test]
fn frames_beyond_the_limit_are_refused_by_their_first_bytes() {
    for start in [&b"\x00\xfa\x00\x01\x80\x01"[..], b"\x00\xfa\x00\x01\x0f\xff", b"\x7f\xff\xff\xff\x82\x21"] {
        let error = Thrift::default().codec(Role::Server, &Limits::default()).measure(start).expect_err("too large");
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::FrameTooLarge, 0));
    }
}

#[test]
fn a_bomb_is_not_inflated() {
    let call = message(Encoding::Binary, CALL, b"add", 1, &string_body(Encoding::Binary, &vec![0; 20_000_000]));
    let bomb = wrap(Transport::Header, Encoding::Binary, 1, &[], true, &deflate(&call));
    assert!(bomb.len() < 100_000);
    let dialect = (Transport::Header, Encoding::Binary);
    let decoding = allocation_counter::measure(|| _ = decode(dialect, &bomb));
    assert!(decoding.bytes_max < 1_000_000, "{decoding:?}");
    let mut decoded = decode(dialect, &bomb);
    decoded.set_id(2);
    let mut out = Output::new();
    let mut codec = codec(dialect, Role::Client);
    assert_eq!(codec.encode(&decoded, &mut out), Err(EncodeError::TooLarge), "its id cannot be changed");
    assert!(out.is_empty());
    assert_eq!(thrift::message(&bomb).expect_err("too large").kind(), DecodeErrorKind::BadCompression);
    decoded.set_id(1);
    assert_eq!(codec.encode(&decoded, &mut out), Err(EncodeError::TooLarge), "nor can it be passed on as it is");
    assert!(out.is_empty());
}

#[test]
fn a_bomb_below_the_limit_is_not_passed_on_either() {
    let dialect = (Transport::Header, Encoding::Binary);
    let passed_on = |text: &[u8]| {
        let call = message(Encoding::Binary, CALL, b"add", 1, &string_body(Encoding::Binary, text));
        let mut decoded = decode(dialect, &wrap(dialect.0, dialect.1, 1, &[], true, &deflate(&call)));
        decoded.set_id(2);
        let mut out = Output::new();
        codec(dialect, Role::Client).encode(&decoded, &mut out).map(|()| out.len())
    };
    assert!(passed_on(&[0; 200_000]).expect("small, whatever it was deflated to") > 200_000);
    assert_eq!(passed_on(&[0; 2_000_000]), Err(EncodeError::TooLarge), "from some 2 000 bytes");
    let mut text: Vec<u8> = (0u32..10_000).flat_map(|n| (n * n).wrapping_mul(0x9e37_79b1).to_be_bytes()).collect();
    text.resize(500_000, 0);
    assert!(passed_on(&text).expect("an eighth to a sixteenth of it is usual") > 500_000);
    text.resize(1_000_000, 0);
    assert_eq!(passed_on(&text), Err(EncodeError::TooLarge), "25 times what came");
}

/// A receiver would take the second message for the next call, and the next frame for what the struct lacks.
#[test]
fn a_frame_of_more_or_less_than_one_message_is_not_passed_on() {
    for dialect in DIALECTS.into_iter().filter(|(transport, _)| *transport != Transport::Unframed) {
        let call = message(dialect.1, CALL, b"add", 1, &string_body(dialect.1, b"text"));
        let two = [&call[..], &message(dialect.1, CALL, b"drop", 2, &[0])].concat();
        for (payload, one) in [(&call[..], true), (&two, false), (&call[..call.len() - 1], false)] {
            for deflated in [false, true].into_iter().filter(|deflated| !deflated || dialect.0 == Transport::Header) {
                let payload = if deflated { deflate(payload) } else { payload.to_vec() };
                let mut decoded = decode(dialect, &wrap(dialect.0, dialect.1, 1, &[], deflated, &payload));
                for id in [1, 2] {
                    decoded.set_id(id);
                    let mut out = Output::new();
                    let written = codec(dialect, Role::Client).encode(&decoded, &mut out);
                    let expected = if one { Ok(()) } else { Err(EncodeError::NotOneMessage) };
                    assert_eq!((written, out.is_empty()), (expected, !one), "{dialect:?}, deflated: {deflated}, {id}");
                }
            }
        }
    }
}

#[test]
fn an_answer_in_another_dialect_than_the_peers_is_not_written() {
    for spoken in DIALECTS {
        for other in DIALECTS {
            let answer = decode(other, &frame(other, CALL, b"add", 1, &[0]));
            let mut out = Output::new();
            let written = codec(spoken, Role::Server).encode(&answer, &mut out);
            let alike = spoken.0 == other.0
                && (spoken.0 == Transport::Header || (spoken.1 == Encoding::Compact) == (other.1 == Encoding::Compact));
            assert_eq!(written.is_ok(), alike, "{other:?} to {spoken:?}");
            assert_eq!(out.is_empty(), !alike);
        }
    }
}

#[test]
fn payloads_that_are_not_zlib_are_refused() {
    let dialect = (Transport::Header, Encoding::Binary);
    let good = deflate(&message(Encoding::Binary, CALL, b"add", 1, &[0; 1]));
    for bad in [&b""[..], b"\x78\x9c", b"not zlib at all", &good[..good.len() / 2], &[0x78; 64]] {
        let bytes = wrap(dialect.0, dialect.1, 1, &[], true, bad);
        let mut codec = codec(dialect, Role::Server);
        codec.measure(&bytes).expect("a whole frame");
        let mut head = Head::new();
        let error = codec.parse(&bytes, &Demand::all(), &mut head).expect_err("bad bytes");
        assert!(!error.is_fatal(), "{error}");
        codec.parse(&wrap(dialect.0, dialect.1, 1, &[], true, &good), &Demand::all(), &mut head).expect("the next one");
    }
}

#[test]
fn every_cut_of_a_frame_is_an_error_and_never_a_panic() {
    let headers: &[(&[u8], &[u8])] = &[(b"user", b"alice"), (b"trace", b"abc")];
    for dialect in DIALECTS {
        let call = message(dialect.1, CALL, b"S:add", 300, &string_body(dialect.1, b"text"));
        let bytes = wrap(dialect.0, dialect.1, 300, headers, false, &call);
        let head_len = decode(dialect, &bytes).head().head_len();
        for end in 0..bytes.len() {
            let mut codec = codec(dialect, Role::Server);
            let parsed = codec.parse(&bytes[..end], &Demand::all(), &mut Head::new());
            assert_eq!(parsed.is_err(), end < head_len, "{dialect:?}: {end} of {}", bytes.len());
            if let Ok(view) = thrift::message_as(&bytes[..end], dialect.0, dialect.1) {
                view.check().expect_err("a cut struct");
            }
        }
    }
}

#[test]
fn a_message_of_another_protocol_is_not_written() {
    for dialect in DIALECTS {
        let mut out = Output::new();
        let mut foreign = Message::new(Bytes::from_static(b"x"), Head::new());
        assert!(codec(dialect, Role::Client).encode(&foreign, &mut out).is_err());
        let mut head = decode(dialect, &frame(dialect, CALL, b"add", 1, &[0])).head().clone();
        head.set_id(aeraki_codec::Id::Number(9));
        foreign = Message::new(Bytes::from_static(b"x"), head);
        let written = codec(dialect, Role::Client).encode(&foreign, &mut out);
        assert!(matches!(written, Err(EncodeError::Foreign | EncodeError::NotOneMessage)), "{dialect:?}: {written:?}");
        assert!(out.is_empty(), "{dialect:?}");
    }
}
