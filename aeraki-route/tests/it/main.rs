//! Tests of the crate through its public interface.

mod action;
mod allocation;
mod explain;
mod model;
mod refusal;
mod regex;
mod swap;
mod truth_table;

use aeraki_codec::Attributes;
use aeraki_route::{
    RouteTable,
    config::{AttributeMatch, Route, RouteAction, RouteConfig},
};

/// A route named `name`; where it goes does not matter.
fn route(name: impl Into<String>, matches: impl IntoIterator<Item = AttributeMatch>) -> Route {
    matches.into_iter().fold(Route::new(name, RouteAction::cluster("anywhere")), Route::with_match)
}

fn compile(routes: impl IntoIterator<Item = Route>) -> RouteTable {
    RouteTable::compile(&RouteConfig::new("test", routes)).expect("the configuration is valid")
}

/// Returns the name of the route that a message takes.
fn found<'t>(table: &'t RouteTable, message: &(impl Attributes + ?Sized)) -> Option<&'t str> {
    table.find(message).map(|route| &**route.name())
}
