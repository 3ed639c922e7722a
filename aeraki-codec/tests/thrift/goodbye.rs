//! Servers that want no further requests say so in the header of an answer.

use aeraki_codec::{
    Codec, Control, Demand, Flow, Framer, LocalReply, Message, Output, Reason, Role,
    thrift::{self, Encoding, Transport},
};
use bytes::Bytes;

use super::wire::{
    CALL, DIALECTS, REPLY, codec, decode, decode_with, deflate, drain, frame, message, string_body, wrap,
};

type Pair<'a> = (&'a [u8], &'a [u8]);

const ENCODINGS: [Encoding; 2] = [Encoding::Binary, Encoding::Compact];

fn answer(encoding: Encoding, headers: &[Pair<'_>], deflated: bool) -> Vec<u8> {
    let answer = message(encoding, REPLY, b"add", 300, &string_body(encoding, b"result"));
    let payload = if deflated { deflate(&answer) } else { answer };
    wrap(Transport::Header, encoding, 300, headers, deflated, &payload)
}

/// Reads an answer as the proxy does, whoever wants to know its headers.
fn of_server(encoding: Encoding, frame: &[u8], demand: &Demand) -> Message {
    let mut framer = Framer::new(codec((Transport::Header, encoding), Role::Client));
    decode_with(&mut framer, frame, demand).expect("a good frame")
}

/// Returns the codec of a client's connection, whose header it has seen.
fn to_client(encoding: Encoding, leaving: bool) -> Box<dyn Codec> {
    let mut codec = codec((Transport::Header, encoding), Role::Server);
    let mut out = Output::new();
    if leaving {
        assert_eq!(codec.control(Control::Goodbye, &mut out), Ok(Flow::Handled));
    }
    assert!(out.is_empty(), "there is nothing to say it with before an answer");
    codec
}

fn encode(codec: &mut dyn Codec, message: &Message) -> Bytes {
    let mut out = Output::new();
    codec.encode(message, &mut out).expect("a good message");
    drain(&mut out)
}

fn pairs(frame: &[u8]) -> Vec<Pair<'_>> {
    let view = thrift::message(frame).expect("a good frame");
    view.check().expect("a good struct");
    view.header().expect("a header").pairs().collect::<Result<_, _>>().expect("good headers")
}

const GOODBYE: Pair<'_> = (b":drain", b"true");

#[test]
fn it_is_heard_of_servers_in_whatever_case() {
    for encoding in ENCODINGS {
        for deflated in [false, true] {
            for (key, said) in [(b":drain", true), (b":Drain", true), (b"drain:", false)] {
                let frame = answer(encoding, &[(b"a", b"1"), (key, b"")], deflated);
                let read = of_server(encoding, &frame, &Demand::none());
                assert_eq!(read.head().says_goodbye(), said, "{encoding:?} {key:?}");
            }
            assert!(!of_server(encoding, &answer(encoding, &[], deflated), &Demand::all()).head().says_goodbye());
        }
        let call = wrap(Transport::Header, encoding, 1, &[GOODBYE], false, &message(encoding, CALL, b"add", 1, &[0]));
        assert!(!decode((Transport::Header, encoding), &call).head().says_goodbye(), "a client only leaves");
    }
}

#[test]
fn it_is_not_passed_on() {
    for encoding in ENCODINGS {
        for deflated in [false, true] {
            let frame = answer(encoding, &[(b"a", b"1"), GOODBYE, (b"b", b"2")], deflated);
            let mut read = of_server(encoding, &frame, &Demand::all());
            let kept: [Pair<'_>; 2] = [(b"a", b"1"), (b"b", b"2")];
            for id in [300, 7] {
                read.set_id(id);
                let written = encode(&mut *to_client(encoding, false), &read);
                assert_eq!(pairs(&written), kept, "{encoding:?}");
                let view = thrift::message(&written).expect("a good frame");
                assert_eq!((u64::from(view.seq_id().cast_unsigned()), view.name()), (id, &b"add"[..]));
            }
            read.mutation_mut().set("a", "other");
            let written = encode(&mut *to_client(encoding, false), &read);
            assert_eq!(pairs(&written), [(&b"b"[..], &b"2"[..]), (b"a", b"other")]);
        }
    }
}

#[test]
fn a_proxy_that_drains_says_it_with_every_answer() {
    for encoding in ENCODINGS {
        let mut codec = to_client(encoding, true);
        for (headers, expected) in [
            (vec![], vec![GOODBYE]),
            (vec![GOODBYE], vec![GOODBYE]),
            (vec![(&b":DRAIN"[..], &b"later"[..]), (b"a", b"1")], vec![(&b"a"[..], &b"1"[..]), GOODBYE]),
        ] {
            for deflated in [false, true] {
                let mut read = of_server(encoding, &answer(encoding, &headers, deflated), &Demand::none());
                assert_eq!(pairs(&encode(&mut *codec, &read)), expected, "{encoding:?}");
                read.set_id(7);
                assert_eq!(pairs(&encode(&mut *codec, &read)), expected, "{encoding:?}");
            }
        }
        let call = decode((Transport::Header, encoding), &frame((Transport::Header, encoding), CALL, b"add", 4, &[0]));
        let mut out = Output::new();
        codec.reply(&call.receipt(), &LocalReply::new(Reason::Timeout, "late"), &mut out).expect("a reply");
        assert_eq!(pairs(&drain(&mut out)), [GOODBYE], "{encoding:?}");
    }
}

#[test]
fn an_answer_without_room_for_it_goes_without_it() {
    // one word of a header as long as it may be holds protocol, transforms, and the rest of the block's own
    let value = vec![b'v'; 65_535 * 4 - 9];
    let bytes = answer(Encoding::Binary, &[(b"k", &value)], false);
    let read = of_server(Encoding::Binary, &bytes, &Demand::none());
    assert_eq!(encode(&mut *to_client(Encoding::Binary, true), &read)[..], bytes);
}

#[test]
fn only_a_header_can_say_it_and_only_to_a_client() {
    for dialect in DIALECTS {
        let mut out = Output::new();
        let said = if dialect.0 == Transport::Header { Flow::Handled } else { Flow::Ignored };
        assert_eq!(codec(dialect, Role::Server).control(Control::Goodbye, &mut out), Ok(said), "{dialect:?}");
        assert_eq!(codec(dialect, Role::Client).control(Control::Goodbye, &mut out), Ok(Flow::Ignored));
        assert_eq!(codec(dialect, Role::Server).control(Control::Ping, &mut out), Ok(Flow::Ignored));
    }
}
