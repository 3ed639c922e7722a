//! What reading and writing a Dubbo message costs, beside a parser written by hand for this one message.
//!
//! `cargo bench -p aeraki-codec --bench dubbo`; the argument is the length of the payload in bytes.

use aeraki_codec::{Codec, Demand, Head, Limits, Message, Output, Protocol, Role, dubbo::Dubbo, hessian2::Reader};
use bytes::{Buf, Bytes};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const PAYLOADS: [usize; 3] = [128, 1024, 65_536];

/// A Java request with a string argument of this length and four attachments.
fn request(payload: usize) -> Bytes {
    let mut body = Vec::new();
    let mut put = |text: &str| aeraki_codec::hessian2::write::string(&mut body, text);
    for field in ["2.0.2", "org.apache.dubbo.demo.DemoService", "1.0.0", "sayHello", "Ljava/lang/String;"] {
        put(field);
    }
    put(&"x".repeat(payload));
    body.push(b'H');
    let mut put = |text: &str| aeraki_codec::hessian2::write::string(&mut body, text);
    for text in [
        "path",
        "org.apache.dubbo.demo.DemoService",
        "interface",
        "org.apache.dubbo.demo.DemoService",
        "version",
        "1.0.0",
        "timeout",
        "1000",
    ] {
        put(text);
    }
    body.push(b'Z');
    frame(0xc2, 0, &body)
}

fn response() -> Bytes {
    frame(0x02, 20, b"\x94\x05helloH\x05dubbo\x052.0.2Z")
}

fn frame(flags: u8, status: u8, body: &[u8]) -> Bytes {
    let len = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[0xda, 0xbb, flags, status, 0, 0, 0, 0, 0, 0, 0, 7][..], &len, body].concat().into()
}

fn codec(role: Role) -> Box<dyn Codec> {
    Dubbo::default().codec(role, &Limits::default())
}

fn decode(bencher: Bencher<'_, '_>, frame: &Bytes, demand: &Demand) {
    let mut codec = codec(Role::Server);
    bencher.bench_local(move || {
        let frame = black_box(&frame[..]);
        let measured = codec.measure(frame);
        let mut head = Head::new();
        let parsed = codec.parse(frame, demand, &mut head);
        (measured, parsed, head)
    });
}

#[divan::bench(args = PAYLOADS)]
fn length_only(bencher: Bencher<'_, '_>, payload: usize) {
    let (mut codec, frame) = (codec(Role::Server), request(payload));
    bencher.bench_local(|| codec.measure(black_box(&frame)));
}

#[divan::bench(args = PAYLOADS)]
fn method(bencher: Bencher<'_, '_>, payload: usize) {
    decode(bencher, &request(payload), &Demand::of(["method"]));
}

#[divan::bench(args = PAYLOADS)]
fn method_by_hand(bencher: Bencher<'_, '_>, payload: usize) {
    let frame = request(payload);
    bencher.bench_local(|| by_hand::head(black_box(&frame)));
}

#[divan::bench(args = PAYLOADS)]
fn identity(bencher: Bencher<'_, '_>, payload: usize) {
    decode(bencher, &request(payload), &Demand::of(["interface", "version", "group", "method"]));
}

#[divan::bench(args = PAYLOADS)]
fn everything(bencher: Bencher<'_, '_>, payload: usize) {
    decode(bencher, &request(payload), &Demand::all());
}

#[divan::bench(args = PAYLOADS)]
fn attachments_by_hand(bencher: Bencher<'_, '_>, payload: usize) {
    let frame = request(payload);
    bencher.bench_local(|| by_hand::attachments(black_box(&frame)));
}

#[divan::bench]
fn answer_id_and_status(bencher: Bencher<'_, '_>) {
    decode(bencher, &response(), &Demand::none());
}

#[divan::bench]
fn answer_by_hand(bencher: Bencher<'_, '_>) {
    let frame = response();
    bencher.bench_local(|| by_hand::answer(black_box(&frame)));
}

/// A list of this many objects of three fields, as a query returns them.
fn objects(count: usize) -> Vec<u8> {
    let mut list = b"C\x04User\x93\x02id\x04name\x03ageW".to_vec();
    for _ in 0..count {
        list.extend_from_slice(b"\x60L\0\0\0\0\0\0\0\x01\x05alice\xae");
    }
    list.push(b'Z');
    list
}

#[divan::bench(args = [1, 100])]
fn skip_objects(bencher: Bencher<'_, '_>, count: usize) {
    let list = objects(count);
    bencher.bench_local(|| Reader::new(black_box(&list), &Limits::default()).skip());
}

#[divan::bench(args = [128, 1024, 32_768])]
fn skip_chinese_text(bencher: Bencher<'_, '_>, characters: usize) {
    let mut text = Vec::new();
    aeraki_codec::hessian2::write::string(&mut text, &"你".repeat(characters));
    bencher.bench_local(|| Reader::new(black_box(&text), &Limits::default()).skip());
}

fn encode(bencher: Bencher<'_, '_>, payload: usize, change: impl FnOnce(&mut Message)) {
    let (mut codec, frame) = (codec(Role::Client), request(payload));
    let mut head = Head::new();
    codec.parse(&frame, &Demand::of(["interface"]), &mut head).expect("well-formed");
    let mut message = Message::new(frame, head);
    change(&mut message);
    let mut out = Output::new();
    bencher.bench_local(|| {
        codec.encode(black_box(&message), &mut out).expect("encodes");
        out.advance(out.remaining());
    });
}

#[divan::bench(args = PAYLOADS)]
fn encode_with_another_id(bencher: Bencher<'_, '_>, payload: usize) {
    encode(bencher, payload, |message| message.set_id(0x0001_0002_0003_0004));
}

#[divan::bench(args = PAYLOADS)]
fn encode_with_one_attachment_more(bencher: Bencher<'_, '_>, payload: usize) {
    encode(bencher, payload, |message| {
        message.mutation_mut().set("x-lane", "gray");
    });
}

/// What somebody writes who knows that all strings are ASCII and shorter than a chunk.
mod by_hand {
    type Parts<'a> = (u64, u8, &'a [u8], &'a [u8], &'a [u8]);
    type Pairs<'a> = [(&'a [u8], &'a [u8]); 8];

    pub(crate) fn head(frame: &[u8]) -> Option<(Parts<'_>, &[u8])> {
        let header = frame.get(..16)?;
        if header[..2] != [0xda, 0xbb] {
            return None;
        }
        let id = u64::from_be_bytes(header[4..12].try_into().ok()?);
        let len = u32::from_be_bytes(header[12..].try_into().ok()?) as usize;
        let body = frame.get(16..16 + len)?;
        let (_, body) = string(body)?;
        let (path, body) = string(body)?;
        let (version, body) = string(body)?;
        let (method, body) = string(body)?;
        Some(((id, header[2], path, version, method), body))
    }

    pub(crate) fn attachments(frame: &[u8]) -> Option<(Parts<'_>, Pairs<'_>)> {
        let (parts, body) = head(frame)?;
        let (types, mut body) = string(body)?;
        for _ in 0..types.iter().filter(|byte| **byte == b';').count() {
            body = string(body)?.1;
        }
        let mut body = body.strip_prefix(b"H")?;
        let (mut pairs, mut count) = ([(&[][..], &[][..]); 8], 0);
        while body.first() != Some(&b'Z') {
            let (key, rest) = string(body)?;
            let (value, rest) = string(rest)?;
            *pairs.get_mut(count)? = (key, value);
            count += 1;
            body = rest;
        }
        Some((parts, pairs))
    }

    pub(crate) fn answer(frame: &[u8]) -> Option<(u64, u8, u8)> {
        let header = frame.get(..17)?;
        if header[..2] != [0xda, 0xbb] {
            return None;
        }
        Some((u64::from_be_bytes(header[4..12].try_into().ok()?), header[3], header[16]))
    }

    fn string(body: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, mut rest) = match *body {
            [len @ 0..=0x1f, ref rest @ ..] => (usize::from(len), rest),
            [high @ 0x30..=0x33, low, ref rest @ ..] => (usize::from(high & 3) << 8 | usize::from(low), rest),
            [b'S', high, low, ref rest @ ..] => (usize::from(high) << 8 | usize::from(low), rest),
            [b'R', high, low, ref rest @ ..] => {
                let (chunk, rest) = rest.split_at_checked(usize::from(high) << 8 | usize::from(low))?;
                return if chunk.is_ascii() { string(rest) } else { None };
            }
            _ => return None,
        };
        let (text, after) = rest.split_at_checked(len)?;
        rest = after;
        text.is_ascii().then_some((text, rest))
    }
}
