//! What configuration means: plain types for everything that a proxy is told, and route tables compiled from them.
//!
//! ```text
//!  config::RouteConfig --RouteTable::compile--> RouteTable --find(attributes)--> Route --pick(draw)--> cluster
//!                                               Rules = table + the keys it asks messages for
//!                                               SharedRules: Rules in force, swapped whole while readers read
//! ```
//!
//! Anything with named byte strings can be routed: a message of a codec, a map, a list of pairs.
//!
//! ```
//! use aeraki_route::{RouteTable, config::{AttributeMatch, Route, RouteAction, RouteConfig}};
//!
//! let canary = Route::new("canary", RouteAction::weighted([("v1", 90), ("v2", 10)]))
//!     .with_match(AttributeMatch::exact("interface", "org.example.Greeter"))
//!     .with_match(AttributeMatch::prefix("method", "say"));
//! let rest = Route::new("rest", RouteAction::cluster("v1"));
//! let table = RouteTable::compile(&RouteConfig::new("greeter", [canary, rest]))?;
//!
//! let message = [("interface", "org.example.Greeter"), ("method", "sayHello")];
//! let route = table.find(&message).expect("the last route takes everything");
//! assert_eq!(&**route.name(), "canary");
//! assert_eq!(&**route.pick(95), "v2"); // the caller brings the randomness
//!
//! let other = table.explain(&[("interface", "org.example.Clock")]).to_string();
//! assert!(other.starts_with(r#"routes[0] "canary": passed over: "interface" must equal "org.example.Greeter""#));
//! # Ok::<_, aeraki_route::config::ConfigError>(())
//! ```

pub mod config;
pub mod policy;

mod action;
mod chain_index;
mod changes;
mod compile;
mod explain;
mod networks;
mod placement;
mod places;
mod rules;
mod sync;
mod table;
mod targets;

pub use self::{
    action::{MirrorTarget, Route},
    chain_index::{Arrival, ChainIndex},
    changes::{ChangeValues, Changes, Origin},
    explain::{Explanation, PassedOver},
    placement::{Criteria, Placement},
    places::{Place, Places},
    rules::{Rules, RulesReader, SharedRules},
    table::{RETRY_HOPS, RouteTable},
    targets::Targets,
};
