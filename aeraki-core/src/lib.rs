//! The running proxy: listeners, a stack of tower layers, and upstream clusters with shared connections.
//!
//! The way of a request, and where each step lives:
//!
//! ```text
//! socket -> server::Listener -> server::connection  frames are cut, a Request is made, Facts begin
//!        -> stack: respond -> observe -> route -> mutate -> deadline
//!        -> upstream: Clusters -> Cluster (balance) -> Endpoint -> pool -> driver -> socket
//! ```
//!
//! The answer takes the same way back. Every request ends in exactly one of: its response, a reply by the proxy in the
//! protocol's own words, or the caller's disconnect; and in exactly one record ([`observe::Facts`]).

pub mod io;
pub mod observe;
pub mod server;
pub mod stack;
mod sync;
#[cfg(test)]
mod testing;
pub mod upstream;

pub use aeraki_codec as codec;
pub use aeraki_route as route;
