//! Zero-copy, sans-IO codecs for layer-7 protocols that are not HTTP.
//!
//! Bytes go in, positions come out: a codec knows no socket, no clock and no logger. The way of the bytes:
//!
//! ```text
//!  socket -> BytesMut --Framer--> frame (Bytes) --Codec::parse--> Head --+--> Message
//!                 ^ Codec::measure: where does the frame end?            |  frame + head + pending mutation
//!                                                                        v
//!  socket <- Output  <-----------------Codec::encode---------- route, limit, mutate, ...
//!            ^ Codec::reply: an answer by the proxy itself (`LocalReply`), from the request's `Receipt`
//! ```
//!
//! | Protocol | Feature | Typed views |
//! |---|---|---|
//! | Apache Dubbo 2 (`dubbo://`), Hessian2 bodies | `dubbo` | `dubbo::request`, `dubbo::response` |
//! | Hessian2 values | `hessian2` | `hessian2::Reader` |
//! | Apache Thrift: binary, compact; unframed, framed, header | `thrift` | `thrift::message` |
//!
//! The types to start with are [`Framer`] (bytes to messages), [`Message`] (one frame and what is known of it) and
//! [`Output`] (messages to bytes); [`Protocol`] and [`Codec`] are what a new protocol implements.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::arithmetic_side_effects, clippy::panic)
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod codec;
#[cfg(feature = "dubbo")]
pub mod dubbo;
#[cfg(feature = "hessian2")]
pub mod hessian2;
pub mod message;
#[cfg(feature = "dubbo")]
mod nom_ext;
#[cfg(feature = "thrift")]
pub mod thrift;

pub use codec::{
    Affinity, Answer, Carries, Codec, Control, DecodeError, DecodeErrorKind, Decoded, Detection, EncodeError, Flow,
    Framer, IdSpace, Limits, LocalReply, Measure, Opening, OptionError, Output, Protocol, Reason, Receipt, Refusal,
    Registry, Replies, Role, Serving, Wanted, Wire,
};
pub use message::{
    AttributeTable, Attributes, Body, Change, Demand, Head, Id, Kind, Message, Mutation, Outcome, Span, Status, Text,
};
