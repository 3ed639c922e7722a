//! Clusters: what is read of them, and what is refused by name.

use std::{net::SocketAddr, time::Duration};

use aeraki_route::config::{
    Address, Cluster, CommonLb, Decimal, Endpoint, HashFunction, HealthStatus, LbPolicy, LeastRequest, Locality,
    Maglev, Pipe, RingHash, SlowStart, SocketAddress, SubsetFallback, SubsetSelector, Subsets,
};
use prost_types::{Struct, Value, value::Kind};

use super::*;
use crate::proto::envoy::config::cluster::v3 as proto;
use crate::proto::envoy::config::core::v3::{self as core, RuntimeDouble};
use crate::proto::envoy::config::endpoint::v3 as endpoint;
use crate::proto::envoy::r#type::v3::Percent;
use parts::LbConfig;
use proto::cluster as parts;

fn refused(change: impl FnOnce(&mut proto::Cluster)) -> String {
    let mut cluster = proto::Cluster { name: "c".to_owned(), ..proto::Cluster::default() };
    change(&mut cluster);
    cluster_from_proto(&cluster).expect_err("is refused").to_string()
}

#[test]
fn what_cannot_be_balanced_is_refused_by_name() {
    let selector = |fallback| parts::lb_subset_config::LbSubsetSelector {
        keys: vec!["k".to_owned()],
        fallback_policy: fallback,
        ..Default::default()
    };
    let subsets = |selector| Some(parts::LbSubsetConfig { subset_selectors: vec![selector], ..Default::default() });
    let hashing = |factor, hostname| {
        let config = parts::common_lb_config::ConsistentHashingLbConfig {
            use_hostname_for_hashing: hostname,
            hash_balance_factor: factor,
        };
        Some(parts::CommonLbConfig { consistent_hashing_lb_config: Some(config), ..Default::default() })
    };
    let assignment = |assignment: endpoint::ClusterLoadAssignment| Some(assignment);
    let drops =
        endpoint::cluster_load_assignment::Policy { drop_overloads: vec![Default::default()], ..Default::default() };
    let cases = [
        (refused(|c| c.lb_policy = 6), "lb_policy: CLUSTER_PROVIDED is not supported"),
        (refused(|c| c.lb_policy = 77), "lb_policy: 77 is not supported"),
        (
            refused(|c| c.load_balancing_policy = Some(Default::default())),
            "load_balancing_policy: is not supported: use lb_policy",
        ),
        (
            refused(|c| c.lb_config = Some(LbConfig::MaglevLbConfig(Default::default()))),
            "maglev_lb_config: belongs to MAGLEV, and lb_policy is ROUND_ROBIN",
        ),
        (
            refused(|c| c.common_lb_config = hashing(Some(120), false)),
            "common_lb_config.consistent_hashing_lb_config.hash_balance_factor: needs the lb_policy",
        ),
        (
            refused(|c| c.common_lb_config = hashing(None, true)),
            "common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing: is not supported",
        ),
        (
            refused(|c| {
                c.lb_policy = 5;
                c.lb_config = Some(LbConfig::MaglevLbConfig(parts::MaglevLbConfig { table_size: Some(u64::MAX) }));
            }),
            "lbPolicy.tableSize: must not exceed 5000011",
        ),
        (
            refused(|c| c.lb_subset_config = subsets(selector(4))),
            "lb_subset_config.subset_selectors[0].fallback_policy: KEYS_SUBSET is not supported",
        ),
        (
            refused(|c| c.lb_subset_config = subsets(selector(9))),
            "lb_subset_config.subset_selectors[0].fallback_policy: 9",
        ),
        (
            refused(|c| {
                let threshold = Some(Percent { value: f64::NAN });
                c.common_lb_config =
                    Some(parts::CommonLbConfig { healthy_panic_threshold: threshold, ..Default::default() });
            }),
            "common_lb_config.healthy_panic_threshold: must be a number of at least 0",
        ),
        (
            refused(|c| {
                c.load_assignment =
                    assignment(endpoint::ClusterLoadAssignment { policy: Some(drops), ..Default::default() });
            }),
            "load_assignment.policy.drop_overloads: is not supported",
        ),
    ];
    for (text, expected) in cases {
        assert!(text.starts_with(&format!("cluster \"c\": {expected}")), "{text}");
    }
}

#[test]
fn latency_is_asked_for_in_our_own_metadata() {
    let number = |number| Value { kind: Some(Kind::NumberValue(number)) };
    let cluster = |decay| {
        let fields = [("peak_ewma_decay".to_owned(), decay)].into();
        let filter_metadata = [("aeraki".to_owned(), Struct { fields })].into();
        proto::Cluster {
            name: "c".to_owned(),
            metadata: Some(core::Metadata { filter_metadata, ..Default::default() }),
            ..Default::default()
        }
    };
    let read = cluster_from_proto(&cluster(number(2.5))).expect("is valid");
    assert!(matches!(read.lb_policy, LbPolicy::PeakEwma(policy) if policy.decay == Duration::from_millis(2500)));
    for bad in [number(0.0), number(-1.0), number(f64::NAN), number(1e300), Value { kind: Some(Kind::BoolValue(true)) }]
    {
        cluster_from_proto(&cluster(bad)).expect_err("is no time");
    }
    let other = proto::Cluster { lb_policy: 1, ..cluster(number(1.0)) };
    let refused = cluster_from_proto(&other).expect_err("are two policies").to_string();
    assert!(refused.contains("aeraki.peak_ewma_decay: is a policy of its own"), "{refused}");
}

/// The reverse of the conversion, which nothing but this test needs.
fn to_proto(cluster: &Cluster) -> proto::Cluster {
    let slow = cluster.slow_start.map(|slow| parts::SlowStartConfig {
        slow_start_window: slow.window.try_into().ok(),
        aggression: Some(double(slow.aggression)),
        min_weight_percent: Some(Percent { value: slow.min_weight_percent.value() }),
    });
    let (lb_policy, lb_config, factor) = match cluster.lb_policy {
        LbPolicy::RoundRobin => (
            0,
            slow.map(|slow| LbConfig::RoundRobinLbConfig(parts::RoundRobinLbConfig { slow_start_config: Some(slow) })),
            None,
        ),
        LbPolicy::Random => (3, None, None),
        LbPolicy::LeastRequest(policy) => {
            let config = parts::LeastRequestLbConfig {
                choice_count: Some(policy.choices),
                active_request_bias: Some(double(policy.active_request_bias)),
                slow_start_config: slow,
            };
            (1, Some(LbConfig::LeastRequestLbConfig(config)), None)
        }
        LbPolicy::RingHash(policy) => {
            let config = parts::RingHashLbConfig {
                minimum_ring_size: Some(policy.minimum.into()),
                maximum_ring_size: Some(policy.maximum.into()),
                hash_function: i32::from(policy.hash == HashFunction::MurmurHash2),
            };
            (2, Some(LbConfig::RingHashLbConfig(config)), policy.balance_factor)
        }
        LbPolicy::Maglev(policy) => {
            let config = parts::MaglevLbConfig { table_size: Some(policy.table_size.into()) };
            (5, Some(LbConfig::MaglevLbConfig(config)), policy.balance_factor)
        }
        other => panic!("{other:?} has no form"),
    };
    proto::Cluster {
        name: cluster.name.clone(),
        connect_timeout: cluster.connect_timeout.try_into().ok(),
        lb_policy,
        lb_config,
        common_lb_config: Some(common_to_proto(cluster.common_lb, factor)),
        lb_subset_config: cluster.subsets.as_ref().map(subsets_to_proto),
        load_assignment: Some(endpoint::ClusterLoadAssignment {
            endpoints: cluster.endpoints.iter().map(endpoint_to_proto).collect(),
            policy: Some(endpoint::cluster_load_assignment::Policy {
                overprovisioning_factor: Some(cluster.common_lb.overprovisioning_factor),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn double(number: Decimal) -> RuntimeDouble {
    RuntimeDouble { default_value: number.value(), runtime_key: "key".to_owned() }
}

fn common_to_proto(common: CommonLb, factor: Option<u32>) -> parts::CommonLbConfig {
    use parts::common_lb_config::{ConsistentHashingLbConfig, LocalityConfigSpecifier, LocalityWeightedLbConfig};
    let weighted = || LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {});
    let hashing = |factor| ConsistentHashingLbConfig { hash_balance_factor: Some(factor), ..Default::default() };
    parts::CommonLbConfig {
        healthy_panic_threshold: Some(Percent { value: common.healthy_panic_threshold.value() }),
        consistent_hashing_lb_config: factor.map(hashing),
        locality_config_specifier: common.locality_weighted.then(weighted),
        ..Default::default()
    }
}

fn subsets_to_proto(subsets: &Subsets) -> parts::LbSubsetConfig {
    let text = |text: &String| Value { kind: Some(Kind::StringValue(text.clone())) };
    let selector = |selector: &SubsetSelector| parts::lb_subset_config::LbSubsetSelector {
        keys: selector.keys.iter().cloned().collect(),
        fallback_policy: selector.fallback.map_or(0, |fallback| fallback_to_proto(fallback) + 1),
        ..Default::default()
    };
    let fields = subsets.default_subset.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    parts::LbSubsetConfig {
        fallback_policy: fallback_to_proto(subsets.fallback),
        default_subset: Some(Struct { fields }),
        subset_selectors: subsets.selectors.iter().map(selector).collect(),
        locality_weight_aware: subsets.locality_weight_aware,
        ..Default::default()
    }
}

fn fallback_to_proto(fallback: SubsetFallback) -> i32 {
    match fallback {
        SubsetFallback::AnyEndpoint => 1,
        SubsetFallback::DefaultSubset => 2,
        _ => 0,
    }
}

/// A locality of its own for every endpoint.
fn endpoint_to_proto(from: &Endpoint) -> endpoint::LocalityLbEndpoints {
    let address = match &from.address {
        Address::Socket(SocketAddress::Ip(address)) => core::address::Address::SocketAddress(core::SocketAddress {
            address: address.ip().to_string(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(address.port().into())),
            ..Default::default()
        }),
        Address::Socket(SocketAddress::Pipe(pipe)) => {
            core::address::Address::Pipe(core::Pipe { path: pipe.path.to_string(), mode: 0 })
        }
        other => panic!("{other:?}"),
    };
    let address = core::Address { address: Some(address) };
    let host = endpoint::Endpoint { address: Some(address), ..Default::default() };
    let locality = &from.locality;
    let one = endpoint::LbEndpoint {
        health_status: match from.health_status {
            HealthStatus::Degraded => core::HealthStatus::Degraded.into(),
            HealthStatus::Unhealthy => core::HealthStatus::Timeout.into(),
            HealthStatus::Draining => core::HealthStatus::Draining.into(),
            _ => core::HealthStatus::Unknown.into(),
        },
        metadata: labels::to_proto(&from.metadata),
        load_balancing_weight: Some(from.weight),
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(host)),
    };
    endpoint::LocalityLbEndpoints {
        locality: Some(core::Locality {
            region: locality.region.clone(),
            zone: locality.zone.clone(),
            sub_zone: locality.sub_zone.clone(),
        }),
        lb_endpoints: vec![one],
        load_balancing_weight: from.locality_weight,
        priority: from.priority,
        ..Default::default()
    }
}

fn percent(of: std::ops::RangeInclusive<f64>) -> impl Strategy<Value = Decimal> {
    of.prop_map(|number| Decimal::new(number).expect("is one"))
}

fn policy() -> impl Strategy<Value = LbPolicy> {
    let factor = || prop::option::of(100_u32..);
    let ring = (1_u32..=8_388_608, 1_u32..=8_388_608, any::<bool>(), factor());
    prop_oneof![
        Just(LbPolicy::RoundRobin),
        Just(LbPolicy::Random),
        (2_u32.., percent(0.0..=9.0)).prop_map(|(choices, bias)| {
            LbPolicy::LeastRequest(LeastRequest::default().with_choices(choices).with_active_request_bias(bias))
        }),
        ring.prop_map(|(one, other, murmur, factor)| {
            let hash = if murmur { HashFunction::MurmurHash2 } else { HashFunction::XxHash };
            let mut ring = RingHash::default().with_size(one.min(other), one.max(other)).with_hash(hash);
            ring.balance_factor = factor;
            LbPolicy::RingHash(ring)
        }),
        (prop::sample::select(vec![2_u32, 65_537, 5_000_011]), factor()).prop_map(|(size, factor)| {
            let mut maglev = Maglev::default().with_table_size(size);
            maglev.balance_factor = factor;
            LbPolicy::Maglev(maglev)
        }),
    ]
}

fn subsets() -> impl Strategy<Value = Subsets> {
    let fallback = || {
        prop::sample::select(vec![
            SubsetFallback::NoFallback,
            SubsetFallback::AnyEndpoint,
            SubsetFallback::DefaultSubset,
        ])
    };
    let keys = prop::collection::btree_set(prop::collection::btree_set("[a-z]{1,3}", 1..3), 1..4);
    let default = prop::collection::btree_map("[a-z]{1,3}", ".{0,3}", 0..3);
    (keys, prop::option::of(fallback()), fallback(), default).prop_map(|(keys, own, fallback, default)| {
        let mut subsets = Subsets::new(keys.into_iter().map(SubsetSelector::new)).with_fallback(fallback);
        subsets.selectors[0].fallback = own;
        if fallback == SubsetFallback::DefaultSubset {
            subsets.default_subset = default;
        }
        subsets
    })
}

fn one_endpoint() -> impl Strategy<Value = Endpoint> {
    let health = vec![HealthStatus::Healthy, HealthStatus::Degraded, HealthStatus::Unhealthy, HealthStatus::Draining];
    let labels = prop::collection::btree_map("[a-z]{1,3}", ".{0,3}", 0..3);
    let address = prop_oneof![
        any::<([u8; 4], u16)>().prop_map(|address| SocketAddr::from(address).into()),
        "[/@][a-z]{1,3}".prop_map(|path| Address::from(Pipe::new(path))),
    ];
    (address, 1_u32.., "[a-z]{0,3}", 0_u32..=128, prop::sample::select(health), labels).prop_map(
        |(address, weight, zone, priority, health, labels)| {
            let mut endpoint = Endpoint::new(address)
                .with_weight(weight)
                .with_locality(Locality::new("region", zone, ""))
                .with_priority(priority)
                .with_health_status(health);
            // as the check wants it: the same wherever the locality is the same
            endpoint.locality_weight = endpoint.locality.zone.len().checked_sub(1).map(|weight| weight as u32);
            endpoint.metadata = labels;
            endpoint
        },
    )
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let slow = (1_u64..1 << 40, percent(0.1..=9.0), percent(0.0..=100.0));
    let common = (percent(0.0..=100.0), 1_u32.., any::<bool>(), any::<bool>());
    let endpoints = prop::collection::vec(one_endpoint(), 0..5);
    (policy(), prop::option::of(slow), common, prop::option::of(subsets()), endpoints).prop_map(
        |(policy, slow, (threshold, factor, weighted, aware), subsets, endpoints)| {
            let common = CommonLb::default()
                .with_healthy_panic_threshold(threshold)
                .with_overprovisioning_factor(factor)
                .with_locality_weighted(weighted);
            let mut cluster = Cluster::new("c").with_lb_policy(policy).with_common_lb(common);
            if matches!(policy, LbPolicy::RoundRobin | LbPolicy::LeastRequest(_)) {
                cluster.slow_start = slow.map(|(nanos, aggression, percent)| {
                    SlowStart::new(Duration::from_nanos(nanos))
                        .with_aggression(aggression)
                        .with_min_weight_percent(percent)
                });
            }
            cluster.subsets = subsets.map(|subsets| subsets.with_locality_weight_aware(weighted && aware));
            cluster.endpoints = endpoints;
            cluster
        },
    )
}

proptest! {
    #[test]
    fn every_way_of_balancing_is_read_as_it_was_written(cluster in any_cluster()) {
        prop_assert_eq!(cluster_from_proto(&to_proto(&cluster)), Ok(cluster));
    }
}
