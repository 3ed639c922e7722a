use std::{collections::HashMap, net::SocketAddr};

use aeraki_route::config::Cluster;

use super::*;
use crate::upstream::{Context, cluster::Shared};

fn targets(weights: &[u32]) -> Targets {
    let shared = Arc::new(Shared {
        name: "c".into(),
        config: Cluster::new("c"),
        connector: Arc::new(crate::upstream::Tcp),
        context: Context::new(),
        stats: Arc::default(),
        usage: Arc::default(),
    });
    let target = |(port, weight): (u16, &u32)| Target {
        endpoint: Arc::new(Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)), Arc::clone(&shared))),
        weight: *weight,
    };
    Targets::new((1..).zip(weights).map(target).collect())
}

fn picks(policy: LbPolicy, targets: &Targets, count: usize) -> Vec<usize> {
    let balance = balance(policy);
    (0..count).map(|_| balance.pick(targets)).collect()
}

fn shares(picks: &[usize]) -> HashMap<usize, usize> {
    picks.iter().fold(HashMap::new(), |mut shares, pick| {
        *shares.entry(*pick).or_default() += 1;
        shares
    })
}

#[test]
fn round_robin_takes_turns() {
    let picks = picks(LbPolicy::RoundRobin, &targets(&[5, 5, 5]), 30);
    assert!(picks.windows(3).all(|turn| shares(turn).len() == 3), "{picks:?}");
}

#[test]
fn round_robin_by_weight_is_even_at_every_moment() {
    let picks = picks(LbPolicy::RoundRobin, &targets(&[3, 1]), 1000);
    for window in picks.windows(8) {
        assert!((5..=7).contains(&shares(window)[&0]), "{window:?}");
    }
    assert!((748..=752).contains(&shares(&picks)[&0]));
}

#[test]
fn random_follows_weights() {
    let share = shares(&picks(LbPolicy::Random, &targets(&[1, 3]), 20_000))[&1];
    assert!((14_500..15_500).contains(&share), "{share}");
}

#[test]
fn least_request_prefers_the_idle_in_relation_to_weight() {
    let policy = LbPolicy::LeastRequest { choices: 2 };
    let targets = targets(&[1, 1]);
    let busy = Arc::clone(&targets.get(0).expect("two").endpoint).enter();
    assert_eq!(shares(&picks(policy, &targets, 100))[&1], 100, "of two both are compared");
    drop(busy);
    assert_eq!(shares(&picks(policy, &targets, 1000)).len(), 2);

    let weighted = self::targets(&[1, 10]);
    let _busy: Vec<_> = (0..5).map(|_| Arc::clone(&weighted.get(1).expect("two").endpoint).enter()).collect();
    assert_eq!(shares(&picks(policy, &weighted, 100))[&1], 100, "six of ten is less than one of one");
}

#[test]
fn one_endpoint_takes_all() {
    for policy in [LbPolicy::RoundRobin, LbPolicy::Random, LbPolicy::LeastRequest { choices: 3 }] {
        assert_eq!(picks(policy, &targets(&[7]), 5), [0; 5]);
    }
}
