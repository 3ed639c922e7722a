//! Framing, heads, ids and round trips in every dialect.

use aeraki_codec::{
    Attributes, Codec, DecodeErrorKind, Decoded, Demand, Detection, EncodeError, Framer, Id, Kind, Limits, Message,
    Outcome, Output, Protocol, Role,
    thrift::{self, Encoding, Thrift, Transport, Value},
};
use bytes::{Buf, BytesMut};

use super::wire::{
    CALL, DIALECTS, EXCEPTION, ONEWAY, REPLY, codec, decode, decode_with, deflate, drain, frame, message, string_body,
    wrap,
};

/// A call, a one-way call, a reply and an exception.
fn conversation(dialect: (Transport, Encoding)) -> Vec<Vec<u8>> {
    let body = string_body(dialect.1, b"text");
    [(CALL, "S:add", 1), (ONEWAY, "ping", 200), (REPLY, "add", 70_000), (EXCEPTION, "add", u32::MAX)]
        .map(|(of, name, seq_id)| frame(dialect, of, name.as_bytes(), seq_id, &body))
        .into()
}

fn seen(message: &Message) -> (Kind, Id, Option<Vec<u8>>, Vec<u8>) {
    (message.kind(), message.id(), message.attr("method").map(<[u8]>::to_vec), message.frame().to_vec())
}

fn decode_all(dialect: (Transport, Encoding), stream: &[u8], step: usize) -> Vec<Message> {
    let mut framer = Framer::new(codec(dialect, Role::Server));
    let (mut input, mut messages) = (BytesMut::new(), Vec::new());
    for part in stream.chunks(step) {
        input.extend_from_slice(part);
        while let Decoded::Message(message) = framer.decode(&mut input, &Demand::all()).expect("good frames") {
            messages.push(message);
        }
    }
    assert!(input.is_empty(), "{dialect:?}: {} bytes are left", input.len());
    messages
}

#[test]
fn messages_are_the_same_however_they_arrive() {
    for dialect in DIALECTS {
        let stream = conversation(dialect).concat();
        let whole: Vec<_> = decode_all(dialect, &stream, stream.len()).iter().map(seen).collect();
        assert_eq!(whole.iter().map(|(.., frame)| frame.clone()).collect::<Vec<_>>(), conversation(dialect));
        for step in 1..stream.len() {
            let parts: Vec<_> = decode_all(dialect, &stream, step).iter().map(seen).collect();
            assert_eq!(parts, whole, "{dialect:?} in steps of {step}");
        }
    }
}

#[test]
fn kinds_and_ids_are_those_of_the_message() {
    for dialect in DIALECTS {
        let messages = decode_all(dialect, &conversation(dialect).concat(), usize::MAX);
        let heads: Vec<_> = messages.iter().map(|message| (message.kind(), message.id())).collect();
        let expected = [(Kind::Request, 1), (Kind::Oneway, 200), (Kind::Error, 70_000), (Kind::Error, 0xffff_ffff)];
        assert_eq!(heads, expected.map(|(kind, id)| (kind, Id::Number(id))), "{dialect:?}");
    }
}

#[test]
fn multiplexed_names_are_split_at_the_first_colon() {
    for dialect in DIALECTS {
        let call = decode(dialect, &frame(dialect, CALL, b"S:add:x", 1, &[0]));
        let attrs = ["method", "thrift.service", "THRIFT.METHOD"].map(|key| call.attr(key));
        assert_eq!(attrs, [Some(&b"S:add:x"[..]), Some(b"S"), Some(b"add:x")], "{dialect:?}");
        let call = decode(dialect, &frame(dialect, CALL, b"add", 1, &[0]));
        assert_eq!(["thrift.service", "thrift.method"].map(|key| call.attr(key)), [None, Some(&b"add"[..])]);
    }
}

/// Of these, C++ servers call `S:add`, and Node servers what stands between the first two colons.
#[test]
fn names_that_servers_split_in_different_ways_are_ambiguous() {
    let is_ambiguous = |dialect, name: &[u8]| {
        let call = decode(dialect, &frame(dialect, CALL, name, 1, &[0]));
        ["method", "thrift.service", "thrift.method"].map(|key| call.is_ambiguous(key))
    };
    for dialect in DIALECTS {
        for name in [&b":S:add"[..], b"S::add", b"S:add:", b"S:add:x", b"S:"] {
            assert_eq!(is_ambiguous(dialect, name), [true; 3], "{dialect:?} {name:?}");
        }
        for name in [&b"S:add"[..], b"add"] {
            assert_eq!(is_ambiguous(dialect, name), [false; 3], "{dialect:?} {name:?}");
        }
    }
}

#[test]
fn only_demanded_attributes_are_read() {
    let call = message(Encoding::Binary, CALL, b"S:add", 1, &[0]);
    let headers: &[(&[u8], &[u8])] = &[(b"user", b"alice"), (b"trace", b"abc")];
    let bytes = wrap(Transport::Header, Encoding::Binary, 1, headers, false, &call);
    let mut framer = Framer::new(Thrift::default().codec(Role::Server, &Limits::default()));
    let decoded = decode_with(&mut framer, &bytes, &Demand::of(["USER", "thrift.service"])).expect("a good frame");
    assert_eq!(decoded.attrs().collect::<Vec<_>>(), [(&b"thrift.service"[..], &b"S"[..]), (b"user", b"alice")]);
    let decoded = decode_with(&mut framer, &bytes, &Demand::none()).expect("a good frame");
    assert_eq!((decoded.kind(), decoded.attrs().count()), (Kind::Request, 0));
}

/// Old fbthrift reads persistent headers, block 2, as well; other servers may not stop at padding.
#[test]
fn headers_of_which_a_server_may_read_more_are_ambiguous() {
    let call = message(Encoding::Binary, CALL, b"add", 7, &[0]);
    let judged = |info: &[u8], demand: &Demand| {
        let mut block = [&[0, 0], info].concat();
        block.resize(block.len().next_multiple_of(4), 0);
        let words = [0, u8::try_from(block.len() / 4).expect("short")];
        let frame = [&b"\x0f\xff\0\0\0\0\0\x07"[..], &words, &block, &call].concat();
        let frame = [&u32::try_from(frame.len()).expect("short").to_be_bytes()[..], &frame].concat();
        let mut framer = Framer::new(codec((Transport::Header, Encoding::Binary), Role::Server));
        let message = decode_with(&mut framer, &frame, demand).expect("a good frame");
        ["role", "method"].map(|key| (message.attr(key).map(<[u8]>::to_vec), message.is_ambiguous(key)))
    };
    let method = (Some(b"add".to_vec()), false);
    let demand = Demand::of(["role", "method"]);
    for (info, role) in [
        (&b"\x02\x01\x04role\x05admin"[..], &b""[..]),
        (b"\x01\x01\x04role\x04user\x02\x01\x04role\x05admin", b"user"),
        (b"\0\x01\x01\x04role\x05admin", b""),
        (b"\x80", b""),
    ] {
        assert_eq!(judged(info, &demand), [(Some(role.to_vec()), true), method.clone()], "{info:?}");
        assert!(judged(info, &Demand::all())[0].1, "{info:?}");
        assert_eq!(judged(info, &Demand::of(["method"])), [(None, false), method.clone()], "{info:?}");
    }
    for (info, role) in [(&b""[..], None), (b"\0\0\0", None), (b"\x01\x01\x04role\x04user", Some(b"user".to_vec()))] {
        for demand in [&demand, &Demand::all()] {
            assert_eq!(judged(info, demand), [(role.clone(), false), method.clone()], "{info:?}");
        }
    }
}

#[test]
fn outcomes_are_told_without_the_definition() {
    for dialect in DIALECTS {
        let compact = dialect.1 == Encoding::Compact;
        let status = |of, body: &[u8]| {
            let reply = decode(dialect, &frame(dialect, of, b"add", 1, body));
            (reply.kind(), reply.status().outcome(), reply.status().code())
        };
        let returned: &[u8] = if compact { &[0x05, 0, 2, 0] } else { &[8, 0, 0, 0, 0, 0, 1, 0] };
        assert_eq!(status(REPLY, returned), (Kind::Response, Outcome::Ok, 0), "{dialect:?}");
        assert_eq!(status(REPLY, &[0]), (Kind::Response, Outcome::Ok, 0), "{dialect:?}: void");
        let declared = string_body(dialect.1, b"no such user");
        assert_eq!(status(REPLY, &declared), (Kind::Error, Outcome::Ok, 0), "{dialect:?}: declared exception");
        // The type may come in front of the text, and unknown fields anywhere.
        let failed: &[u8] = if compact { &[0x53, 1, 0x05, 4, 8, 0] } else { &[3, 0, 5, 1, 8, 0, 2, 0, 0, 0, 4, 0] };
        assert_eq!(status(EXCEPTION, failed), (Kind::Error, Outcome::Error, 4), "{dialect:?}: failure");
        assert_eq!(status(EXCEPTION, &declared), (Kind::Error, Outcome::Error, 0), "{dialect:?}: without a type");
    }
}

#[test]
fn ids_can_be_changed_and_changed_back() {
    for dialect in DIALECTS {
        let original = frame(dialect, CALL, b"add", 300, &string_body(dialect.1, b"text"));
        for id in [0, 1, 127, 128, 16_384, 0x7fff_ffff, 0xffff_ffff] {
            let mut message = decode(dialect, &original);
            message.set_id(id);
            let mut out = Output::new();
            codec(dialect, Role::Client).encode(&message, &mut out).expect("a good message");
            let mut changed = decode(dialect, &drain(&mut out));
            assert_eq!((changed.id(), changed.attr("method")), (Id::Number(id), Some(&b"add"[..])), "{dialect:?}");
            changed.set_id(300);
            codec(dialect, Role::Client).encode(&changed, &mut out).expect("a good message");
            assert_eq!(drain(&mut out), original, "{dialect:?} by way of {id}");
        }
    }
}

#[test]
fn large_payloads_are_shared_under_any_id() {
    for dialect in DIALECTS {
        let mut message = decode(dialect, &frame(dialect, CALL, b"add", 1, &string_body(dialect.1, &[b'x'; 100_000])));
        message.set_id(77_777);
        let mut out = Output::new();
        codec(dialect, Role::Client).encode(&message, &mut out).expect("a good message");
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        assert_eq!(out.chunks_vectored(&mut slices), 2, "{dialect:?}");
        assert!(slices[0].len() < 100, "{dialect:?} copies {} bytes", slices[0].len());
        assert!(message.frame().as_ptr_range().contains(&slices[1].as_ptr()), "{dialect:?} copies the payload");
    }
}

#[test]
fn a_header_number_that_differs_comes_back() {
    for encoding in [Encoding::Binary, Encoding::Compact] {
        let call = message(encoding, CALL, b"add", 0, &[0]);
        let original = wrap(Transport::Header, encoding, 14, &[], false, &call);
        let mut decoded = decode((Transport::Header, encoding), &original);
        let id = decoded.id().number();
        decoded.set_id(900);
        let mut out = Output::new();
        let mut upstream = Thrift::default().codec(Role::Client, &Limits::default());
        upstream.encode(&decoded, &mut out).expect("a good message");
        let sent = drain(&mut out);
        let view = thrift::message(&sent).expect("a good frame");
        assert_eq!((view.seq_id(), view.header().map(|header| header.seq_id())), (900, Some(900)));
        let reply = wrap(Transport::Header, encoding, 900, &[], false, &message(encoding, REPLY, b"add", 900, &[0]));
        let mut reply = decode_with(&mut Framer::new(upstream), &reply, &Demand::none()).expect("a good frame");
        assert_eq!(reply.id(), Id::Number(900));
        reply.set_id(id);
        codec((Transport::Header, encoding), Role::Server).encode(&reply, &mut out).expect("a good message");
        let answered = drain(&mut out);
        let view = thrift::message(&answered).expect("a good frame");
        assert_eq!((view.seq_id(), view.header().map(|header| header.seq_id())), (0, Some(14)), "{encoding:?}");
    }
}

#[test]
fn an_inflated_payload_is_written_plain_under_another_id() {
    for encoding in [Encoding::Binary, Encoding::Compact] {
        let call = message(encoding, CALL, b"S:echo", 5, &string_body(encoding, &[b'z'; 5000]));
        let bytes = wrap(Transport::Header, encoding, 5, &[(b"k", b"v")], true, &deflate(&call));
        let mut decoded = decode((Transport::Header, encoding), &bytes);
        assert_eq!(
            ["method", "thrift.service", "k"].map(|key| decoded.attr(key)),
            [Some(&b"S:echo"[..]), Some(b"S"), Some(b"v")]
        );
        let mut out = Output::new();
        let mut upstream = codec((Transport::Header, encoding), Role::Client);
        upstream.encode(&decoded, &mut out).expect("a good message");
        assert_eq!(drain(&mut out), bytes, "{encoding:?}: its own id");
        decoded.set_id(6);
        upstream.encode(&decoded, &mut out).expect("a good message");
        let written = drain(&mut out);
        let view = thrift::message(&written).expect("a good frame");
        view.check().expect("a good struct");
        assert_eq!((view.seq_id(), view.header().map(|h| h.is_deflated())), (6, Some(false)), "{encoding:?}");
        assert!(matches!(view.body().field(1), Some(Value::String(text)) if text == [b'z'; 5000]));
    }
}

#[test]
fn an_id_that_the_transport_cannot_carry_is_refused() {
    for dialect in DIALECTS.into_iter().filter(|(transport, _)| *transport != Transport::Header) {
        let mut message = decode(dialect, &frame(dialect, CALL, b"add", 1, &[0]));
        message.set_id(1 << 32);
        let mut out = Output::new();
        assert_eq!(codec(dialect, Role::Client).encode(&message, &mut out), Err(EncodeError::BadId));
        assert!(out.is_empty());
    }
}

#[test]
fn dialects_stay_for_the_life_of_a_connection() {
    let mut framer = Framer::new(Thrift::default().codec(Role::Server, &Limits::default()));
    let dialect = |encoding| (Transport::Framed, encoding);
    let binary = frame(dialect(Encoding::Binary), CALL, b"add", 1, &[0]);
    let compact = frame(dialect(Encoding::Compact), CALL, b"add", 1, &[0]);
    decode_with(&mut framer, &binary, &Demand::all()).expect("a good frame");
    let error = decode_with(&mut framer, &compact, &Demand::all()).expect_err("another encoding");
    assert_eq!((error.kind(), error.offset(), error.is_fatal()), (DecodeErrorKind::BadMagic, 4, false));
    decode_with(&mut framer, &binary, &Demand::all()).expect("a good frame");
}

#[test]
fn servers_are_read_in_the_dialect_they_were_asked_in() {
    for dialect in DIALECTS {
        let mut codec = Thrift::default().codec(Role::Client, &Limits::default());
        let call = decode(dialect, &frame(dialect, CALL, b"add", 1, &[0]));
        codec.encode(&call, &mut Output::new()).expect("a good message");
        let reply = frame(dialect, REPLY, b"add", 1, &[0]);
        let reply = decode_with(&mut Framer::new(codec), &reply, &Demand::all()).expect("a good frame");
        assert_eq!((reply.kind(), reply.head().dialect()), (Kind::Response, call.head().dialect()), "{dialect:?}");
    }
}

#[test]
fn strict_messages_are_read_where_old_ones_are_allowed() {
    for transport in [Transport::Unframed, Transport::Framed, Transport::Header] {
        let bytes = frame((transport, Encoding::Binary), CALL, b"add", 1, &[0]);
        let strict = decode((transport, Encoding::BinaryOld), &bytes);
        let old = frame((transport, Encoding::BinaryOld), CALL, b"add", 1, &[0]);
        let old = decode((transport, Encoding::BinaryOld), &old);
        assert_ne!(strict.head().dialect(), old.head().dialect(), "{transport:?}: each is answered in its own form");
    }
}

#[test]
fn heads_are_read_from_the_announced_part_of_a_frame() {
    for dialect in DIALECTS {
        for of in [CALL, REPLY, EXCEPTION] {
            let bytes = frame(dialect, of, &[b'm'; 1024], 9, &string_body(dialect.1, &[b'x'; 20_000]));
            let mut codec = codec(dialect, Role::Server);
            let Ok(aeraki_codec::Measure::Frame { head, len }) = codec.measure(&bytes) else { panic!("a whole frame") };
            assert!(head < 10_000 && len == bytes.len() as u64, "{dialect:?}: {head} of {len}");
            let read = |part: &[u8], codec: &mut dyn Codec| {
                let mut out = aeraki_codec::Head::new();
                codec.parse(part, &Demand::all(), &mut out).expect("a good head");
                (out.kind(), out.id(), out.status(), out.head_len(), out.notes(), out.attributes().len())
            };
            assert_eq!(read(&bytes[..head], &mut *codec), read(&bytes, &mut *codec), "{dialect:?}");
        }
    }
}

#[test]
fn a_client_is_told_by_its_first_bytes() {
    for dialect in DIALECTS.into_iter().filter(|dialect| dialect.1 != Encoding::BinaryOld) {
        let first = frame(dialect, CALL, b"add", 1, &string_body(dialect.1, b"text"));
        for protocol in [Thrift::default(), Thrift::fixed(dialect.0, dialect.1)] {
            let mut told = (0..=6).map(|len| protocol.detect(&first[..len]));
            let decided = told.find(|told| *told != Some(Detection::More));
            assert_eq!(decided, Some(Some(Detection::Yes)), "{dialect:?}");
        }
    }
    let old = Thrift::fixed(Transport::Framed, Encoding::BinaryOld);
    assert_eq!(old.detect(b""), None, "the old form cannot be told");
    let framed = Thrift::fixed(Transport::Framed, Encoding::Binary);
    assert_eq!(framed.detect(b"\x80\x01\0\x01"), Some(Detection::No), "another transport");
    assert_eq!(Thrift::default().detect(b"GET / HTTP/1.1"), Some(Detection::No));
}

#[test]
fn a_client_that_begins_with_a_frame_of_no_possible_length_speaks_something_else() {
    for (length, told) in [(16_384_000_u32, Detection::Yes), (16_384_001, Detection::No), (0x7fff_ffff, Detection::No)]
    {
        for start in [[0x80, 0x01], [0x82, 0x21], [0x0f, 0xff]] {
            let first = [&length.to_be_bytes()[..], &start[..]].concat();
            assert_eq!(Thrift::default().detect(&first), Some(told), "{length} {start:x?}");
        }
    }
}
