#![no_main]

#[path = "../targets/thrift.rs"]
mod target;
#[path = "../../tests/thrift/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: target::Input| target::structured(&input));
