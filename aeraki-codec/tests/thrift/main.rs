//! Thrift, end to end: splits, round trips, ids, headers, replies, allocations, hostile bytes, a naive decoder.
#![cfg(feature = "thrift")]

mod allocations;
mod codec;
mod fuzz;
mod goodbye;
mod hostile;
mod model;
mod mutation;
mod replies;
#[path = "../../fuzz/targets/thrift.rs"]
mod target;
mod wire;
