//! The clusters of which Envoy and our proxy must make the same ring or table.

use serde_json::{Value, json};

use super::servers::Servers;
use crate::peers::proxy::address;

/// One cluster, by its name.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) cluster: Value,
}

/// Makes all clusters of these servers.
pub(super) fn cases(servers: &Servers) -> Vec<Case> {
    let Servers { ports, paths } = servers;
    let equal = || vec![json!({"lb_endpoints": endpoints(ports, |_, _| {})})];
    let weighted = || {
        let weigh = |index: usize, endpoint: &mut Value| endpoint["load_balancing_weight"] = json!(index + 1);
        vec![json!({"lb_endpoints": endpoints(ports, weigh)})]
    };
    let keyed = || {
        let name = |index: usize, endpoint: &mut Value| {
            endpoint["metadata"] = json!({"filter_metadata": {"envoy.lb": {"hash_key": format!("server-{index}")}}});
        };
        vec![json!({"lb_endpoints": endpoints(ports, name)})]
    };
    let pipes = || {
        let lead = |index: usize, endpoint: &mut Value| {
            endpoint["endpoint"]["address"] = json!({"pipe": {"path": paths[index]}});
        };
        vec![json!({"lb_endpoints": endpoints(ports, lead)})]
    };
    let ring = |config: Value| json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": config});
    let murmur = || ring(json!({"hash_function": "MURMUR_HASH_2"}));
    let maglev = |config: Value| json!({"lb_policy": "MAGLEV", "maglev_lb_config": config});
    let by_locality = |mut policy: Value| {
        policy["common_lb_config"] = json!({"locality_weighted_lb_config": {}});
        policy
    };
    vec![
        case("ring", ring(json!({})), equal()),
        case("ring, weights", ring(json!({})), weighted()),
        case("ring, hash keys", ring(json!({})), keyed()),
        case("ring, Unix sockets", ring(json!({})), pipes()),
        case("ring, localities", by_locality(ring(json!({}))), localities(ports)),
        case("ring, few points", ring(json!({"minimum_ring_size": 8})), equal()),
        case("ring, bounded", ring(json!({"minimum_ring_size": 5, "maximum_ring_size": 21})), weighted()),
        case("ring, MurmurHash2", murmur(), equal()),
        case("ring, MurmurHash2, weights", murmur(), weighted()),
        case("maglev", maglev(json!({})), equal()),
        case("maglev, weights", maglev(json!({})), weighted()),
        case("maglev, hash keys", maglev(json!({})), keyed()),
        case("maglev, Unix sockets", maglev(json!({})), pipes()),
        case("maglev, localities", by_locality(maglev(json!({}))), localities(ports)),
        case("maglev, small table", maglev(json!({"table_size": 251})), weighted()),
    ]
}

fn case(name: &'static str, mut cluster: Value, endpoints: Vec<Value>) -> Case {
    cluster["name"] = name.into();
    cluster["type"] = "STATIC".into();
    cluster["load_assignment"] = json!({"cluster_name": name, "endpoints": endpoints});
    Case { name, cluster }
}

/// Three localities of different weights, with endpoints of different weights.
fn localities(ports: &[u16]) -> Vec<Value> {
    let size = ports.len().div_ceil(3);
    let locality = |(index, ports): (usize, &[u16])| {
        let weigh = |place: usize, endpoint: &mut Value| endpoint["load_balancing_weight"] = json!(place % 2 + 1);
        json!({
            "locality": {"region": "r", "zone": format!("z{index}")},
            "load_balancing_weight": 2 * index + 1,
            "lb_endpoints": endpoints(ports, weigh),
        })
    };
    ports.chunks(size).enumerate().map(locality).collect()
}

fn endpoints(ports: &[u16], change: impl Fn(usize, &mut Value)) -> Vec<Value> {
    let endpoint = |(index, port): (usize, &u16)| {
        let mut endpoint = json!({"endpoint": {"address": address(*port)}});
        change(index, &mut endpoint);
        endpoint
    };
    ports.iter().enumerate().map(endpoint).collect()
}
