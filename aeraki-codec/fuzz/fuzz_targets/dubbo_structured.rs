#![no_main]

#[path = "../targets/dubbo.rs"]
mod dubbo;

libfuzzer_sys::fuzz_target!(|call: dubbo::Call| dubbo::structured(&call));
