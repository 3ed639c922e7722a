//! What it costs to read and to forward Thrift, beside parsers written by hand for nothing else.
//!
//! `cargo bench -p aeraki-codec --bench thrift`

use aeraki_codec::{
    Codec, Demand, Head, Limits, Message, Output, Protocol, Role,
    thrift::{Encoding, Thrift, Transport},
};
use bytes::{Buf, Bytes};
use divan::{Bencher, black_box};

const SIZES: [usize; 3] = [128, 1024, 64 * 1024];

fn main() {
    divan::main();
}

/// Frame bounds, kind, id and method: all that routing needs.
#[divan::bench_group]
mod head {
    use super::*;

    #[divan::bench(args = SIZES)]
    fn binary_framed_by_hand(bencher: Bencher<'_, '_>, size: usize) {
        let frame = call(Transport::Framed, Encoding::Binary, &string(Encoding::Binary, size));
        bencher.bench(|| by_hand::framed(black_box(&frame)));
    }

    #[divan::bench(args = SIZES)]
    fn binary_framed(bencher: Bencher<'_, '_>, size: usize) {
        decode(bencher, Transport::Framed, Encoding::Binary, &string(Encoding::Binary, size));
    }

    #[divan::bench(args = SIZES)]
    fn compact_framed(bencher: Bencher<'_, '_>, size: usize) {
        decode(bencher, Transport::Framed, Encoding::Compact, &string(Encoding::Compact, size));
    }

    #[divan::bench(args = SIZES)]
    fn binary_header(bencher: Bencher<'_, '_>, size: usize) {
        decode(bencher, Transport::Header, Encoding::Binary, &string(Encoding::Binary, size));
    }

    #[divan::bench]
    fn length_only(bencher: Bencher<'_, '_>) {
        let frame = call(Transport::Framed, Encoding::Binary, &string(Encoding::Binary, 128));
        let mut codec = codec(Transport::Framed, Encoding::Binary);
        bencher.bench_local(move || codec.measure(black_box(&frame)));
    }

    #[divan::bench]
    fn response(bencher: Bencher<'_, '_>) {
        let mut frame = call(Transport::Framed, Encoding::Binary, &[8, 0, 0, 0, 0, 0, 1, 0]);
        frame[7] = 2;
        let mut codec = codec(Transport::Framed, Encoding::Binary);
        let (demand, mut head) = (Demand::none(), Head::new());
        bencher.bench_local(move || read(&mut *codec, black_box(&frame), &demand, &mut head));
    }
}

/// The end of a message that has no frame.
#[divan::bench_group]
mod walk {
    use super::*;

    #[divan::bench(args = ["string", "wide"])]
    fn binary_by_hand(bencher: Bencher<'_, '_>, body: &str) {
        let frame = call(Transport::Unframed, Encoding::Binary, &body_of(body));
        assert_eq!(by_hand::unframed(&frame), Some(frame.len()));
        bencher.bench(|| by_hand::unframed(black_box(&frame)));
    }

    #[divan::bench(args = ["string", "wide"])]
    fn binary(bencher: Bencher<'_, '_>, body: &str) {
        let frame = call(Transport::Unframed, Encoding::Binary, &body_of(body));
        let mut codec = codec(Transport::Unframed, Encoding::Binary);
        bencher.bench_local(move || codec.measure(black_box(&frame)));
    }
}

/// Forwarding: the frame as it came, under another id, and with another header.
#[divan::bench_group]
mod encode {
    use super::*;

    #[divan::bench(args = SIZES)]
    fn id_rewritten_binary(bencher: Bencher<'_, '_>, size: usize) {
        rewrite(bencher, Encoding::Binary, size);
    }

    #[divan::bench(args = SIZES)]
    fn id_rewritten_compact(bencher: Bencher<'_, '_>, size: usize) {
        rewrite(bencher, Encoding::Compact, size);
    }

    #[divan::bench(args = SIZES)]
    fn header_added(bencher: Bencher<'_, '_>, size: usize) {
        let mut message = message(Transport::Header, Encoding::Binary, &string(Encoding::Binary, size));
        message.mutation_mut().set("x-user", "alice");
        write(bencher, Transport::Header, Encoding::Binary, message);
    }

    /// What the copy alone costs.
    #[divan::bench(args = SIZES)]
    fn unchanged(bencher: Bencher<'_, '_>, size: usize) {
        let message = message(Transport::Framed, Encoding::Binary, &string(Encoding::Binary, size));
        write(bencher, Transport::Framed, Encoding::Binary, message);
    }
}

/// Parsers that can do one thing only.
mod by_hand {
    pub(super) fn framed(input: &[u8]) -> Option<(usize, u8, &[u8], u32)> {
        let length = u32::from_be_bytes(*input.first_chunk()?) as usize;
        let frame = input.get(4..length + 4)?;
        let (of, name, seq_id, _) = begin(frame)?;
        Some((length, of, name, seq_id))
    }

    pub(super) fn unframed(input: &[u8]) -> Option<usize> {
        let (.., at) = begin(input)?;
        end_of_struct(input, at)
    }

    fn begin(frame: &[u8]) -> Option<(u8, &[u8], u32, usize)> {
        let [0x80, 1, _, of] = *frame.first_chunk()? else { return None };
        let length = u32::from_be_bytes(*frame.get(4..)?.first_chunk()?) as usize;
        let name = frame.get(8..8 + length)?;
        let seq_id = u32::from_be_bytes(*frame.get(8 + length..)?.first_chunk()?);
        Some((of, name, seq_id, 12 + length))
    }

    fn end_of_struct(input: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let of = *input.get(at)?;
            if of == 0 {
                return Some(at + 1);
            }
            at = end_of_value(input, at + 3, of)?;
        }
    }

    fn end_of_value(input: &[u8], at: usize, of: u8) -> Option<usize> {
        let size = |at: usize| Some(u32::from_be_bytes(*input.get(at..)?.first_chunk()?) as usize);
        let end = match of {
            2 | 3 => at + 1,
            6 => at + 2,
            8 => at + 4,
            4 | 10 => at + 8,
            11 => at + 4 + size(at)?,
            12 => return end_of_struct(input, at),
            14 | 15 => {
                let (of, count) = (*input.get(at)?, size(at + 1)?);
                return (0..count).try_fold(at + 5, |at, _| end_of_value(input, at, of));
            }
            _ => return None,
        };
        (end <= input.len()).then_some(end)
    }
}

fn codec(transport: Transport, encoding: Encoding) -> Box<dyn Codec> {
    Thrift::fixed(transport, encoding).codec(Role::Server, &Limits::default())
}

fn read(codec: &mut dyn Codec, frame: &[u8], demand: &Demand, head: &mut Head) -> bool {
    head.clear();
    codec.measure(frame).is_ok() && codec.parse(frame, demand, head).is_ok()
}

fn decode(bencher: Bencher<'_, '_>, transport: Transport, encoding: Encoding, body: &[u8]) {
    let frame = call(transport, encoding, body);
    let mut codec = codec(transport, encoding);
    let (demand, mut head) = (Demand::of(["method"]), Head::new());
    assert!(read(&mut *codec, &frame, &demand, &mut head));
    bencher.bench_local(move || read(&mut *codec, black_box(&frame), &demand, &mut head));
}

fn rewrite(bencher: Bencher<'_, '_>, encoding: Encoding, size: usize) {
    let mut message = message(Transport::Framed, encoding, &string(encoding, size));
    message.set_id(300_000);
    write(bencher, Transport::Framed, encoding, message);
}

fn write(bencher: Bencher<'_, '_>, transport: Transport, encoding: Encoding, message: Message) {
    let mut codec = codec(transport, encoding);
    let mut out = Output::new();
    bencher.bench_local(move || {
        codec.encode(black_box(&message), &mut out).expect("a good message");
        out.advance(out.remaining());
    });
}

fn message(transport: Transport, encoding: Encoding, body: &[u8]) -> Message {
    let frame = call(transport, encoding, body);
    let mut head = Head::new();
    codec(transport, encoding).parse(&frame, &Demand::all(), &mut head).expect("a good frame");
    Message::new(Bytes::from(frame), head)
}

/// A call of `getUser` with the number 7.
fn call(transport: Transport, encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let begin: &[u8] = match encoding {
        Encoding::Compact => b"\x82\x21\x07\x07getUser",
        _ => b"\x80\x01\0\x01\0\0\0\x07getUser\0\0\0\x07",
    };
    let message = [begin, body].concat();
    let header: &[u8] = match transport {
        Transport::Unframed => return message,
        Transport::Header => b"\x0f\xff\0\0\0\0\0\x07\0\x04\0\0\x01\x01\x05trace\x05abcde",
        _ => b"",
    };
    let length = (header.len() + message.len()) as u32;
    [&length.to_be_bytes(), header, &message].concat()
}

fn body_of(name: &str) -> Vec<u8> {
    if name == "wide" { wide() } else { string(Encoding::Binary, 128) }
}

/// One field: a string of `size` bytes.
fn string(encoding: Encoding, size: usize) -> Vec<u8> {
    let mut body = match encoding {
        Encoding::Compact => vec![0x18, size as u8 | 0x80, (size >> 7) as u8 | 0x80, (size >> 14) as u8],
        _ => [&[11, 0, 1], &(size as u32).to_be_bytes()[..]].concat(),
    };
    body.resize(body.len() + size, b'x');
    body.push(0);
    body
}

/// Twenty numbers, ten short strings, a list and a string.
fn wide() -> Vec<u8> {
    let mut body = Vec::new();
    for id in 1..=20 {
        body.extend([8, 0, id, 0, 0, 0, id]);
    }
    for id in 21..=30 {
        body.extend([11, 0, id, 0, 0, 0, 6]);
        body.extend(b"abcdef");
    }
    body.extend([15, 0, 31, 8, 0, 0, 0, 16]);
    body.extend([0; 64]);
    body.extend(string(Encoding::Binary, 128));
    body
}
