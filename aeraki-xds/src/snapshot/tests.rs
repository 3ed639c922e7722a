use std::sync::Arc;

use aeraki_route::config::{Route, RouteAction, RouteConfig};

use super::*;
use crate::{Any, type_url};

fn table(name: &str, cluster: &str) -> RouteConfig {
    RouteConfig::new(name, [Route::new("all", RouteAction::cluster(cluster))])
}

fn build(builder: SnapshotBuilder, tables: impl IntoIterator<Item = RouteConfig>) -> Arc<Snapshot> {
    Arc::new(builder.routes(tables).build().expect("valid tables"))
}

#[test]
fn only_what_changed_is_encoded_again() {
    let names: Vec<String> = (0..100).map(|index| format!("host-{index}_80")).collect();
    let tables = |changed: &str| {
        names.iter().map(move |name| table(name, if name == changed { "new" } else { "old" })).collect::<Vec<_>>()
    };
    let first = build(Snapshot::builder(), tables(""));
    let second = build(SnapshotBuilder::after(Arc::clone(&first)), tables("host-7_80"));
    let third = build(SnapshotBuilder::after(Arc::clone(&second)), tables("host-7_80"));
    assert_eq!([first.encoded(), second.encoded(), third.encoded()], [100, 1, 0]);

    let bytes =
        |snapshot: &Snapshot, name: &str| snapshot.get(type_url::ROUTE, name).expect("is there").body().value.as_ptr();
    assert_eq!(bytes(&first, "host-8_80"), bytes(&third, "host-8_80"), "the encoded bytes are shared");
    assert_ne!(bytes(&first, "host-7_80"), bytes(&second, "host-7_80"));
}

#[test]
fn versions_follow_content_alone() {
    let version = |name: &str, cluster: &str| {
        let snapshot = build(Snapshot::builder(), [table("other", "c"), table(name, cluster)]);
        (snapshot.get(type_url::ROUTE, name).expect("is there").version(), snapshot.version(type_url::ROUTE))
    };
    assert_eq!(version("a", "x"), version("a", "x"));
    assert_ne!(version("a", "x").0, version("a", "y").0);
    assert_ne!(version("a", "x").1, version("a", "y").1);
    assert_eq!(version("a", "x").0.to_string().len(), 16);
}

#[test]
fn refusals_name_the_resource() {
    let empty = Snapshot::builder().routes([RouteConfig::new("bad", [])]).build().expect_err("has no route");
    assert_eq!(empty.to_string(), r#"route configuration "bad": routes: must hold at least one route"#);

    let twice = Snapshot::builder().routes([table("a", "x"), table("a", "y")]).build().expect_err("is there twice");
    assert_eq!(twice.to_string(), format!(r#"{} "a": is there twice"#, type_url::ROUTE));
}

#[test]
fn resources_of_any_type_are_kept_as_they_are() {
    let secret = Any { type_url: "type.googleapis.com/a.Secret".to_owned(), value: "bytes".into() };
    let snapshot = Snapshot::builder().any("s", secret.clone()).build().expect("is valid");
    assert_eq!(snapshot.get(&secret.type_url, "s").map(Resource::body), Some(&secret));
    assert_eq!(snapshot.resources(type_url::ROUTE).count(), 0);
}
