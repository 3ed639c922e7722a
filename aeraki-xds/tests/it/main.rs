//! Server and client over loopback.

mod metards;
#[cfg(feature = "ratelimit")]
mod ratelimit;
mod raw;
#[cfg(feature = "redis")]
mod redis;
mod support;
