//! Keeps `docs/policies.md` true: its YAML is what the readers read, its counters are those that count.

use std::{fs, time::Duration};

use aeraki_core::{
    codec::{Reason, Registry},
    observe::Samples,
    proxy::Proxy,
    route::config::{
        self, Filter, FilterConfig, Listener, LocalRateLimit, MetaProtocolProxy, NetworkFilter, ProtocolConfig,
        RouteConfig, RouteSource, TokenBucket,
    },
    stack::Filters,
};
use aeraki_kube::{FileOptions, FileSource, Options, translate};
use aeraki_route::RouteTable;
use aeraki_xds::{RouteFile, bootstrap::Bootstrap, ratelimit::Clients};

const TEXT: &str = include_str!("../../../docs/policies.md");

/// Lists the YAML blocks of a kind, which their first line names.
fn blocks(kind: &str) -> Vec<&'static str> {
    let blocks = TEXT.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let found: Vec<_> = blocks.filter_map(|block| block.strip_prefix(&format!("# {kind}\n"))).collect();
    assert!(!found.is_empty(), "no block of kind {kind}");
    found
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

#[test]
fn every_block_is_of_a_known_kind() {
    let all = TEXT.matches("```yaml\n").count();
    assert_eq!(
        ["codec", "file", "filter", "metards", "route", "object"].map(|kind| blocks(kind).len()).iter().sum::<usize>(),
        all
    );
}

/// Reads and compiles a listener with a codec, in one line, and filters, as the bootstrap has them.
fn listening(codec: &str, filters: &str) -> config::Proxy {
    let yaml = format!(
        "
static_resources:
  listeners:
  - name: in
    address: {{socket_address: {{address: 127.0.0.1, port_value: 20880}}}}
    traffic_direction: INBOUND
    filter_chains:
    - filters:
      - name: aeraki.meta_protocol_proxy
        typed_config:
          '@type': type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy
          stat_prefix: in
          protocol:
            name: dubbo
            codec:
{codec}
          route_config: {{routes: [{{route: {{cluster: c}}}}]}}
          meta_protocol_filters:
{filters}
  clusters:
  - name: c
  - name: ratelimit
    type: STATIC
    load_assignment:
      cluster_name: ratelimit
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 8081}}}}}}}}]}}]
",
        codec = indented(codec, 14),
        filters = indented(filters, 12).replacen("            ", "          - ", 1),
    );
    let Bootstrap { proxy, warnings, .. } =
        Bootstrap::from_yaml(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    assert_eq!(warnings, [], "{yaml}");
    let filters = Filters::new().with_rate_limiters(Clients::new(&proxy.clusters));
    Proxy::with_filters(proxy.clone(), &Registry::builtin(), &filters)
        .unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    proxy
}

#[test]
fn every_filter_is_read_and_compiled() {
    for filter in blocks("filter") {
        listening("name: dubbo", filter);
    }
}

#[test]
fn every_codec_is_read_and_has_options() {
    for codec in blocks("codec") {
        let proxy = listening(codec, "name: aeraki.meta_protocol.filters.router");
        let NetworkFilter::MetaProtocolProxy(service) = &proxy.listeners[0].filter_chains[0].filter else {
            panic!("{codec}")
        };
        assert!(!service.protocol.options.is_empty(), "{codec}");
    }
}

#[test]
fn every_file_of_routes_is_read_and_compiled() {
    for file in blocks("file") {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("routes.yaml");
        fs::write(&path, file).expect("written");
        let table = RouteFile::new(path).read("greeter").unwrap_or_else(|error| panic!("{error}"));
        let [hello, rest] = &table.routes[..] else { panic!("two routes") };
        assert!(hello.action.timeout.is_some() && hello.action.retry.is_some() && rest.action.retry.is_none());
        RouteTable::compile(&table).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_route_and_object_is_translated() {
    let mesh = include_str!("../../quickstart/mesh/dubbo-greeter.yaml");
    let (service, _) = mesh.split_once("# Change the weights").expect("the router comes last");
    let router = "
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: greeter, namespace: demo}
spec:
  hosts: [dubbo.demo.greeter]
  routes:
  - name: documented
    route: [{destination: {host: dubbo.demo.greeter}}]
";
    let objects = blocks("object").into_iter().map(|object| format!("{service}{router}---\n{object}"));
    let routes = blocks("route").into_iter().map(|route| format!("{service}{router}{}", indented(route, 4)));
    for yaml in objects.chain(routes) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("all.yaml"), &yaml).expect("written");
        let source = FileSource::open(folder.path(), &FileOptions::default());
        let source = source.unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        let translation = translate(&source.worlds().borrow(), &Options::default());
        assert!(translation.rejections.is_empty(), "{:?}\n{yaml}", translation.rejections);
        let [routes] = translation.routes.values().collect::<Vec<_>>()[..] else { panic!("one table") };
        let mut action = config::RouteAction::default();
        action.destination = routes.routes[0].action.destination.clone();
        let says_more = routes.routes[0] != config::Route::new("documented", action);
        assert!(says_more, "{yaml}");
    }
}

/// What the text says filters and MetaRDS alone have, a MetaRouter refuses.
#[test]
fn fields_that_no_meta_router_has_are_marked() {
    let mesh = include_str!("../../quickstart/mesh/dubbo-greeter.yaml");
    let marked: Vec<_> = TEXT.lines().filter_map(|line| line.split_once("` (filters and MetaRDS only)")).collect();
    let tried = [
        ("scope", "localRateLimit: {tokenBucket: {maxTokens: 1, fillInterval: 1s}, scope: CONNECTION}"),
        ("match", "fault: {delay: {fixedDelay: 1s}, match: {attributes: {user: {exact: victim}}}}"),
        ("maxActive", "fault: {delay: {fixedDelay: 1s}, maxActive: 1}"),
    ];
    let names: Vec<_> = marked.iter().map(|(field, _)| field.trim_start_matches("| `")).collect();
    assert_eq!(names, ["scope", "match", "max_active"]);
    for (field, route) in tried {
        let folder = tempfile::tempdir().expect("a folder");
        let yaml = mesh.replace("  - name: share\n", &format!("  - name: share\n    {route}\n"));
        assert_ne!(yaml, mesh);
        fs::write(folder.path().join("all.yaml"), yaml).expect("written");
        let error = FileSource::open(folder.path(), &FileOptions::default()).expect_err("refused").to_string();
        assert!(error.contains(&format!("unknown field `{field}`")), "{error}");
    }
}

/// Lists the counters that the text names: all in a sentence that begins with "Counter", one behind "counted as".
fn counters() -> Vec<String> {
    let listed = TEXT.split("Counter").skip(1).flat_map(|text| {
        let sentence = text.split(". ").next().unwrap_or_default().split("\n\n").next().unwrap_or_default();
        sentence.split('`').skip(1).step_by(2)
    });
    let counted = ["counted as `", "counted in `", "counted\nin `"].map(|words| TEXT.split(words).skip(1));
    let single = counted.into_iter().flatten().filter_map(|text| text.split('`').next());
    listed.chain(single).filter(|name| !name.ends_with("<counter>")).flat_map(full_names).collect()
}

/// Fills the places of a name in with what [`samples`] has there.
fn full_names(name: &str) -> Vec<String> {
    let name = name.replace("<stat_prefix>", "limit").replace("<name>", "c");
    if name.contains("<reason>") {
        let of = |reason: &Reason| format!("meta_protocol.dubbo.in.{}", name.replace("<reason>", reason.as_str()));
        return Reason::ALL.iter().map(of).collect();
    }
    vec![match name.split_once('.') {
        Some(("", last)) => format!("meta_protocol.limit.local_rate_limit.{last}"),
        Some(_) => name,
        None => format!("meta_protocol.dubbo.in.{name}"),
    }]
}

/// Returns the counters of a proxy with the listener `in`, the local rate limit `limit` and the cluster `c`.
fn samples() -> Samples {
    let limit = LocalRateLimit::new("limit").with_bucket(TokenBucket::new(1, 1, Duration::from_secs(1)));
    let routes = RouteConfig::new("table", [config::Route::new("all", config::RouteAction::cluster("c"))]);
    let service = MetaProtocolProxy::new("in", ProtocolConfig::new("dubbo"), RouteSource::Inline(routes))
        .with_filter(Filter::new("limit", FilterConfig::LocalRateLimit(limit.into())));
    let listener = Listener::of("in", "127.0.0.1:0".parse().expect("an address"), service);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let proxy = Proxy::new(
            config::Proxy::default().with_cluster(config::Cluster::new("c")).with_listener(listener),
            &Registry::builtin(),
        )
        .expect("valid");
        proxy.start_here().expect("a free port").stats().samples()
    })
}

#[test]
fn every_counter_exists() {
    let (samples, counters) = (samples(), counters());
    for name in &counters {
        assert!(samples.get(name).is_some(), "there is no counter {name}");
    }
    assert!(counters.len() >= 43, "only {} were found", counters.len());
}
