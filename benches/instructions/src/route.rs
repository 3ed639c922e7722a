//! What finding a route costs.

use std::hint::black_box;

use aeraki_codec::{Demand, Head, Limits, Message, Protocol, Role, dubbo::Dubbo};
use aeraki_route::{
    RouteTable,
    config::{AttributeMatch, Route, RouteAction, RouteConfig},
};

use aeraki_instructions::{Row, frames};

pub(crate) const ROWS: &[Row] = &[
    ("route/exact/1", |turns| find(vec![exact(frames::INTERFACE)], turns)),
    ("route/exact/1000", |turns| find(among(999, |n| exact(&service(n)), exact(frames::INTERFACE)), turns)),
    ("route/prefix/1000", |turns| find(among(999, |n| prefix(&service(n)), prefix("org.apache.dubbo.")), turns)),
    ("route/regex/100", |turns| find(among(99, |n| regex(&service(n)), regex("org.apache.*Demo")), turns)),
    ("route/miss/1000", |turns| find(among(999, |n| exact(&service(n)), exact("nobody")), turns)),
];

/// Looks for the route of one message, read by the codec as a proxy would.
fn find(routes: Vec<Route>, turns: usize) {
    let table = RouteTable::compile(&RouteConfig::new("rows", routes)).expect("the configuration is valid");
    let message = message();
    for _ in 0..turns {
        black_box(table.find(black_box(&message)));
    }
}

fn message() -> Message {
    let frame = frames::dubbo_request();
    let mut head = Head::new();
    let mut codec = Dubbo::default().codec(Role::Server, &Limits::default());
    codec.parse(&frame, &Demand::of(["interface", "method"]), &mut head).expect("well-formed");
    Message::new(frame.into(), head)
}

fn among(others: usize, other: impl Fn(usize) -> Route, last: Route) -> Vec<Route> {
    (0..others).map(other).chain([last]).collect()
}

fn exact(interface: &str) -> Route {
    route(AttributeMatch::exact("interface", interface)).with_match(AttributeMatch::exact("method", "sayHello"))
}

fn prefix(interface: &str) -> Route {
    route(AttributeMatch::prefix("interface", interface))
}

fn regex(start: &str) -> Route {
    route(AttributeMatch::regex("interface", format!("{start}.*")))
}

fn route(of: AttributeMatch) -> Route {
    Route::new("route", RouteAction::cluster("cluster")).with_match(of)
}

fn service(n: usize) -> String {
    format!("com.example.module{}.Service{n}", n % 33)
}
