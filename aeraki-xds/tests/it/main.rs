//! Server and client over loopback.

mod metards;
mod raw;
mod support;
