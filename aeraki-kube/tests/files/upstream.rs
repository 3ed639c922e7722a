//! What users of Aeraki have written, read in place: `../shared/fixtures/aeraki` beside the workspace.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use aeraki_kube::{
    AnyObject, DEFAULT_DOMAIN, Options, Rejection, Translation, World, translate,
    yaml::{self, Document},
};
use aeraki_route::config::{AuthorizationAction, Destination, HashPolicy, RouteConfig, ValueMatch};

/// Finds the fixtures. Without them a test is skipped, or fails where `AERAKI_FIXTURES=required`.
fn fixtures() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/aeraki");
    if path.is_dir() {
        return Some(path);
    }
    assert!(
        std::env::var_os("AERAKI_FIXTURES").is_none_or(|value| value != "required"),
        "{} is missing",
        path.display()
    );
    eprintln!("skipped: {} is missing", path.display());
    None
}

/// Reads the objects of a file; its text must hold nothing that its kinds do not know.
fn objects(file: &Path, namespace: &str) -> Vec<AnyObject> {
    let text = fs::read_to_string(file).expect("a readable file");
    let documents = yaml::parse(&file.display().to_string(), &text).unwrap_or_else(|error| panic!("{error}"));
    let used = documents.into_iter().filter_map(Document::into_object);
    used.map(|object| object.in_namespace(namespace)).collect()
}

/// Lists the files of each folder.
fn folders() -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut folders = BTreeMap::new();
    let Some(root) = fixtures() else { return folders };
    for folder in entries(&root).into_iter().filter(|path| path.is_dir()) {
        let files = entries(&folder);
        folders.insert(folder, files);
    }
    folders
}

/// Lists a folder, without the configuration files of a rate limit server, which hold no objects.
fn entries(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| !path.ends_with("rate-limit-config.yaml"));
    paths.sort();
    paths
}

/// Translates the routers of one file together with everything else in its folder.
fn translate_with(router: &Path, folder: &[PathBuf], namespace: &str) -> Translation {
    let is_router = |object: &AnyObject| matches!(object, AnyObject::MetaRouter(_));
    let others = folder.iter().flat_map(|file| objects(file, namespace)).filter(|object| !is_router(object));
    let routers = objects(router, namespace).into_iter().filter(is_router);
    translate(&World::new(others.chain(routers), DEFAULT_DOMAIN), &Options::default())
}

/// Finds the namespace that a folder's objects live in where they do not say.
fn namespace(files: &[PathBuf]) -> String {
    let objects = files.iter().flat_map(|file| objects(file, ""));
    let hosts = objects.filter_map(|object| match object {
        AnyObject::MetaRouter(router) if !router.metadata.namespace.is_empty() => Some(router.metadata.namespace),
        _ => None,
    });
    hosts.into_iter().next().unwrap_or_else(|| "metaprotocol".to_owned())
}

fn route_of(folder: &str, file: &str, name: &str) -> Option<RouteConfig> {
    let folder = fixtures()?.join(folder);
    let files = entries(&folder);
    let translation = translate_with(&folder.join(file), &files, &namespace(&files));
    let route = translation.routes.get(name);
    Some(route.unwrap_or_else(|| panic!("{:?}", translation.rejections)).as_ref().clone())
}

#[test]
fn every_file_is_read() {
    let read: usize = folders().values().flatten().map(|file| objects(file, "default").len()).sum();
    assert!(read > 60 || fixtures().is_none(), "only {read} objects");
}

#[test]
fn every_router_is_translated() {
    let mut routers = 0;
    for files in folders().values() {
        let namespace = namespace(files);
        for file in files {
            let hosts = objects(file, &namespace).into_iter().filter_map(|object| match object {
                AnyObject::MetaRouter(router) => Some(router.spec.hosts[0].clone()),
                _ => None,
            });
            for host in hosts {
                let translation = translate_with(file, files, &namespace);
                let faults: Vec<_> = translation.rejections.iter().filter(|fault| fault.refuses()).collect();
                assert!(faults.is_empty(), "{faults:?}");
                let own = translation.routes.values().filter(|route| route.name.starts_with(&host)).collect::<Vec<_>>();
                assert!(!own.is_empty(), "{}: nothing for {host}", file.display());
                routers += 1;
            }
        }
    }
    assert!(routers > 20 || fixtures().is_none(), "only {routers} routers");
}

#[test]
fn the_first_route_that_matches_is_the_first_one_written() {
    let name = "org.apache.dubbo.samples.basic.api.demoservice_20880";
    let Some(config) = route_of("e2e-metaprotocol-dubbo", "metarouter-attribute-exact.yaml", name) else { return };
    let routes: Vec<_> =
        config.routes.iter().map(|route| (&route.matches[0].value, &route.action.destination)).collect();
    let to = |subset: &str| {
        Destination::Cluster(format!("outbound|20880|{subset}|org.apache.dubbo.samples.basic.api.demoservice"))
    };
    let exact = |method: &str| ValueMatch::Exact(method.to_owned());
    assert_eq!(routes, [(&exact("sayHello01"), &to("v1")), (&exact("sayHello"), &to("v2"))]);
}

#[test]
fn an_empty_exact_text_is_met_by_any_value() {
    let name = "thrift-sample-server.meta-thrift.svc.cluster.local_9090";
    let Some(config) = route_of("e2e-gateway-thrift", "metarouter-v1.yaml", name) else { return };
    assert_eq!(config.routes[0].matches[0].value, ValueMatch::Any);
}

#[test]
fn weights_and_mutations_and_mirrors_are_carried() {
    let demo = "org.apache.dubbo.samples.basic.api.demoservice_20880";
    let Some(split) = route_of("e2e-metaprotocol-dubbo", "metarouter-traffic-splitting.yaml", demo) else { return };
    let Destination::Weighted(clusters) = &split.routes[0].action.destination else { panic!("{split:?}") };
    assert_eq!(clusters.iter().map(|cluster| cluster.weight).collect::<Vec<_>>(), [20, 80]);
    let mutation = route_of("e2e-metaprotocol-dubbo", "metarouter-header-mutation.yaml", demo).expect("fixtures");
    assert_eq!(mutation.routes[0].request_mutation.len(), 2);
    let mirror = route_of("demo-metaprotocol-dubbo", "traffic-mirroring.yaml", demo).expect("fixtures");
    assert!(mirror.routes[0].action.mirrors[0].cluster.contains("|v2|"));
    assert_eq!(mirror.routes[0].action.mirrors[0].fraction.numerator, 1_000_000);
    assert_eq!(
        mirror.routes[0].action.hash_policy,
        [HashPolicy::attribute("method")],
        "of consistent-hash-destinationrule.yaml"
    );
}

#[test]
fn limits_are_those_of_every_route() {
    let demo = "org.apache.dubbo.samples.basic.api.demoservice_20880";
    let Some(local) = route_of("e2e-metaprotocol-dubbo", "metarouter-local-ratelimit.yaml", demo) else { return };
    let limit = local.routes[0].local_rate_limit.as_ref().expect("a limit");
    assert_eq!((limit.bucket.map(|bucket| bucket.max_tokens), limit.conditions.len()), (Some(5), 1));
    let global = route_of("demo-metaprotocol-dubbo", "metarouter-global-ratelimit.yaml", demo).expect("fixtures");
    let limit = global.routes[0].global_rate_limit.as_ref().expect("a limit");
    assert_eq!(limit.cluster, "outbound|8081||rate-limit-server.meta-dubbo.svc.cluster.local");
    assert!(limit.failure_mode_deny && limit.timeout.as_millis() == 100 && limit.matches.len() == 1);
    assert_eq!(global.routes[0].name, "default");
}

#[test]
fn authorization_policies_guard_the_services_of_their_namespace() {
    let Some(root) = fixtures() else { return };
    let service = "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: o, namespace: dubbo}, \
                   spec: {hosts: [order.example], ports: [{number: 20880, name: tcp-metaprotocol-dubbo}]}}";
    let service = yaml::parse("service.yaml", service).expect("YAML").into_iter().filter_map(Document::into_object);
    let policies = ["dubbo-authorization-allow.yaml", "dubbo-authorization-deny.yaml"]
        .into_iter()
        .flat_map(|file| objects(&root.join("authored").join(file), "default"));
    let translation = translate(&World::new(service.chain(policies), DEFAULT_DOMAIN), &Options::default());
    assert!(translation.rejections.is_empty(), "{:?}", translation.rejections);
    let policies = &translation.routes["order.example_20880"].routes[0].authorization;
    let names: Vec<_> = policies.iter().map(|policy| (policy.name.as_str(), policy.action)).collect();
    let (allow, deny) = (AuthorizationAction::Allow, AuthorizationAction::Deny);
    assert_eq!(names, [("dubbo/allow-consumer", allow), ("dubbo/deny-batch", deny)]);
    assert_eq!(policies[0].rules[0].to[0].attributes["method"].values, ["get*"]);
    assert_eq!(policies[1].rules[0].from[0].principals.not_values, ["cluster.local/ns/batch-ops/sa/admin"]);
}

#[test]
fn short_hosts_of_rules_are_completed() {
    let Some(files) = fixtures().map(|root| entries(&root.join("demo-metaprotocol-brpc"))) else { return };
    let translation = translate_with(&files[0], &files, "meta-brpc");
    let rejections: Vec<&Rejection> = translation.rejections.iter().collect();
    assert!(
        translation.clusters.keys().any(|name| name.contains("|v1|brpc-echo-server.meta-brpc.svc.")),
        "{rejections:?}"
    );
}
