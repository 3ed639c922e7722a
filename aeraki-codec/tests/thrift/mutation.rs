//! Changed headers, where there is a header to change.

use aeraki_codec::{
    EncodeError, Message, Mutation, Output, Role,
    thrift::{self, Encoding, Transport},
};
use bytes::{Buf, Bytes};

use super::wire::{CALL, DIALECTS, codec, decode, deflate, drain, frame, message, string_body, wrap};

type Pair<'a> = (&'a [u8], &'a [u8]);

fn header_frame(encoding: Encoding, headers: &[Pair<'_>], deflated: bool) -> Vec<u8> {
    let call = message(encoding, CALL, b"add", 300, &string_body(encoding, &[b'x'; 5000]));
    let payload = if deflated { deflate(&call) } else { call };
    wrap(Transport::Header, encoding, 300, headers, deflated, &payload)
}

fn encode(message: &Message) -> Bytes {
    let mut out = Output::new();
    codec((Transport::Header, Encoding::Binary), Role::Client).encode(message, &mut out).expect("a good message");
    drain(&mut out)
}

fn pairs(frame: &[u8]) -> Vec<Pair<'_>> {
    let view = thrift::message(frame).expect("a good frame");
    view.check().expect("a good struct");
    view.header().expect("a header").pairs().collect::<Result<_, _>>().expect("good headers")
}

#[test]
fn headers_are_set_and_removed_and_the_payload_stays() {
    for encoding in [Encoding::Binary, Encoding::Compact] {
        for deflated in [false, true] {
            let original = header_frame(encoding, &[(b"User", b"alice"), (b"a", b"1"), (b"b", b"2")], deflated);
            let mut decoded = decode((Transport::Header, encoding), &original);
            decoded.mutation_mut().set("user", "bob").remove("A").remove("absent").set("new", "");
            let written = encode(&decoded);
            assert_eq!(pairs(&written), [(&b"b"[..], &b"2"[..]), (b"user", b"bob"), (b"new", b"")], "{encoding:?}");
            let payload = |frame| thrift::message(frame).expect("a good frame").header().map(|h| h.payload().to_vec());
            assert_eq!(payload(&written), payload(&original), "{encoding:?}");
            let again = decode((Transport::Header, encoding), &written);
            assert_eq!((again.attr("USER"), again.id()), (Some(&b"bob"[..]), decoded.id()));
        }
    }
}

#[test]
fn headers_and_id_change_together() {
    for encoding in [Encoding::Binary, Encoding::Compact] {
        for deflated in [false, true] {
            let mut decoded = decode((Transport::Header, encoding), &header_frame(encoding, &[], deflated));
            decoded.mutation_mut().set("k", "v");
            decoded.set_id(9);
            let written = encode(&decoded);
            assert_eq!(pairs(&written), [(&b"k"[..], &b"v"[..])]);
            let view = thrift::message(&written).expect("a good frame");
            assert_eq!((view.seq_id(), view.header().map(|header| header.seq_id())), (9, Some(9)), "{encoding:?}");
        }
    }
}

#[test]
fn a_large_payload_is_shared_behind_a_new_header() {
    let mut decoded =
        decode((Transport::Header, Encoding::Binary), &header_frame(Encoding::Binary, &[(b"k", b"v")], false));
    decoded.mutation_mut().set("k", "w");
    let mut out = Output::new();
    codec((Transport::Header, Encoding::Binary), Role::Client).encode(&decoded, &mut out).expect("a good message");
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    assert_eq!(out.chunks_vectored(&mut slices), 2);
    assert!(decoded.frame().as_ptr_range().contains(&slices[1].as_ptr()));
}

#[test]
fn flags_and_unknown_blocks_are_kept() {
    // Protocol 0, no transforms, one pair, then block 9 that nobody knows.
    let block = b"\0\0\x01\x01\x01k\x01v\x09\x05abc";
    let mut frame = b"\0\0\0\0\x0f\xff\x01\x02\0\0\0\x07\0\x04".to_vec();
    frame.extend(block);
    frame.resize(14 + 16, 0);
    frame.extend(message(Encoding::Binary, CALL, b"add", 7, &[0]));
    let length = (frame.len() as u32 - 4).to_be_bytes();
    frame[..4].copy_from_slice(&length);
    let mut decoded = decode((Transport::Header, Encoding::Binary), &frame);
    decoded.mutation_mut().set("k", "changed");
    let written = encode(&decoded);
    assert_eq!(pairs(&written), [(&b"k"[..], &b"changed"[..])]);
    assert_eq!(thrift::message(&written).expect("a good frame").header().map(|header| header.flags()), Some(0x0102));
    assert!(written.windows(5).any(|bytes| bytes == b"\x09\x05abc"));
}

#[test]
fn what_has_no_header_cannot_be_mutated() {
    for dialect in DIALECTS {
        let mut decoded = decode(dialect, &frame(dialect, CALL, b"add", 1, &[0]));
        assert_eq!(decoded.head().is_mutable(), dialect.0 == Transport::Header);
        decoded.mutation_mut().set("k", "v");
        let mut out = Output::new();
        let written = codec(dialect, Role::Client).encode(&decoded, &mut out);
        if dialect.0 == Transport::Header {
            assert_eq!(written, Ok(()), "{dialect:?}");
        } else {
            assert_eq!((written, out.is_empty()), (Err(EncodeError::Immutable), true), "{dialect:?}");
        }
    }
}

#[test]
fn headers_cannot_pose_as_what_the_codec_says() {
    let fakes: [Pair<'_>; 3] = [(b"METHOD", b"fake"), (b"Thrift.Service", b"fake"), (b"Generic.Method", b"fake")];
    let bytes = header_frame(Encoding::Binary, &fakes, false);
    let mut decoded = decode((Transport::Header, Encoding::Binary), &bytes);
    assert_eq!((decoded.attr("method"), decoded.attr("thrift.service")), (Some(&b"add"[..]), None));
    assert_eq!(decoded.attr("generic.method"), None);
    for key in ["method", "Thrift.Method", "thrift.service", "generic.method"] {
        decoded.mutation_mut().set(key, "other");
        let mut out = Output::new();
        let written = codec((Transport::Header, Encoding::Binary), Role::Client).encode(&decoded, &mut out);
        assert_eq!((written, out.is_empty()), (Err(EncodeError::Immutable), true), "{key}");
        *decoded.mutation_mut() = Mutation::new();
    }
}

#[test]
fn a_header_that_grows_beyond_its_size_field_is_refused() {
    let mut decoded = decode((Transport::Header, Encoding::Binary), &header_frame(Encoding::Binary, &[], false));
    decoded.mutation_mut().set("k", vec![b'v'; 70_000 * 4]);
    let mut out = Output::new();
    let written = codec((Transport::Header, Encoding::Binary), Role::Client).encode(&decoded, &mut out);
    assert_eq!((written, out.is_empty()), (Err(EncodeError::TooLarge), true));
}
