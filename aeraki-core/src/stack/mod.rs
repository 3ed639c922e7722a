//! The service stack: one tower layer a file, in the order in which a request passes them.

mod request;

pub use self::request::{BoxError, BoxFuture, ConnInfo, Forward, Request, Response};
