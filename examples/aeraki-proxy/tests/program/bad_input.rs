//! What is refused: exit code 1 and one line that names file, field and reason.

use std::net::TcpListener;

use crate::{bootstrap, cluster, file, listener, protocol, run, to_cluster};

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
            "listener \"in\": filterChains[0].filter.metaProtocolProxy.routes.inline.routes[0] \"all\".action: there is no cluster \"d\"",
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
fn a_missing_file_and_bad_arguments_are_one_line() {
    let (code, said) = run(&["-c", "/nowhere/at/all.yaml"]);
    let expected = "aeraki-proxy: /nowhere/at/all.yaml: No such file or directory (os error 2)\n";
    assert_eq!((code, &*said), (Some(1), expected));
    let (code, said) = run(&["--confg", "x"]);
    assert_eq!((code, &*said), (Some(1), "aeraki-proxy: error: unexpected argument '--confg' found\n"));
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
    assert!(said.starts_with(&format!("proxy: admin: cannot listen on {address}: ")), "{said}");
}
