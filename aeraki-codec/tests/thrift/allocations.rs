//! What decoding and encoding allocate: nothing, and one piece of memory where a payload must be inflated.

use aeraki_codec::{
    Codec, Demand, Head, Output, Role,
    thrift::{Encoding, Transport},
};
use bytes::Buf;

use super::wire::{CALL, DIALECTS, codec, decode, deflate, frame, message, string_body, wrap};

/// Counts the allocations of the second run of `work`: the first may make room.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    allocation_counter::measure(work).count_total
}

fn decode_one(codec: &mut dyn Codec, frame: &[u8], demand: &Demand, head: &mut Head) {
    head.clear();
    codec.measure(frame).expect("a good frame");
    codec.parse(frame, demand, head).expect("a good frame");
}

#[test]
fn decoding_allocates_nothing() {
    for dialect in DIALECTS {
        let bytes = frame(dialect, CALL, b"Calculator:add", 7, &string_body(dialect.1, &[b'x'; 300]));
        let mut codec = codec(dialect, Role::Server);
        let mut head = Head::new();
        for demand in [Demand::all(), Demand::of(["method"]), Demand::none()] {
            assert_eq!(allocations(|| decode_one(&mut *codec, &bytes, &demand, &mut head)), 0, "{dialect:?}");
        }
    }
}

#[test]
fn encoding_allocates_nothing_under_any_id() {
    for dialect in DIALECTS {
        let bytes = frame(dialect, CALL, b"add", 7, &string_body(dialect.1, &[b'x'; 300]));
        let mut message = decode(dialect, &bytes);
        let mut codec = codec(dialect, Role::Client);
        let mut out = Output::new();
        for id in [7, 300_000] {
            message.set_id(id);
            let written = allocations(|| {
                codec.encode(&message, &mut out).expect("a good message");
                out.advance(out.remaining());
            });
            assert_eq!(written, 0, "{dialect:?} with id {id}");
        }
    }
}

#[test]
fn an_inflated_head_costs_one_allocation() {
    let call = message(Encoding::Binary, CALL, b"Calculator:add", 7, &string_body(Encoding::Binary, &[b'x'; 300]));
    let bytes = wrap(Transport::Header, Encoding::Binary, 7, &[], true, &deflate(&call));
    let mut codec = codec((Transport::Header, Encoding::Binary), Role::Server);
    let decoded = allocations(|| decode_one(&mut *codec, &bytes, &Demand::all(), &mut Head::new()));
    assert_eq!(decoded, 1, "the name, which does not lie in the frame");
}
