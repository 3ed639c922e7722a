//! The route table alone: anything with named values can be routed. `cargo run -p route-only`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use aeraki_route::{
    RouteTable,
    config::{AttributeMatch, Route, RouteAction, RouteConfig},
};
use anyhow::{Context, Result};

fn main() -> Result<()> {
    let beta = Route::new("beta", RouteAction::cluster("shop-v2")).with_match(AttributeMatch::exact("user", "beta"));
    let share = RouteAction::weighted([("shop-v1", 90), ("shop-v2", 10)]);
    let list = Route::new("list", share).with_match(AttributeMatch::prefix("method", "list"));
    let table = RouteTable::compile(&RouteConfig::new("shop", [beta, list]))?;

    let job = [("method", "listOrders"), ("user", "alice")];
    let route = table.find(&job).context("a route")?;
    // the caller brings the randomness, so that a test can choose it
    println!("{} -> {}", route.name(), route.pick(95));
    // why this one and not the ones before it?
    println!("{}", table.explain(&job));

    let nobody = [("method", "delete")];
    println!("delete: {}", table.explain(&nobody));
    anyhow::ensure!(table.find(&nobody).is_none(), "nothing matches");
    Ok(())
}
