#![no_main]

#[path = "../targets/hessian2.rs"]
mod hessian2;

libfuzzer_sys::fuzz_target!(|values: Vec<hessian2::Tree>| hessian2::structured(&values));
