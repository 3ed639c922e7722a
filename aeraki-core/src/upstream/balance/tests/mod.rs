//! What every policy does with shares, and what it costs.

mod hashing;
mod shares;
mod spreading;
mod zones;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::*;
use crate::upstream::{
    Context,
    endpoint::{Active, Endpoint},
    shared::Shared,
};

/// A policy and the endpoints that it was made for.
struct Bench {
    targets: Targets,
    balance: Box<dyn Balance>,
}

impl Bench {
    /// The endpoints 127.0.0.1:1 and so on, one a weight.
    fn new(policy: LbPolicy, weights: &[u32]) -> Self {
        let endpoints = (1..).zip(weights).map(|(port, weight)| local(port).with_weight(*weight));
        Self::with(Cluster::new("c").with_lb_policy(policy), endpoints)
    }

    fn with(config: Cluster, endpoints: impl IntoIterator<Item = config::Endpoint>) -> Self {
        let targets = Targets::new(targets(&config, endpoints));
        let balance = balance(&(&config).into(), &targets, &targets.parts());
        Self { targets, balance }
    }

    fn pick(&self) -> usize {
        self.pick_by(fastrand::u64(..))
    }

    fn pick_by(&self, hash: u64) -> usize {
        self.balance.pick(&self.targets, Draw { hash, attempt: 0 })
    }

    fn picks(&self, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.pick()).collect()
    }

    /// Counts how often each is picked.
    fn shares(&self, count: usize) -> Vec<usize> {
        tally(&self.picks(count), self.targets.len())
    }

    /// Begins so many requests to one.
    fn load(&self, place: usize, requests: usize) -> Vec<Active> {
        let endpoint = &self.targets.get(place).expect("is there").endpoint;
        (0..requests).map(|_| Arc::clone(endpoint).enter(None)).collect()
    }
}

fn local(port: u16) -> config::Endpoint {
    config::Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn targets(config: &Cluster, endpoints: impl IntoIterator<Item = config::Endpoint>) -> Vec<Target> {
    let shared = Arc::new(Shared {
        name: "c".into(),
        config: config.clone(),
        connector: Arc::new(crate::upstream::Plain::default()),
        context: Context::new(),
        stats: Arc::default(),
        usage: Arc::default(),
    });
    let target = |config: config::Endpoint| {
        let config::Address::Socket(address) = &config.address else { panic!("{config:?}") };
        let endpoint = Arc::new(Endpoint::new(address.clone(), Arc::clone(&shared)));
        Target { endpoint, health: config.health_status, config: Arc::new(config), since: Instant::now() }
    };
    endpoints.into_iter().map(target).collect()
}

fn tally(picks: &[usize], len: usize) -> Vec<usize> {
    let mut shares = vec![0; len];
    for pick in picks {
        shares[*pick] += 1;
    }
    shares
}

/// Whether what was counted can come from these probabilities, up to a weight: chi square within five deviations.
fn assert_shares(counted: &[usize], weights: &[f64]) {
    let count: usize = counted.iter().sum();
    let sum: f64 = weights.iter().sum();
    let expected = weights.iter().map(|weight| count as f64 * weight / sum);
    let squares =
        counted.iter().zip(expected).map(|(counted, expected)| (*counted as f64 - expected).powi(2) / expected);
    let (chi, freedom) = (squares.sum::<f64>(), (weights.len() - 1) as f64);
    let most = freedom + 5.0 * (2.0 * freedom).sqrt();
    assert!(chi < most, "chi square {chi} of {most}: {counted:?} for {weights:?}");
}

fn all_policies() -> [LbPolicy; 8] {
    [
        LbPolicy::RoundRobin,
        LbPolicy::Random,
        LbPolicy::LeastRequest(config::LeastRequest::default()),
        LbPolicy::PeakEwma(config::PeakEwma::default()),
        LbPolicy::RingHash(config::RingHash::default()),
        LbPolicy::RingHash(config::RingHash::default().with_balance_factor(125)),
        LbPolicy::Maglev(config::Maglev::default().with_table_size(1009)),
        LbPolicy::Maglev(config::Maglev::default().with_table_size(1009).with_balance_factor(125)),
    ]
}

#[test]
fn one_endpoint_takes_all() {
    for policy in all_policies() {
        let bench = Bench::new(policy, &[7]);
        let _busy = bench.load(0, 3);
        assert_eq!(bench.picks(5), [0; 5], "{policy:?}");
    }
}

#[test]
fn a_choice_allocates_nothing() {
    for policy in all_policies() {
        for weights in [vec![1; 1000], (1..=1000).collect()] {
            let bench = Bench::new(policy, &weights);
            let _busy = bench.load(3, 100);
            let counted = allocation_counter::measure(|| _ = (0..1000).map(|_| bench.pick()).max());
            assert_eq!(counted.count_total, 0, "{policy:?}");
        }
    }
}
