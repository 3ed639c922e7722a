use std::net::SocketAddr;

use serde_json::{from_value, json, to_value};

use super::*;
use crate::config::{Decimal, HealthStatus, Locality};

fn cluster() -> Cluster {
    Cluster::new("c")
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn decimal(number: f64) -> Decimal {
    Decimal::new(number).expect("is finite and not negative")
}

fn assert_refused(cases: impl IntoIterator<Item = (Cluster, &'static str)>) {
    for (cluster, expected) in cases {
        let refused = cluster.validate().expect_err("the configuration is wrong").to_string();
        assert_eq!(refused, format!("cluster \"c\": {expected}"));
    }
}

#[test]
fn policies_out_of_range_are_refused() {
    let policy = |policy| cluster().with_lb_policy(policy);
    let ring = RingHash::default();
    let maglev = Maglev::default();
    assert_refused([
        (
            policy(LbPolicy::LeastRequest(LeastRequest::default().with_choices(1))),
            "lbPolicy.choices: must be at least 2",
        ),
        (
            policy(LbPolicy::PeakEwma(PeakEwma::default().with_decay(Duration::ZERO))),
            "lbPolicy.decay: must not be zero",
        ),
        (policy(LbPolicy::RingHash(ring.with_size(0, 1))), "lbPolicy.minimum: must not be zero"),
        (policy(LbPolicy::RingHash(ring.with_size(1, 8_388_609))), "lbPolicy.maximum: must not exceed 8388608"),
        (
            policy(LbPolicy::RingHash(ring.with_size(20, 10))),
            "lbPolicy.minimum: must not exceed the maximum, which is 10",
        ),
        (policy(LbPolicy::RingHash(ring.with_balance_factor(99))), "lbPolicy.balanceFactor: must be at least 100"),
        (policy(LbPolicy::Maglev(maglev.with_table_size(65_536))), "lbPolicy.tableSize: must be a prime number"),
        (policy(LbPolicy::Maglev(maglev.with_table_size(1))), "lbPolicy.tableSize: must be a prime number"),
        (policy(LbPolicy::Maglev(maglev.with_table_size(5_000_077))), "lbPolicy.tableSize: must not exceed 5000011"),
        (policy(LbPolicy::Maglev(maglev.with_balance_factor(0))), "lbPolicy.balanceFactor: must be at least 100"),
    ]);
    for policy in [
        LbPolicy::RingHash(ring),
        LbPolicy::RingHash(ring.with_size(1, 1).with_balance_factor(100)),
        LbPolicy::Maglev(maglev),
        LbPolicy::Maglev(maglev.with_table_size(2)),
        LbPolicy::Maglev(maglev.with_table_size(5_000_011)),
        LbPolicy::PeakEwma(PeakEwma::default()),
        LbPolicy::LeastRequest(LeastRequest::default().with_active_request_bias(Decimal::ZERO)),
    ] {
        assert_eq!(cluster().with_lb_policy(policy).validate(), Ok(()));
    }
}

#[test]
fn slow_start_belongs_to_two_policies_and_has_bounds() {
    let slow = SlowStart::new(Duration::from_secs(1));
    let with = |slow| cluster().with_slow_start(slow);
    let needs = "slowStart: needs the policy round robin or least request";
    assert_refused([
        (with(slow).with_lb_policy(LbPolicy::Random), needs),
        (with(slow).with_lb_policy(LbPolicy::Maglev(Maglev::default())), needs),
        (with(SlowStart::new(Duration::ZERO)), "slowStart.window: must not be zero"),
        (with(slow.with_aggression(Decimal::ZERO)), "slowStart.aggression: must not be zero"),
        (with(slow.with_min_weight_percent(decimal(100.5))), "slowStart.minWeightPercent: must not exceed 100"),
    ]);
    assert_eq!(with(slow).validate(), Ok(()));
    assert_eq!(with(slow).with_lb_policy(LbPolicy::LeastRequest(LeastRequest::default())).validate(), Ok(()));
}

#[test]
fn health_and_localities_contradict_nothing() {
    let common = CommonLb::default();
    let zone = || Locality::new("r", "z", "");
    let weighted = |port, weight| endpoint(port).with_locality(zone()).with_locality_weight(weight);
    assert_refused([
        (
            cluster().with_common_lb(common.with_healthy_panic_threshold(decimal(100.1))),
            "commonLb.healthyPanicThreshold: must not exceed 100",
        ),
        (
            cluster().with_common_lb(common.with_overprovisioning_factor(0)),
            "commonLb.overprovisioningFactor: must not be zero",
        ),
        (
            cluster().with_endpoint(weighted(1, 1)).with_endpoint(weighted(2, 2)),
            "endpoints[1].localityWeight: differs from that of another endpoint of its locality and priority",
        ),
        (cluster().with_endpoint(endpoint(1).with_priority(129)), "endpoints[0].priority: must not exceed 128"),
    ]);
    let apart = cluster().with_endpoint(weighted(1, 1)).with_endpoint(weighted(2, 2).with_priority(1));
    assert_eq!(apart.validate(), Ok(()));
}

#[test]
fn subsets_that_cannot_be_told_apart_are_refused() {
    let with = |subsets| cluster().with_subsets(subsets);
    let keys = |keys: &[&str]| SubsetSelector::new(keys.iter().copied());
    assert_refused([
        (with(Subsets::default()), "subsets.selectors: must not be empty"),
        (with(Subsets::new([keys(&[])])), "subsets.selectors[0].keys: must not be empty"),
        (with(Subsets::new([keys(&["a", ""])])), "subsets.selectors[0].keys: must not hold an empty key"),
        (
            with(Subsets::new([keys(&["a", "b"]), keys(&["b", "a"])])),
            "subsets.selectors[1].keys: are those of another selector",
        ),
        (
            with(Subsets::new([keys(&["a"])]).with_default("a", "1").with_fallback(SubsetFallback::AnyEndpoint)),
            "subsets.defaultSubset: is not used: no fallback policy is DEFAULT_SUBSET",
        ),
        (
            with(Subsets::new([keys(&["a"])]).with_locality_weight_aware(true)),
            "subsets.localityWeightAware: needs localities that have weights, by locality_weighted_lb_config",
        ),
    ]);
    let selector = keys(&["a"]).with_fallback(SubsetFallback::DefaultSubset);
    let subsets = Subsets::new([selector]).with_default("a", "1").with_fallback(SubsetFallback::NoFallback);
    assert_eq!(with(subsets).validate(), Ok(()));
}

#[test]
fn defaults_are_those_of_envoy() {
    let read: Cluster = from_value(json!({
        "name": "c", "lbPolicy": {"ringHash": {}}, "slowStart": {"window": "30s"}, "commonLb": {},
        "endpoints": [{"address": "127.0.0.1:1", "locality": {"zone": "z"}}],
    }))
    .expect("reads");
    let (minimum, maximum) = (1024, 8_388_608);
    let LbPolicy::RingHash(ring) = read.lb_policy else { panic!("{read:?}") };
    assert_eq!(
        (ring.minimum, ring.maximum, ring.hash, ring.balance_factor),
        (minimum, maximum, HashFunction::XxHash, None)
    );
    let slow = read.slow_start.expect("is there");
    assert_eq!((slow.aggression.value(), slow.min_weight_percent.value()), (1.0, 10.0));
    assert_eq!(read.common_lb, CommonLb::default());
    assert_eq!(read.endpoints[0], endpoint(1).with_locality(Locality::new("", "z", "")));
    assert_eq!(read.endpoints[0].health_status, HealthStatus::Healthy);
    let policy = from_value::<LbPolicy>(json!({"maglev": {}})).expect("reads");
    assert_eq!(policy, LbPolicy::Maglev(Maglev::default().with_table_size(65_537)));
    let policy = from_value::<LbPolicy>(json!({"leastRequest": {"activeRequestBias": -1}}));
    assert!(policy.expect_err("is refused").to_string().contains("at least 0"));
    let all = cluster().with_lb_policy(LbPolicy::PeakEwma(PeakEwma::default())).with_slow_start(slow);
    assert_eq!(from_value::<Cluster>(to_value(&all).expect("plain data")).expect("what was written is read"), all);
}
