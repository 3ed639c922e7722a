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
//!
//! [`proxy::Proxy`] is all of it from one configuration. A team that wants less takes the parts: [`server::Listener`]
//! and [`server::Rpc`] run any tower service, [`tcp::TcpProxy`] passes on what no codec reads, [`stack`] has the
//! layers, [`upstream::Clusters`] the connections.
//!
//! # A proxy for a protocol of one's own
//!
//! A frame here is its length, an id, a kind (0 asks, 1 answers, 2 fails), and a method that ends with a zero byte.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use aeraki_core::{
//!     codec::{
//!         Answer, Codec, DecodeError, DecodeErrorKind, Demand, EncodeError, Head, Id, IdSpace, Kind, Limits,
//!         LocalReply, Measure, Message, Output, Protocol, Receipt, Registry, Replies, Role, Serving, Text, Wire,
//!     },
//!     proxy::Proxy,
//!     route::config::{self, AttributeMatch, Cluster, Listener, ProtocolConfig, Route, RouteAction, RouteConfig, RouteSource},
//! };
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//!
//! #[derive(Debug)]
//! struct Private;
//!
//! impl Protocol for Private {
//!     fn name(&self) -> &str {
//!         "private"
//!     }
//!     fn wire(&self) -> Wire {
//!         Wire::new(IdSpace::Bits(32), Replies::AnyOrder, Serving::Concurrent)
//!     }
//!     fn codec(&self, _: Role, limits: &Limits) -> Box<dyn Codec> {
//!         Box::new(PrivateCodec(*limits))
//!     }
//! }
//!
//! struct PrivateCodec(Limits);
//!
//! impl Codec for PrivateCodec {
//!     fn measure(&mut self, input: &[u8]) -> Result<Measure, DecodeError> {
//!         let Some(len) = input.first_chunk() else { return Ok(Measure::Partial { at_least: 4 }) };
//!         match u32::from_be_bytes(*len) as usize {
//!             len if (9..self.0.frame_or(65_536)).contains(&len) => Ok(Measure::Frame { head: len, len: len as u64 }),
//!             _ => Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, 0)),
//!         }
//!     }
//!     fn parse(&mut self, frame: &[u8], demand: &Demand, head: &mut Head) -> Result<(), DecodeError> {
//!         let bad = DecodeError::new(DecodeErrorKind::BadMethod, 9);
//!         head.set_id(Id::Number(u64::from(u32::from_be_bytes(*frame[4..].first_chunk().ok_or(bad)?))));
//!         head.set_kind([Kind::Request, Kind::Response, Kind::Error][usize::from(frame[8]).min(2)]);
//!         if head.kind() == Kind::Request && demand.wants(b"method") {
//!             let end = frame[9..].iter().position(|byte| *byte == 0).ok_or(bad)?;
//!             head.set_names(&["method"]);
//!             head.insert(frame, &self.0, Text::Name(0), Text::Frame(9..9 + end))?;
//!         }
//!         Ok(())
//!     }
//!     fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError> {
//!         let id = u32::try_from(message.id().number()).map_err(|_| EncodeError::BadId)?;
//!         out.forward(message.frame(), 9)[4..8].copy_from_slice(&id.to_be_bytes());
//!         Ok(())
//!     }
//!     fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError> {
//!         out.put(&(9 + reply.text().len() as u32).to_be_bytes());
//!         out.put(&(to.id().number() as u32).to_be_bytes());
//!         out.put(&[2]);
//!         out.put(reply.text().as_bytes());
//!         Ok(Answer::Written)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let routes = RouteConfig::new("routes", [
//!     Route::new("hello", RouteAction::cluster("greeter")).with_match(AttributeMatch::exact("method", "hello")),
//! ]);
//! let listener = Listener::new("in", "127.0.0.1:0".parse()?, ProtocolConfig::new("private"), RouteSource::Inline(routes));
//! let config = config::Proxy::default().with_listener(listener).with_cluster(Cluster::new("greeter"));
//! let mut registry = Registry::new();
//! registry.register("private", Arc::new(Private));
//! let running = Proxy::new(config, &registry)?.start_here()?;
//!
//! let mut client = TcpStream::connect(running.address("in").ok_or("no listener")?).await?;
//! client.write_all(b"\0\0\0\x0d\0\0\0\x07\0bye\0").await?;
//! let mut answer = [0; 37];
//! client.read_exact(&mut answer).await?;
//! assert_eq!(&answer[9..], b"no route matches the request");
//! running.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "admin")]
pub mod admin;
mod boxes;
pub mod io;
#[cfg(test)]
mod logged;
pub mod observe;
pub mod proxy;
mod proxy_protocol;
pub mod server;
mod socket;
pub mod stack;
mod sync;
pub mod tcp;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;
pub mod upstream;

pub use aeraki_codec as codec;
pub use aeraki_route as route;
