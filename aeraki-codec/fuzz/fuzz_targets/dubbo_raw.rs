#![no_main]

#[path = "../targets/dubbo.rs"]
mod dubbo;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dubbo::raw(data));
