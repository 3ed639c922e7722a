//! The fuzz targets as tests: over their corpora, and over vectors with a few bytes changed.

use std::{fs, path::Path};

use arbitrary::{Arbitrary, Unstructured};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::target;

/// Reads the inputs that `target` is started with.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("a corpus");
    let inputs: Vec<_> = entries.map(|entry| fs::read(entry.expect("a file").path()).expect("a file")).collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

fn structured(data: &[u8]) {
    if let Ok(input) = target::Input::arbitrary_take_rest(Unstructured::new(data)) {
        target::structured(&input);
    }
}

#[test]
fn corpora_are_replayed() {
    corpus("thrift_raw").iter().for_each(|input| target::raw(input));
    corpus("thrift_structured").iter().for_each(|input| structured(input));
}

proptest! {
    #[test]
    fn damaged_corpora_do_no_harm(seed: Index, damage in vec((any::<Index>(), any::<u8>()), 0..6), mode: u8) {
        let inputs = corpus("thrift_raw");
        let mut input = seed.get(&inputs).clone();
        input[0] = mode;
        for (at, byte) in damage {
            let at = at.index(input.len());
            input[at] = byte;
        }
        target::raw(&input);
    }

    #[test]
    fn whatever_is_well_formed_can_be_changed(data in vec(any::<u8>(), 0..400)) {
        structured(&data);
    }
}
