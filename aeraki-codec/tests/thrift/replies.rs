//! Answers by the proxy, read back as a client would.

use aeraki_codec::{
    Answer, Demand, EncodeError, Framer, Head, Limits, LocalReply, Message, Output, Protocol, Reason, Role,
    thrift::{self, Encoding, MessageType, Thrift, Transport, Value},
};
use bytes::{Buf, Bytes};

use super::wire::{
    CALL, DIALECTS, ONEWAY, codec, decode, decode_with, deflate, drain, frame, message, string_body, wrap,
};

fn reply(dialect: (Transport, Encoding), to: &Message, reply: &LocalReply) -> Result<(Answer, Bytes), EncodeError> {
    let mut out = Output::new();
    let answer = codec(dialect, Role::Server).reply(&to.receipt(), reply, &mut out)?;
    Ok((answer, drain(&mut out)))
}

#[test]
fn every_reason_is_an_exception_in_the_dialect_of_the_request() {
    for dialect in DIALECTS {
        let call = decode(dialect, &frame(dialect, CALL, b"Calculator:add", 0x8000_0001, &[0]));
        for reason in Reason::ALL {
            let (answer, written) = reply(dialect, &call, &LocalReply::new(*reason, "no luck")).expect("a reply");
            assert_eq!(answer, Answer::Written);
            let view = thrift::message_as(&written, dialect.0, dialect.1).expect("a good frame");
            view.check().expect("a good struct");
            assert_eq!((view.transport(), view.encoding()), dialect);
            assert_eq!((view.message_type(), view.name()), (MessageType::Exception, &b"add"[..]));
            assert_eq!(
                (view.seq_id(), view.header().map(|h| h.seq_id())),
                (i32::MIN + 1, (dialect.0 == Transport::Header).then_some(i32::MIN + 1))
            );
            let code = match reason {
                Reason::RouteNotFound => 1,
                Reason::BadRequest | Reason::BadResponse => 7,
                _ => 6,
            };
            let (text, found) = (view.body().field(1), view.body().field(2));
            assert!(matches!(text, Some(Value::String(b"no luck"))), "{dialect:?} {reason}: {text:?}");
            assert!(matches!(found, Some(Value::I32(found)) if found == code), "{dialect:?} {reason}: {found:?}");
        }
    }
}

#[test]
fn a_status_that_is_said_to_be_written_is() {
    for dialect in DIALECTS {
        let call = decode(dialect, &frame(dialect, CALL, b"add", 4, &[0]));
        for status in 0..300 {
            let asked = LocalReply::new(Reason::Fault, "no luck").with_status(status);
            let (_, written) = reply(dialect, &call, &asked).expect("a reply");
            let view = thrift::message_as(&written, dialect.0, dialect.1).expect("a good frame");
            let found = view.body().field(2);
            let is_written = matches!(found, Some(Value::I32(found)) if u32::try_from(found) == Ok(status));
            assert_eq!(Thrift::default().writes_status(status), is_written, "{dialect:?} {status}");
        }
    }
    assert!(Thrift::default().writes_status(63) && !Thrift::default().writes_status(64));
}

#[test]
fn replies_are_the_documented_bytes() {
    let no_route = LocalReply::new(Reason::RouteNotFound, "Unknown function add");
    let dialect = (Transport::Framed, Encoding::Compact);
    let call = decode(dialect, &frame(dialect, CALL, b"add", 4, &[0]));
    let (_, written) = reply(dialect, &call, &no_route).expect("a reply");
    assert_eq!(written[..], b"\0\0\0\x20\x82\x61\x04\x03add\x18\x14Unknown function add\x15\x02\0"[..]);
    let dialect = (Transport::Framed, Encoding::Binary);
    let call = decode(dialect, &frame(dialect, CALL, b"add", 4, &[0]));
    let (_, written) = reply(dialect, &call, &no_route).expect("a reply");
    let expected =
        b"\0\0\0\x32\x80\x01\0\x03\0\0\0\x03add\0\0\0\x04\x0b\0\x01\0\0\0\x14Unknown function add\x08\0\x02\0\0\0\x01\0";
    assert_eq!(written[..], expected[..]);
}

#[test]
fn a_reply_without_a_text_names_its_reason() {
    let dialect = (Transport::Framed, Encoding::Binary);
    let call = decode(dialect, &frame(dialect, CALL, b"add", 4, &[0]));
    let (_, written) = reply(dialect, &call, &LocalReply::new(Reason::Timeout, "")).expect("a reply");
    let view = thrift::message(&written).expect("a good frame");
    assert!(matches!(view.body().field(1), Some(Value::String(b"timeout"))));
}

#[test]
fn one_way_calls_are_never_answered() {
    for dialect in DIALECTS {
        let call = decode(dialect, &frame(dialect, ONEWAY, b"ping", 4, &[0]));
        let (_, written) = reply(dialect, &call, &LocalReply::new(Reason::Timeout, "late")).expect("no reply");
        assert!(written.is_empty(), "{dialect:?}");
    }
}

#[test]
fn an_inflated_call_is_answered_plainly() {
    let call = message(Encoding::Compact, CALL, b"S:echo", 5, &string_body(Encoding::Compact, &[b'z'; 500]));
    let call = wrap(Transport::Header, Encoding::Compact, 5, &[], true, &deflate(&call));
    let dialect = (Transport::Header, Encoding::Compact);
    let (_, written) = reply(dialect, &decode(dialect, &call), &LocalReply::new(Reason::Shed, "busy")).expect("reply");
    let view = thrift::message(&written).expect("a good frame");
    assert_eq!((view.name(), view.seq_id(), view.encoding()), (&b"echo"[..], 5, Encoding::Compact));
    assert_eq!(view.header().map(|header| header.is_deflated()), Some(false));
}

#[test]
fn a_call_whose_method_is_refused_can_be_answered() {
    for dialect in DIALECTS {
        let bytes = Bytes::from(frame(dialect, CALL, &[b'm'; 1025], 77, &[0]));
        let mut codec = codec(dialect, Role::Server);
        let mut head = Head::new();
        codec.measure(&bytes).expect("a whole frame");
        let error = codec.parse(&bytes, &Demand::all(), &mut head).expect_err("too long a name");
        assert_eq!(error.kind().as_str(), "bad_method");
        let mut out = Output::new();
        let receipt = Message::new(bytes, head).receipt();
        let answer = codec.reply(&receipt, &LocalReply::new(Reason::BadRequest, error.to_string()), &mut out);
        assert_eq!(answer, Ok(Answer::Written));
        let written = drain(&mut out);
        let view = thrift::message_as(&written, dialect.0, dialect.1).expect("a good frame");
        assert_eq!((view.seq_id(), view.name()), (77, &b""[..]), "{dialect:?}");
    }
}

#[test]
fn what_has_no_number_is_answered_by_closing() {
    let mut framer = Framer::new(Thrift::default().codec(Role::Server, &Limits::default()));
    let good = frame((Transport::Framed, Encoding::Binary), CALL, b"add", 4, &[0]);
    decode_with(&mut framer, &good, &Demand::all()).expect("a good frame");
    let frame = Bytes::from_static(b"\0\0\0\x04\x80\x01\0\x09");
    let mut head = Head::new();
    framer.codec().parse(&frame, &Demand::all(), &mut head).expect_err("a bad type");
    let receipt = Message::new(frame, head).receipt();
    let mut out = Output::new();
    let answer = framer.codec().reply(&receipt, &LocalReply::new(Reason::BadRequest, "bad"), &mut out);
    assert_eq!((answer, out.remaining()), (Ok(Answer::Close), 0));
}
