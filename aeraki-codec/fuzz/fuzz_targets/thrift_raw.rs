#![no_main]

#[path = "../targets/thrift.rs"]
mod target;
#[path = "../../tests/thrift/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::raw(data));
