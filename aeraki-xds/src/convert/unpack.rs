//! What an `Any` holds, plain or as a `TypedStruct`.

use aeraki_route::config::ConfigError;
use prost::{Message, Name};

use super::at::At;
use crate::Any;

pub(super) fn unpack<M: Message + Name + Default>(any: &Any, at: &At<'_>) -> Result<M, ConfigError> {
    match any.type_url.rsplit('/').next() {
        Some("udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct") => typed_struct(any, at),
        _ => any.unpack().map_err(|error| at.refuse(error.to_string())),
    }
}

#[cfg(feature = "bootstrap")]
fn typed_struct<M: Message + Name + Default>(any: &Any, at: &At<'_>) -> Result<M, ConfigError> {
    crate::json::typed_struct(any).map_err(|error| at.refuse(error.to_string()))
}

#[cfg(not(feature = "bootstrap"))]
fn typed_struct<M>(_: &Any, at: &At<'_>) -> Result<M, ConfigError> {
    Err(at.refuse("a TypedStruct needs the feature `bootstrap`"))
}
