//! What the choice among ten thousand endpoints costs, and the tables for it: one function for each.
//!
//! `cargo bench -p aeraki-core --bench balance` prints the time of one choice, and of one update of the endpoints.

use std::{hint::black_box, net::SocketAddr};

use aeraki_core::upstream::{Clusters, Context};
use aeraki_route::{
    Placement,
    config::{Cluster, Endpoint, LbPolicy, LeastRequest, Maglev, PeakEwma, RingHash},
};
use divan::Bencher;

fn main() {
    divan::main();
}

const POLICIES: [&str; 6] = ["round_robin", "random", "least_request", "peak_ewma", "ring_hash", "maglev"];

#[divan::bench(sample_size = 4096, args = POLICIES)]
fn choice(bencher: Bencher<'_, '_>, policy: &str) {
    choose(bencher, |port| Endpoint::new(address(port)), policy);
}

/// Weights from 1 to 7.
#[divan::bench(sample_size = 4096, args = POLICIES)]
fn weighted_choice(bencher: Bencher<'_, '_>, policy: &str) {
    choose(bencher, |number| Endpoint::new(address(number)).with_weight(number % 7 + 1), policy);
}

/// One endpoint is another one each time.
#[divan::bench(sample_count = 20, args = POLICIES)]
fn update(bencher: Bencher<'_, '_>, policy: &str) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let clusters = Clusters::new(Context::new());
    let mut last = ENDPOINTS;
    bencher
        .with_inputs(|| {
            last += 1;
            cluster(policy, (0..ENDPOINTS - 1).chain([last]).map(|number| Endpoint::new(address(number))))
        })
        .bench_local_values(|config| clusters.update([config]));
}

fn choose(bencher: Bencher<'_, '_>, endpoint: impl Fn(u32) -> Endpoint, policy: &str) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let clusters = Clusters::new(Context::new());
    clusters.update([cluster(policy, (0..ENDPOINTS).map(endpoint))]);
    let cluster = clusters.get("c").expect("configured");
    let mut placement = Placement::default();
    let mut hash = 0_u64;
    bencher.bench_local(|| {
        hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
        placement.hash = Some(hash);
        cluster.pick(black_box(Some(&placement)))
    });
}

fn cluster(policy: &str, endpoints: impl Iterator<Item = Endpoint>) -> Cluster {
    let policy = match policy {
        "random" => LbPolicy::Random,
        "least_request" => LbPolicy::LeastRequest(LeastRequest::default()),
        "peak_ewma" => LbPolicy::PeakEwma(PeakEwma::default()),
        "ring_hash" => LbPolicy::RingHash(RingHash::default()),
        "maglev" => LbPolicy::Maglev(Maglev::default()),
        _ => LbPolicy::RoundRobin,
    };
    endpoints.fold(Cluster::new("c").with_lb_policy(policy), Cluster::with_endpoint)
}

fn address(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 20880))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

const ENDPOINTS: u32 = 10_000;
