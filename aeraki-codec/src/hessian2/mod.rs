//! Hessian 2.0 values, the encoding inside Dubbo bodies: skip, read and write.
//!
//! A body is a row of values that share three tables (containers for back references, type
//! names, class definitions), so one [`Reader`] goes through it from the start:
//!
//! ```text
//! 05 "2.0.2"   21 "a.Service"   ...   79 91     48  04 "path" 03 "x.Y"  5a
//! string       string                 [1]       {   key       value     }
//! ```
//!
//! * [`Reader::skip`] walks over a value: a loop with a bounded stack, so hostile nesting costs
//!   nothing but an error. It never allocates for what peers really send.
//! * [`Reader::text`], [`Reader::int`], [`Reader::map`] and [`Reader::entry`] read what routing
//!   needs; [`Reader::event`] is the step below, one grammar symbol at a time.
//! * [`Reader::value`] builds a tree, for views and tools.
//! * [`write`](mod@write) writes what replies and mutations need.
//!
//! References are never expanded and classes never instantiated. The RPC envelope of Hessian
//! (calls, replies, packets) does not occur on Dubbo wires and is not read.

mod binary;
mod class;
mod entries;
mod event;
mod input;
mod reader;
mod skip;
mod text;
mod tree;
pub mod write;

#[cfg(test)]
mod tests;

pub use binary::Binary;
pub use class::Class;
pub use entries::Entry;
pub use event::{Event, Type};
pub use reader::Reader;
pub use text::Text;
pub use tree::{List, Map, Node, Object, TypeTable, Value};
