//! The fuzz targets, on their corpora and on inputs that proptest makes up.

use std::{fs, path::Path};

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::*;

use crate::{
    dubbo_target::{self, Call},
    hessian2_target::{self, Tree},
};

/// Runs a target on every file of its corpus.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).expect("a corpus").map(|file| file.expect("a file").path()).collect();
    assert!(!files.is_empty(), "{target} has no corpus");
    for file in files {
        eprintln!("{}", file.display());
        run(&fs::read(file).expect("a readable file"));
    }
}

fn arbitrary<'a, T: Arbitrary<'a>>(data: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(data)).ok()
}

fn structured_call(data: &[u8]) {
    if let Some(call) = arbitrary::<Call>(data) {
        dubbo_target::structured(&call);
    }
}

fn structured_values(data: &[u8]) {
    if let Some(values) = arbitrary::<Vec<Tree>>(data) {
        hessian2_target::structured(&values);
    }
}

#[test]
fn corpora_pass() {
    replay("dubbo_raw", dubbo_target::raw);
    replay("dubbo_structured", structured_call);
    replay("hessian2_raw", hessian2_target::raw);
    replay("hessian2_structured", structured_values);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn made_up_inputs_pass(data in prop::collection::vec(any::<u8>(), 0..512)) {
        structured_call(&data);
        structured_values(&data);
    }
}
