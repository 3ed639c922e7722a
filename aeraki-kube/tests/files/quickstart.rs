//! The mesh of the quickstart, from its folder to the bytes that subscribers get.

use std::path::Path;

use aeraki_codec::Attributes;
use aeraki_kube::{FileOptions, FileSource, Options, Translation, translate};
use aeraki_route::RouteTable;
use aeraki_xds::type_url;

fn translation() -> Translation {
    let mesh = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart/mesh");
    let source = FileSource::open(mesh, &FileOptions::default()).expect("a good folder");
    translate(&source.worlds().borrow(), &Options::default())
}

fn picks(translation: &Translation, name: &str, message: &(impl Attributes + ?Sized)) -> [u64; 2] {
    let table = RouteTable::compile(&translation.routes[name]).expect("compiles");
    let route = table.find(message).expect("every message is routed");
    let count = |version: &str| (0..100).filter(|draw| route.pick(*draw).contains(version)).count() as u64;
    [count("|v1|"), count("|v2|")]
}

#[test]
fn the_mesh_shares_traffic_as_it_says() {
    let translation = translation();
    assert!(translation.rejections.is_empty(), "{:?}", translation.rejections);
    assert_eq!(picks(&translation, "dubbo.demo.greeter_20880", &[("user", "guest")]), [80, 20]);
    assert_eq!(picks(&translation, "dubbo.demo.greeter_20880", &[("user", "vip")]), [0, 100]);
    assert_eq!(picks(&translation, "thrift.demo.calculator_9090", &[("method", "add")]), [50, 50]);
}

#[test]
fn every_cluster_of_a_route_is_there_and_has_one_endpoint_per_version() {
    let translation = translation();
    for routes in translation.routes.values() {
        for (path, cluster) in routes.clusters() {
            assert_eq!(translation.clusters[cluster].endpoints.len(), 1, "{path}");
        }
    }
    assert_eq!(translation.clusters.len(), 6);
}

#[test]
fn subscribers_get_http_shaped_routes() {
    let snapshot = translation().to_snapshot(None).expect("encodes");
    let names: Vec<_> = snapshot.resources(type_url::ROUTE).map(|resource| resource.name()).collect();
    assert_eq!(names, ["dubbo.demo.greeter_20880", "thrift.demo.calculator_9090"]);
}
