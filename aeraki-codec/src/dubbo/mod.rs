//! Apache Dubbo 2, the protocol of `dubbo://`.
//!
//! ```text
//!  0        2       3        4              12           16
//! +--------+-------+--------+--------------+------------+------------------------------------------+
//! | da bb  | flags | status | id           | body length| body                                     |
//! +--------+-------+--------+--------------+------------+------------------------------------------+
//!            request, two-way, event, serialization (5 bits)
//!
//! request body   dubbo version, path, service version, method, parameter types | arguments | attachments
//! response body  type 0-5 | result or exception | attachments (types 3-5)           status 20
//! response body  message                                                            any other status
//! ```
//!
//! Bodies in Hessian2 are read as far as the [`Demand`](crate::Demand) asks; those in other serializations pass by
//! their header alone. Attributes of a request:
//!
//! | Attribute | What it is |
//! |---|---|
//! | `interface`, `path` | what the provider looks up: the attachment `path`, or else field 2 of the body |
//! | `version` | the attachment `version`, or else field 3 |
//! | `group` | the attachment `group` |
//! | `method` | field 4, always |
//! | `generic.method` | the method inside a generic call (`$invoke`, `$invokeAsync`) |
//! | `timeout`, `_TO` | the attachment, a string or a number, in decimal |
//! | any other key | the attachment of that key, if it is a string |
//!
//! [`Dubbo`] is the protocol for proxies; [`request`], [`response`] and [`Header`] are views for everybody else.

mod attributes;
mod codec;
mod control;
mod identity;
mod reply;
mod splice;
mod wire;

#[cfg(test)]
mod tests;

pub use codec::Dubbo;
pub use wire::{Header, Request, RequestValues, Response, ResponseType, ResponseValues, request, response, status};
