//! The conformance list of the data plane, end to end over loopback sockets, for every protocol.

mod allocations;
mod bytes_in;
mod closing;
mod exchange;
mod flow;
mod hostile_clients;
mod hostile_servers;
mod replies;
mod retries;
mod routing;
mod support;
mod updates;
mod wire;
