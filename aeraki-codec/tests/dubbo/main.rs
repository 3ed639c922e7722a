//! Dubbo and Hessian2, end to end: splits, batches, round trips, allocations, hostile bytes, a naive decoder.
#![cfg(feature = "dubbo")]

mod allocations;
mod corpus;
#[path = "../../fuzz/targets/dubbo.rs"]
mod dubbo_target;
#[path = "../vectors/file.rs"]
mod file;
mod frames;
#[path = "../../fuzz/targets/hessian2.rs"]
mod hessian2_target;
mod hostile;
mod naive;
mod stream;
