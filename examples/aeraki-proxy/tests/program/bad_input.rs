//! What is refused: exit code 1 and one line that names file, field and reason; bad arguments are shown the usage.

use std::net::TcpListener;

use crate::{
    bootstrap, cluster, command, file, listener, protocol, run,
    serving::{in_file, routes_file},
    to_cluster,
};

fn refused(text: &str, arguments: &[&str]) -> String {
    let file = file(text);
    let path = file.path().display().to_string();
    let (code, said) = run(&[&["-c", &path], arguments].concat());
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    let rest = said.strip_prefix(&format!("aeraki-proxy: {path}: "));
    rest.unwrap_or_else(|| panic!("{said} names the file")).trim_end().to_owned()
}

fn good_listener(port: u16) -> String {
    listener(port, &format!("{}, {}", protocol("dubbo"), to_cluster("c")))
}

#[test]
fn bad_configurations_name_field_and_reason() {
    let clusters = [cluster("c", 1)];
    let unknown_field = good_listener(0).replace("stat_prefix", "stat_prefixes");
    let unknown_cluster = good_listener(0).replace("cluster: c", "cluster: d");
    let other = good_listener(20880).replace("name: in", "name: other");
    for (listeners, expected) in [
        (vec![unknown_field], "stat_prefixes: aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy has no such field"),
        (
            vec![unknown_cluster],
            "listener \"in\": filter_chains[0].filters.typed_config.route_config.routes[0] \"all\".route: there is no cluster \"d\"",
        ),
        (vec![good_listener(0), good_listener(0)], "listener \"in\": name: is there twice"),
        (vec![good_listener(20880), other], "listener \"other\": address: 127.0.0.1:20880 is taken by listener \"in\""),
    ] {
        for mode in ["validate", "serve"] {
            let said = refused(&bootstrap(&listeners, &clusters), &["--mode", mode]);
            let said = said.strip_prefix("static_resources.listeners[0]").map_or(&*said, |field| {
                let (_, field) = field.rsplit_once("typed_config.").expect("a path");
                field
            });
            assert_eq!(said, expected);
        }
    }
    let said = refused("node: {id: a\nadmin: [", &[]);
    assert!(said.contains("line 2"), "{said}");
}

#[test]
fn validate_refuses_what_serve_refuses() {
    let good = || good_listener(0);
    let cluster_with = |fields: &str| cluster("c", 1).replacen("{name: c,", &format!("{{name: c, {fields},"), 1);
    let check = "timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1";
    let heartbeat =
        format!("health_checks: [{{{check}, custom_health_check: {{name: aeraki.health_checkers.thrift}}}}]");
    let tls = "transport_socket: {name: envoy.transport_sockets.tls, typed_config: {'@type': \
               type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: \
               {validation_context: {trusted_ca: {filename: /nowhere/ca.pem}}}}}";
    let rds = "rds: {route_config_name: table, config_source: {resource_api_version: V3, api_config_source: \
               {api_type: GRPC, transport_api_version: V3, grpc_services: {envoy_grpc: {cluster_name: c}}}}}";
    let fault = "stat_prefix: test, meta_protocol_filters: {name: aeraki.meta_protocol.filters.fault, config: {'@type': \
                 type.googleapis.com/aeraki.meta_protocol_proxy.filters.fault.v1alpha.Fault, abort: {status: 256}}},";
    let other = |address: &str| {
        good_listener(20880).replace("name: in", "name: other").replacen("127.0.0.1", &format!("'{address}'"), 1)
    };
    let admin = |port: u16| format!("address: 127.0.0.1, port_value: {port}");
    let at_port = bootstrap(&[good_listener(20880)], &[cluster("c", 1)]).replacen(&admin(0), &admin(20880), 1);
    for (text, expected) in [
        (
            bootstrap(&[good_listener(20880), other("0.0.0.0")], &[cluster("c", 1)]),
            "listener \"other\": address: 0.0.0.0:20880 is taken by listener \"in\" on 127.0.0.1:20880",
        ),
        (
            bootstrap(&[good_listener(20880), other("::")], &[cluster("c", 1)]),
            "listener \"other\": address: [::]:20880 is taken by listener \"in\" on 127.0.0.1:20880",
        ),
        (at_port, "proxy: admin.address: 127.0.0.1:20880 is taken by listener \"in\""),
        (
            bootstrap(&[good()], &[cluster_with(&heartbeat)]),
            "cluster \"c\": health_checks[0].custom_health_check.name: \
             \"thrift\" has no sign of life to ask for: use a check over TCP",
        ),
        (
            bootstrap(&[good().replacen("stat_prefix: test,", fault, 1)], &[cluster("c", 1)]),
            "listener \"in\": filter_chains[0].filters.typed_config.meta_protocol_filters[0] \
             \"aeraki.meta_protocol.filters.fault\".config.abort.status: \"dubbo\" has no failure with the status 256",
        ),
        (
            bootstrap(&[good()], &[cluster_with(tls)]),
            "trusted_ca: /nowhere/ca.pem: cannot be read: No such file or directory (os error 2)",
        ),
        (
            bootstrap(&[listener(0, &format!("{}, {rds}", protocol("dubbo")))], &["{name: c}".to_owned()]),
            "cluster \"c\": endpoints: a control plane must have at least one",
        ),
    ] {
        for mode in ["validate", "serve"] {
            let said = refused(&text, &["--mode", mode]);
            assert!(said.ends_with(expected), "{mode}: {said}");
        }
    }
}

#[test]
fn a_missing_file_is_one_line() {
    let (code, said) = run(&["-c", "/nowhere/at/all.yaml"]);
    let expected = "aeraki-proxy: /nowhere/at/all.yaml: No such file or directory (os error 2)\n";
    assert_eq!((code, &*said), (Some(1), expected));
}

#[test]
fn bad_arguments_are_told_with_the_usage() {
    for (arguments, expected) in [
        (&["--confg", "x"][..], "unexpected argument '--confg' found"),
        (&[], "the following required arguments were not provided:\n  --config-path <FILE>"),
        (&["-c", "x", "--mode", "lint"], "invalid value 'lint' for '--mode <MODE>'"),
        (&["-c", "x", "--workers", "0"], "invalid value '0' for '--workers <N>': 0 is not in 1..=1024"),
        (&["-c", "x", "--log-level", "loud"], "invalid value 'loud' for '--log-level <LEVEL>'"),
    ] {
        let (code, said) = run(arguments);
        assert!(code == Some(2) && said.starts_with(&format!("error: {expected}")), "{code:?} {said}");
        assert!(said.contains("--help"), "{said}");
    }
}

#[test]
fn a_log_filter_that_cannot_be_read_is_one_line() {
    let output =
        command(&["-c", "x"]).env("RUST_LOG", "aeraki::authorization=loud").output().expect("the program runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("aeraki-proxy: RUST_LOG: "), "{said}");
}

#[test]
fn a_port_in_use_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let text = bootstrap(&[good_listener(address.port())], &[cluster("c", 1)]);
    for workers in ["1", "2"] {
        let said = refused(&text, &["--workers", workers]);
        assert!(said.starts_with(&format!("listener \"in\": address: cannot listen on {address}: ")), "{said}");
    }
    let text = bootstrap(&[good_listener(0)], &[cluster("c", 1)]);
    let said = refused(&text.replacen("port_value: 0", &format!("port_value: {}", address.port()), 1), &[]);
    assert!(said.starts_with(&format!("proxy: admin.address: cannot listen on {address}: ")), "{said}");
}

#[test]
fn a_file_of_routes_is_part_of_the_configuration() {
    let routes = file(&routes_file("cluster: c, timeout: soon"));
    let path = routes.path().display().to_string();
    for mode in ["validate", "serve"] {
        let said = refused(&in_file(routes.path(), &[cluster("c", 1)]), &["--mode", mode]);
        assert!(said.starts_with(&format!("{path}: ")) && said.contains("routes[0].route.timeout: "), "{said}");
        let said = refused(&in_file("/nowhere/routes.yaml".as_ref(), &[cluster("c", 1)]), &["--mode", mode]);
        assert!(said.starts_with("/nowhere/routes.yaml: "), "{said}");
        let unknown = file(&routes_file("cluster: d"));
        let said = refused(&in_file(unknown.path(), &[cluster("c", 1)]), &["--mode", mode]);
        let place = "route configuration \"table\": routes[0] \"all\".route: there is no cluster \"d\"";
        assert_eq!(said, format!("{}: {place}", unknown.path().display()));
    }
}
