use super::*;
use crate::{
    crd::{ApplicationProtocolSpec, MetaRouterSpec},
    istio::ServiceEntrySpec,
    object::Timestamp,
};

fn service(namespace: &str, host: &str) -> AnyObject {
    let spec = ServiceEntrySpec { hosts: vec![host.into()], ..ServiceEntrySpec::default() };
    AnyObject::ServiceEntry(Object::new(namespace, host, spec))
}

fn router(namespace: &str, name: &str, host: &str, created: Option<&str>) -> AnyObject {
    let spec = MetaRouterSpec { hosts: vec![host.into()], ..MetaRouterSpec::default() };
    let mut router = Object::new(namespace, name, spec);
    router.metadata.creation_timestamp = created.map(|at| Timestamp::try_from(at.to_owned()).expect(at));
    AnyObject::MetaRouter(router)
}

fn names(world: &World, host: &str, namespace: &str) -> Vec<String> {
    world.routers(host, namespace).map(|router| router.reference().to_string()).collect()
}

#[test]
fn the_namespace_of_the_service_comes_first_then_age_then_name() {
    let world = World::new(
        [
            router("b", "young", "greet.example", Some("2026-02-01T00:00:00Z")),
            router("c", "ageless", "greet.example", None),
            router("a", "ageless", "greet.example", None),
            router("d", "old", "greet.example", Some("2025-02-01T00:00:00Z")),
            router("shop", "own", "greet.example", None),
        ],
        DEFAULT_DOMAIN,
    );
    let expected = ["shop/own", "d/old", "b/young", "a/ageless", "c/ageless"].map(|name| format!("MetaRouter {name}"));
    assert_eq!(names(&world, "greet.example", "shop"), expected);
}

#[test]
fn short_names_are_those_of_the_own_namespace() {
    let world = World::new(
        [service("shop", "plain"), router("shop", "a", "greet", None), router("shop", "b", "plain", None)],
        "mesh.local",
    );
    assert_eq!(names(&world, "greet.shop.svc.mesh.local", "shop"), ["MetaRouter shop/a"]);
    assert_eq!(names(&world, "plain", "shop"), ["MetaRouter shop/b"]);
    assert_eq!(world.resolve("a.b", "shop"), "a.b");
}

#[test]
fn built_in_codecs_cannot_be_redirected() {
    let codec = |protocol: &str, codec: &str| {
        let spec = ApplicationProtocolSpec { protocol: protocol.into(), codec: codec.into() };
        AnyObject::ApplicationProtocol(Object::new("", codec, spec))
    };
    let world = World::new([codec("dubbo", "evil"), codec("trpc", "b"), codec("trpc", "a")], DEFAULT_DOMAIN);
    assert_eq!(world.codec("dubbo"), Some("aeraki.meta_protocol.codec.dubbo"));
    assert_eq!(world.codec("trpc"), Some("a"));
    assert_eq!(world.codec("kafka"), None);
}
