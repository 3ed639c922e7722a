//! Thrift: whatever comes in, nothing panics, what is one message is written back byte for byte, nothing else is
//! written, and every change reads back.

use aeraki_codec::{
    Answer, Codec, Decoded, Demand, Framer, Kind, Limits, LocalReply, Message, Output, Protocol, Reason, Role,
    thrift::{self, Encoding, Struct, Thrift, Transport, Value},
};
use arbitrary::Arbitrary;
use bytes::BytesMut;

use super::wire::{self, DIALECTS};

/// Takes a byte that chooses the dialect and the size of the pieces, and then what a peer sends.
pub(crate) fn raw(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let protocol = match DIALECTS.get(usize::from(mode & 15)) {
        Some((transport, encoding)) => Thrift::fixed(*transport, *encoding),
        None => Thrift::default(),
    };
    let step = [usize::MAX, 1, 2, 3, 5, 8, 13, 64][usize::from(mode >> 4 & 7)];
    feed(&protocol, bytes, step);
}

/// A message that is right but for what `damage` changes in it.
#[derive(Arbitrary, Debug)]
pub(crate) struct Input {
    dialect: u8,
    step: u8,
    of: u8,
    name: Vec<u8>,
    seq_id: u32,
    header_seq_id: u32,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    deflated: bool,
    text: Vec<u8>,
    id: u32,
    set: Option<(Vec<u8>, Vec<u8>)>,
    damage: Vec<(u16, u8)>,
}

/// Takes a message that is well formed, changes it, and reads it back.
pub(crate) fn structured(input: &Input) {
    let dialect = DIALECTS[usize::from(input.dialect) % DIALECTS.len()];
    let (transport, encoding) = dialect;
    let call =
        wire::message(encoding, input.of % 4 + 1, &input.name, input.seq_id, &wire::string_body(encoding, &input.text));
    let payload = if input.deflated && transport == Transport::Header { wire::deflate(&call) } else { call };
    let headers: Vec<(&[u8], &[u8])> = input.headers.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    let mut bytes = wire::wrap(transport, encoding, input.header_seq_id, &headers, input.deflated, &payload);
    let protocol = Thrift::fixed(transport, encoding);
    if input.damage.is_empty() && bytes.len() < 60_000 && input.name.len() <= Limits::default().method {
        change(&wire::decode(dialect, &bytes), input);
    }
    for (at, byte) in &input.damage {
        let at = usize::from(*at) % bytes.len();
        bytes[at] ^= byte;
    }
    feed(&protocol, &bytes, usize::from(input.step).max(1));
}

/// Writes a good message under another id and with another header, and reads it back.
fn change(message: &Message, input: &Input) {
    let head = message.head();
    let mut changed = message.clone();
    changed.set_id(u64::from(input.id));
    if let Some((key, value)) = input.set.as_ref().filter(|_| head.is_mutable()) {
        changed.mutation_mut().set(key.clone(), value.clone());
    }
    let dialect = DIALECTS[usize::from(input.dialect) % DIALECTS.len()];
    let mut out = Output::new();
    if wire::codec(dialect, Role::Client).encode(&changed, &mut out).is_err() {
        assert!(out.is_empty(), "half a message was written");
        return;
    }
    let written = wire::decode(dialect, &wire::drain(&mut out));
    assert_eq!((written.kind(), written.status()), (message.kind(), message.status()));
    assert_eq!(written.id().number(), u64::from(input.id));
    assert_eq!(written.attr("method"), message.attr("method"));
    if let Some((key, value)) = input.set.as_ref().filter(|_| head.is_mutable()) {
        let key = String::from_utf8_lossy(key);
        assert!(written.attr(&key).is_none_or(|found| found == value), "{key} was not set");
    }
}

fn feed(protocol: &Thrift, bytes: &[u8], step: usize) {
    let limits = Limits { frame: Some(1 << 20), ..Limits::default() };
    let mut framer = Framer::new(protocol.codec(Role::Server, &limits));
    let mut input = BytesMut::new();
    for part in bytes.chunks(step) {
        input.extend_from_slice(part);
        loop {
            match framer.decode(&mut input, &Demand::all()) {
                Ok(Decoded::Message(message)) => {
                    forward(framer.codec(), &message);
                    answer(framer.codec(), &message);
                }
                Ok(Decoded::Invalid(message, _)) => answer(framer.codec(), &message),
                Ok(_) => break,
                Err(error) => {
                    assert!(error.is_fatal());
                    return;
                }
            }
        }
    }
}

fn forward(codec: &mut dyn Codec, message: &Message) {
    let mut out = Output::new();
    match codec.encode(message, &mut out) {
        Ok(()) => assert_eq!(wire::drain(&mut out), message.frame()),
        Err(_) => assert!(out.is_empty(), "half a message was written"),
    }
    for dialect in DIALECTS {
        if let Ok(view) = thrift::message_as(message.frame(), dialect.0, dialect.1) {
            let seen = visit(&view.body(), &mut 10_000);
            assert!(seen || view.check().is_err(), "a struct that passes can be read");
        }
    }
}

fn answer(codec: &mut dyn Codec, message: &Message) {
    let mut out = Output::new();
    let reply = LocalReply::new(Reason::BadRequest, "bad");
    let answer = codec.reply(&message.receipt(), &reply, &mut out).expect("a short reply");
    if answer == Answer::Written && message.kind() != Kind::Oneway {
        let written = wire::drain(&mut out);
        let dialects = DIALECTS.iter().filter(|(_, encoding)| *encoding != Encoding::BinaryOld || written[0] == 0);
        let read =
            dialects.filter_map(|(transport, encoding)| thrift::message_as(&written, *transport, *encoding).ok());
        assert!(read.into_iter().any(|view| view.check().is_ok()), "{written:?}");
    }
}

/// Reads all values, as many as `left` says; tells whether all could be read.
fn visit(body: &Struct<'_>, left: &mut u32) -> bool {
    body.fields().all(|field| field.is_ok_and(|(_, value)| visit_value(&value, left)))
}

fn visit_value(value: &Value<'_>, left: &mut u32) -> bool {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return true;
    }
    match value {
        Value::Struct(body) => visit(body, left),
        Value::List(items) | Value::Set(items) => {
            items.iter().all(|item| item.is_ok_and(|item| visit_value(&item, left)))
        }
        Value::Map(pairs) => {
            pairs.iter().all(|pair| pair.is_ok_and(|(key, value)| visit_value(&key, left) && visit_value(&value, left)))
        }
        _ => true,
    }
}
