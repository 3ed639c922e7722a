//! Keeps `docs/policies.md` true: its parts of MetaRDS routes are read and compiled.

use aeraki_route::RouteTable;
use prost::Name;
use serde_json::{Value, json};

use super::*;
use crate::json::{Reader, Use, descriptor};

const TEXT: &str = include_str!("../../../../docs/policies.md");

fn parts() -> impl Iterator<Item = &'static str> {
    let blocks = TEXT.split("```yaml\n# metards\n").skip(1);
    blocks.map(|rest| rest.split_once("```").expect("a block ends").0)
}

/// Reads a route to the cluster `c` of which the documentation shows a part.
fn route(part: &str) -> RouteConfig {
    let mut route: Value = serde_saphyr::from_str(part).expect("is YAML");
    route["name"] = json!("documented");
    route["route"]["cluster"] = json!("c");
    let table = json!({"name": "t", "virtual_hosts": [{"name": "vh", "routes": [route]}]});
    let kind = descriptor(&proto::RouteConfiguration::full_name()).expect("is there");
    let message = Reader::new(|_| Use::Whole).read(&kind, &table).unwrap_or_else(|error| panic!("{error}\n{part}"));
    let resource: proto::RouteConfiguration = message.transcode_to().expect("is of this type");
    routes_from_http(&resource).unwrap_or_else(|error| panic!("{error}\n{part}"))
}

#[test]
fn every_documented_part_of_a_route_says_something_and_compiles() {
    let plain = Route::new("documented", RouteAction::cluster("c"));
    for part in parts() {
        let config = route(part);
        assert_ne!(config.routes[0], plain, "nothing is read of it\n{part}");
        RouteTable::compile(&config).unwrap_or_else(|error| panic!("{error}\n{part}"));
    }
    assert_eq!(parts().count(), 10, "a policy of routes has one part each");
}

#[test]
fn every_documented_part_of_a_route_comes_back_as_it_was() {
    for part in parts() {
        let config = route(part);
        let back = routes_from_http(&routes_to_http(&config).expect("has a form")).expect("is valid");
        assert_eq!(back, config, "{part}");
    }
}
