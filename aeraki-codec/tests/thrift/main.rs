//! Thrift, end to end: vectors, splits, round trips, ids, mutation, replies, allocations, hostile bytes.

#[path = "../vectors/thrift.rs"]
mod vectors;

mod allocations;
mod codec;
mod hostile;
mod model;
mod mutation;
mod replies;
mod wire;

use serde_json::Value as Json;

#[test]
fn vectors_hold() {
    let mut reader = serde_json::Deserializer::from_str(include_str!("../vectors/thrift.json"));
    // One of the vectors is nested more deeply than the reader's default allows.
    reader.disable_recursion_limit();
    let file = reader.into_iter::<Json>().next().expect("a document").expect("JSON");
    let mut failed = Vec::new();
    let vectors = file["vectors"].as_array().expect("a list of vectors");
    for vector in vectors {
        let digits = vector["hex"].as_str().expect("hex");
        let bytes: Vec<u8> =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect();
        if let Err(error) = vectors::check(&bytes, &vector["expect"]) {
            failed.push(format!("{}: {error}", vector["name"]));
        }
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), vectors.len(), failed.join("\n"));
}
