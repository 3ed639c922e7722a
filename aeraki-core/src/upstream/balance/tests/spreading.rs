//! Priorities, health and localities.

use aeraki_route::config::{CommonLb, Decimal, HealthStatus, Locality, Maglev, RingHash};

use super::*;

/// Draws so often and counts the picks of every endpoint, in their order.
fn shares(config: &Cluster, endpoints: Vec<config::Endpoint>, draws: u64) -> Vec<usize> {
    let targets = targets(config, endpoints);
    let spread = Spread::new(&config.into(), &targets.iter().collect::<Vec<_>>());
    let pick = |_| spread.pick(Draw { hash: fastrand::u64(..), attempt: 0 });
    let places = (0..draws).filter_map(pick).map(|picked| {
        let place = |target: &Target| Arc::ptr_eq(&target.endpoint, &picked.target.endpoint);
        targets.iter().position(place).expect("one of them")
    });
    tally(&places.collect::<Vec<_>>(), targets.len())
}

fn cluster(common: CommonLb) -> Cluster {
    Cluster::new("c").with_common_lb(common)
}

fn in_zone(port: u16, zone: &str, weight: u32) -> config::Endpoint {
    local(port).with_locality(Locality::new("r", zone, "")).with_locality_weight(weight)
}

fn sick(endpoint: config::Endpoint) -> config::Endpoint {
    endpoint.with_health_status(HealthStatus::Unhealthy)
}

#[test]
fn priorities_take_over_what_those_before_them_cannot_take() {
    fastrand::seed(1);
    let second = |port| local(port).with_priority(1);
    let config = cluster(CommonLb::default());
    assert_eq!(shares(&config, vec![local(1), local(2), second(3)], 100), [50, 50, 0]);
    // half of the first can take 70 %
    let failing = vec![local(1), sick(local(2)), second(3), second(4)];
    assert_shares(&shares(&config, failing, 10_000), &[70.0, 1e-9, 15.0, 15.0]);
    assert_eq!(shares(&config, vec![sick(local(1)), second(3)], 100), [0, 100]);
    // a priority without endpoints is none
    assert_eq!(shares(&config, vec![local(1).with_priority(7)], 100), [100]);
}

#[test]
fn degraded_endpoints_come_after_healthy_ones_of_all_priorities() {
    fastrand::seed(1);
    let degraded = |port| local(port).with_health_status(HealthStatus::Degraded);
    let config = cluster(CommonLb::default());
    assert_shares(&shares(&config, vec![local(1), degraded(2)], 10_000), &[70.0, 30.0]);
    let elsewhere = vec![local(1), degraded(2), local(3).with_priority(1)];
    assert_shares(&shares(&config, elsewhere, 10_000), &[70.0, 1e-9, 30.0]);
    assert_eq!(shares(&config, vec![degraded(1), sick(local(2))], 100), [100, 0], "better than none");
}

#[test]
fn in_panic_health_does_not_count_and_without_panic_nobody_is_picked() {
    let draining = |port| local(port).with_health_status(HealthStatus::Draining);
    let endpoints = || vec![sick(local(1)), draining(2), sick(local(3))];
    assert_eq!(shares(&cluster(CommonLb::default()), endpoints(), 300), [100; 3]);
    let never = CommonLb::default().with_healthy_panic_threshold(Decimal::ZERO);
    assert_eq!(shares(&cluster(never), endpoints(), 300), [0; 3]);
    let mut some = endpoints();
    some.push(local(4));
    assert_eq!(shares(&cluster(never), some, 100), [0, 0, 0, 100]);
}

#[test]
fn whoever_has_no_endpoints_picks_none() {
    assert_eq!(shares(&cluster(CommonLb::default()), Vec::new(), 3), [0; 0]);
}

#[test]
fn localities_share_by_their_weights_and_their_health() {
    fastrand::seed(1);
    let config = cluster(CommonLb::default().with_locality_weighted(true));
    let endpoints = |second: config::Endpoint| {
        vec![in_zone(1, "a", 1), in_zone(2, "a", 1), in_zone(3, "b", 3), second, in_zone(5, "none", 0)]
    };
    let whole = shares(&config, endpoints(in_zone(4, "b", 3)), 20_000);
    assert_shares(&whole, &[1.0, 1.0, 3.0, 3.0, 1e-9]);
    // half of b can take 70 % of its part
    let half = shares(&config, endpoints(sick(in_zone(4, "b", 3))), 20_000);
    assert_shares(&half, &[1.0, 1.0, 2.0 * 3.0 * 0.7, 1e-9, 1e-9]);
    let unweighted = (1..=4).map(|port| local(port).with_locality(Locality::new("", port.to_string(), "")));
    assert_eq!(shares(&config, unweighted.collect(), 400), [100; 4], "where none has a weight, all are alike");
}

#[test]
fn tables_hold_parts_of_localities() {
    fastrand::seed(1);
    let policies =
        [LbPolicy::Maglev(Maglev::default()), LbPolicy::RingHash(RingHash::default().with_size(500_000, 8_000_000))];
    for policy in policies {
        let config = cluster(CommonLb::default().with_locality_weighted(true)).with_lb_policy(policy);
        let endpoints =
            vec![in_zone(1, "a", 1), in_zone(2, "b", 3).with_weight(2), in_zone(3, "b", 3), in_zone(4, "c", 0)];
        let counted = shares(&config, endpoints, 20_000);
        for (counted, expected) in counted.into_iter().zip([5000_usize, 10_000, 5000, 0]) {
            assert!(counted.abs_diff(expected) <= expected / 25, "{counted} is not {expected}");
        }
    }
}

#[test]
fn a_hash_tells_the_priority_too() {
    let config = cluster(CommonLb::default()).with_lb_policy(LbPolicy::RingHash(RingHash::default()));
    let endpoints = vec![local(1), sick(local(2)), local(3).with_priority(1)];
    let targets = targets(&config, endpoints);
    let spread = Spread::new(&(&config).into(), &targets.iter().collect::<Vec<_>>());
    let pick = |hash| {
        spread
            .pick(Draw { hash, attempt: 0 })
            .expect("some are healthy")
            .target
            .endpoint
            .address
            .as_ip()
            .expect("an IP address")
            .port()
    };
    // as in Envoy, whose remainder of 69 is the last of 70 %
    assert_eq!([0, 69, 70, 99, 169, 170].map(pick), [1, 1, 3, 3, 1, 3]);
}
