//! Envoy's rate limit service, version 3: `envoy.service.ratelimit.v3.RateLimitService`.
//!
//! ```text
//!  proxy                                                        service
//!  RateLimiter --Client-- ShouldRateLimit(domain, descriptors) --> Server
//!                                                                  |   |
//!                                    YAML files --> Limits, swapped    Store: MemoryStore, or RedisStore
//!                                                                      for several replicas
//! ```
//!
//! With the feature `client`, `Client` asks such a service for the proxy; with `server`, `Server` is one. It reads the
//! configuration files of [envoyproxy/ratelimit](https://github.com/envoyproxy/ratelimit), counts in the same fixed
//! windows and, in Redis, under the same keys, so that it can stand beside that software or in its place.
//!
//! ```
//! # #[cfg(all(feature = "client", feature = "server"))] tokio::runtime::Runtime::new()?.block_on(async {
//! use std::time::Duration;
//!
//! use aeraki_core::stack::{RateLimitAnswer, RateLimitAsk, RateLimiter};
//! use aeraki_route::config::Cluster;
//! use aeraki_xds::ratelimit::{Client, Limits, MemoryStore, Server};
//!
//! let limits = Limits::parse([("shop.yaml", "
//! domain: shop
//! descriptors:
//!   - key: user
//!     rate_limit: { unit: day, requests_per_unit: 1 }
//! ")])?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let cluster = Cluster::new("limiter").with_endpoint(listener.local_addr()?);
//! let server = Server::new(limits, MemoryStore::default());
//! tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
//!
//! let client = Client::new(&cluster)?;
//! let descriptor = vec![("user".to_owned(), "ann".to_owned())];
//! let ask = RateLimitAsk::new("shop".to_owned(), vec![descriptor], Duration::from_secs(5));
//! assert_eq!(client.ask(ask.clone()).await?, RateLimitAnswer::Ok);
//! assert_eq!(client.ask(ask).await?, RateLimitAnswer::OverLimit);
//! # Ok::<_, Box<dyn std::error::Error + Send + Sync>>(()) }).map_err(|error| error.to_string())?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod clients;
#[cfg(feature = "server")]
mod decision;
#[cfg(feature = "server")]
mod limits;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
mod window;

#[cfg(feature = "redis")]
pub use self::store::RedisStore;
#[cfg(feature = "client")]
pub use self::{
    client::{AskError, Client},
    clients::{Clients, NextClients},
};
#[cfg(feature = "server")]
pub use self::{
    limits::{Limits, LimitsError},
    server::Server,
    store::{Hit, MemoryStore, Store, StoreError},
    window::{Unit, Window},
};
