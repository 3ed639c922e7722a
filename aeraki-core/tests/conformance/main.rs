//! The conformance list of the data plane, end to end over loopback sockets, for every protocol.

mod allocations;
mod bytes_in;
#[cfg(feature = "tls")]
mod chains;
mod closing;
mod connections;
#[cfg(feature = "admin")]
mod drained_listeners;
mod exchange;
mod filters;
mod flow;
mod goodbyes;
mod hostile_clients;
mod hostile_servers;
#[cfg(all(feature = "hot-restart", feature = "admin", target_os = "linux"))]
mod hot_restart;
#[path = "../../src/testing.rs"]
mod lines;
mod names;
mod replies;
mod retries;
mod routing;
mod streams;
mod support;
mod unix_servers;
mod updates;
mod wire;
