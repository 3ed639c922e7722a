//! Checks of Hessian2: the tree, and the skip that must take the same way.

use aeraki_codec::{
    DecodeError, Limits,
    hessian2::{Node, Reader, TypeTable},
};
use serde_json::Value as Json;

use crate::{
    check::{field, only, same},
    file::Vector,
    tree,
};

pub(crate) fn check(vector: &Vector) -> Result<(), String> {
    let expect = &vector.expect;
    only(expect, &["values", "consumed", "error", "at_max_depth"])?;
    same("op", &vector.op, &None)?;
    let depth = expect["at_max_depth"].as_u64().map(|depth| usize::try_from(depth).expect("a depth"));
    let limits = Limits { depth: depth.unwrap_or(64), ..Limits::default() };
    let (decoded, skipped) = (decode(&vector.bytes, &limits), skip(&vector.bytes, &limits));
    match expect.get("error").and_then(Json::as_str) {
        Some(error) => {
            same("error of the tree", decoded.err().map(|error| error.kind().as_str()), Some(error))?;
            same("error of the skip", skipped.err().map(|error| error.kind().as_str()), Some(error))
        }
        None => {
            let values = decoded.map_err(|error| format!("the tree: {error}"))?;
            same("skipped values", skipped, Ok(values.len()))?;
            field(expect, "consumed", vector.bytes.len())?;
            let expected = expect["values"].as_array().ok_or("no values")?;
            same("values", values.len(), expected.len())?;
            values.iter().zip(expected).try_for_each(|(value, expected)| tree::compare(value, expected))
        }
    }
}

fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Vec<Node<'a>>, DecodeError> {
    let mut reader = Reader::new(bytes, limits);
    let mut types = TypeTable::default();
    let mut values = vec![reader.value(&mut types)?];
    while !reader.rest().is_empty() {
        values.push(reader.value(&mut types)?);
    }
    Ok(values)
}

fn skip(bytes: &[u8], limits: &Limits) -> Result<usize, DecodeError> {
    let mut reader = Reader::new(bytes, limits);
    reader.skip()?;
    let mut values = 1;
    while !reader.rest().is_empty() {
        reader.skip()?;
        values += 1;
    }
    Ok(values)
}
