//! A control plane on a source of your own: here a number that goes up, in practice a database or a registry.
//!
//! A subscriber in the same process shows what a data plane would receive. `cargo run -p own-control-plane`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use aeraki_route::{
    Rules, SharedRules,
    config::{Cluster, Node, Route, RouteAction, RouteConfig},
};
use aeraki_xds::{
    Publisher, Server, Snapshot,
    client::{Event, Subscriber},
};
use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::mpsc};

#[tokio::main]
async fn main() -> Result<()> {
    // the control plane: publish a snapshot, serve it over gRPC
    let publisher = Publisher::new();
    publisher.publish(Snapshot::builder().routes([orders(10)]).build()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let cluster = Cluster::new("control-plane").with_endpoint(listener.local_addr()?);
    tokio::spawn(Server::new(publisher.clone()).serve(listener, std::future::pending()));

    // the data plane's end: compiled rules, swapped whenever the control plane says so
    let rules = Arc::new(SharedRules::new(Rules::empty()));
    let (tell, mut told) = mpsc::unbounded_channel();
    let subscriber = Subscriber::new(&cluster, &Node::new("proxy-1", "shop"))?.with_observer(move |event| {
        if let Event::Accepted { version, .. } = event {
            // nobody listens any more once the program ends
            let _ = tell.send((*version).to_owned());
        }
    });
    let driven = Arc::clone(&rules);
    tokio::spawn(async move { subscriber.drive("orders_9090", driven).await });

    for share in [10, 50, 100] {
        // what has not changed is neither encoded nor sent again
        publisher.publish(Snapshot::builder().routes([orders(share)]).build()?);
        let expected = if share == 100 { "orders-v2" } else { "orders-v1" };
        loop {
            let version = told.recv().await.context("the subscriber has ended")?;
            let rules = rules.load();
            let route = rules.find(&[("method", "list")]).context("a route for every request")?;
            println!("version {version}: route {:?}, first to {}", route.name(), route.pick(0));
            if **route.pick(0) == *expected && route.name().ends_with(&share.to_string()) {
                break;
            }
        }
    }
    Ok(())
}

/// Sends `share` per cent of all calls to the new version.
fn orders(share: u32) -> RouteConfig {
    let action = RouteAction::weighted([("orders-v1", 100 - share), ("orders-v2", share)]);
    RouteConfig::new("orders_9090", [Route::new(format!("share-{share}"), action)])
}
