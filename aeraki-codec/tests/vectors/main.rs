//! Every vector: bytes that other implementations have written or judged, and what they mean.
//!
//! `AERAKI_VECTORS=DIR` runs the files of that folder as well. A file of a protocol that this build does not have is
//! named and left out; a field that no check looks at is a failure.

mod check;
#[cfg(feature = "dubbo")]
mod dubbo;
mod file;
#[cfg(feature = "hessian2")]
mod hessian2;
#[cfg(feature = "thrift")]
mod thrift;
#[cfg(feature = "hessian2")]
mod tree;

use std::path::Path;

use file::{File, Vector};

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

#[test]
fn vectors_of_this_crate_hold() {
    let ran = run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"));
    assert_eq!(ran, CHECKS.len(), "a protocol without vectors");
}

#[test]
fn vectors_of_another_folder_hold() {
    match std::env::var_os("AERAKI_VECTORS") {
        Some(folder) => _ = run(Path::new(&folder)),
        None => eprintln!("skipped: AERAKI_VECTORS names no folder"),
    }
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
