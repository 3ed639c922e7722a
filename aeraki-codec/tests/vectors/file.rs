//! Files of vectors, in both shapes: an object that holds a list, and the list alone.

use std::{fs, path::Path};

use serde_json::Value as Json;

/// The vectors of one protocol.
pub(crate) struct File {
    pub(crate) protocol: String,
    document: Json,
}

impl File {
    /// Reads the vectors; a field outside `expect` that nobody knows is a failure.
    pub(crate) fn vectors(&self) -> Vec<Vector> {
        let vectors = self.document["vectors"].as_array().or(self.document.as_array()).expect("a list of vectors");
        vectors.iter().map(|vector| read_vector(&self.protocol, vector)).collect()
    }
}

/// Bytes and what they mean.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Json,
    /// What is done with the bytes, if more than reading them.
    pub(crate) op: Option<Json>,
}

/// Reads all files of a folder, in the order of their names.
pub(crate) fn all(folder: &Path) -> Vec<File> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> File {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = serde_json::Deserializer::from_str(&text);
    // Some vectors are nested more deeply than the reader's default allows.
    reader.disable_recursion_limit();
    let document: Json = reader.into_iter().next().expect("a document").expect("JSON");
    let protocol = match document["protocol"].as_str() {
        Some(protocol) => protocol.to_owned(),
        None => path.file_stem().expect("a name").to_string_lossy().into_owned(),
    };
    File { protocol, document }
}

fn read_vector(protocol: &str, vector: &Json) -> Vector {
    let name = vector["name"].as_str().expect("a name").to_owned();
    for key in vector.as_object().expect("an object").keys() {
        assert!(KNOWN.contains(&key.as_str()), "{protocol}: {name}: no check looks at {key:?}");
    }
    Vector {
        bytes: unhex(vector["hex"].as_str().expect("hex")),
        expect: vector["expect"].clone(),
        op: vector.get("op").cloned(),
        name,
    }
}

/// Reads hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits")).collect()
}

/// The last five are for people.
const KNOWN: &[&str] =
    &["name", "hex", "expect", "op", "source", "cross_checked_with", "rejected_by", "observed", "note"];
