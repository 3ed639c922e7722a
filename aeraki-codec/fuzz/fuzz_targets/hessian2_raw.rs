#![no_main]

#[path = "../targets/hessian2.rs"]
mod hessian2;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hessian2::raw(data));
