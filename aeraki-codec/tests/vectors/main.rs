//! Every vector: bytes that other implementations have written or judged, and what they mean.
//!
//! `AERAKI_VECTORS=DIR` runs the files of that folder as well. A file of a protocol that this build does not have is
//! named and left out; a field that no check looks at is a failure.

mod check;
#[cfg(feature = "dubbo")]
mod dubbo;
mod file;
mod heads;
#[cfg(feature = "hessian2")]
mod hessian2;
#[cfg(feature = "thrift")]
mod thrift;
#[cfg(feature = "hessian2")]
mod tree;

use std::path::{Path, PathBuf};

use aeraki_codec::Protocol;
use file::{File, Vector};
use heads::Compared;

/// Checks one vector; an error says what differs.
type Check = fn(&Vector) -> Result<(), String>;

const CHECKS: &[(&str, Check)] = &[
    #[cfg(feature = "dubbo")]
    ("dubbo", dubbo::check),
    #[cfg(feature = "hessian2")]
    ("hessian2", hessian2::check),
    #[cfg(feature = "thrift")]
    ("thrift", thrift::check),
];

/// Returns the protocol that the bytes of a vector are in, with its options.
type Speaks = fn(&Vector) -> Box<dyn Protocol>;

/// The protocols whose vectors are frames.
const FRAMED: &[(&str, Speaks)] = &[
    #[cfg(feature = "dubbo")]
    ("dubbo", |_| Box::new(aeraki_codec::dubbo::Dubbo::default())),
    #[cfg(feature = "thrift")]
    ("thrift", |vector| Box::new(thrift::protocol(vector))),
];

#[test]
fn vectors_of_this_crate_hold() {
    let ran = run(&own());
    assert_eq!(ran, CHECKS.len(), "a protocol without vectors");
}

#[test]
fn vectors_of_another_folder_hold() {
    match std::env::var_os("AERAKI_VECTORS") {
        Some(folder) => _ = run(Path::new(&folder)),
        None => eprintln!("skipped: AERAKI_VECTORS names no folder"),
    }
}

#[test]
fn heads_are_read_from_the_announced_part_of_every_frame() {
    for file in file::all(&own()) {
        let Some((_, speaks)) = FRAMED.iter().find(|(protocol, _)| *protocol == file.protocol) else { continue };
        let mut compared = Compared::default();
        for vector in file.vectors() {
            let result = heads::compare(&*speaks(&vector), &vector, &mut compared);
            result.unwrap_or_else(|error| panic!("{}: {}: {error}", file.protocol, vector.name));
        }
        let Compared { shorter, whole } = compared;
        eprintln!("{}: {shorter} heads read without the rest; {whole} are whole frames, no proof", file.protocol);
        assert!(shorter + whole > 0, "{}: no vector is a good frame", file.protocol);
    }
}

/// The folder of the vectors of this crate.
fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Runs all files of a folder and returns how many had a check.
fn run(folder: &Path) -> usize {
    let mut ran = 0;
    let mut failed = Vec::new();
    for file in file::all(folder) {
        match CHECKS.iter().find(|(protocol, _)| *protocol == file.protocol) {
            Some((_, check)) => {
                ran += 1;
                failed.extend(run_file(&file, *check));
            }
            None => eprintln!("{}: no such protocol in this build, left out", file.protocol),
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    ran
}

fn run_file(file: &File, check: Check) -> Vec<String> {
    let vectors = file.vectors();
    let failure = |vector: &Vector| Some(format!("{}: {}: {}", file.protocol, vector.name, check(vector).err()?));
    let failed: Vec<String> = vectors.iter().filter_map(failure).collect();
    eprintln!("{}: {} vectors, {} failed", file.protocol, vectors.len(), failed.len());
    failed
}
