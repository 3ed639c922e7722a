//! Dubbo and Hessian2, end to end: splits, batches, round trips, allocations, hostile bytes, a naive decoder.
#![cfg(feature = "dubbo")]

mod allocations;
#[path = "../vectors/file.rs"]
mod file;
mod frames;
mod hostile;
mod naive;
mod stream;
