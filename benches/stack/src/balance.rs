//! What the choice among ten thousand endpoints costs, and what an update of a hundred does. A turn is a thousand
//! choices: what is made ready before varies from run to run.

use std::{hint::black_box, net::SocketAddr};

use aeraki_core::upstream::{Clusters, Context};
use aeraki_instructions::Row;
use aeraki_route::{
    Placement,
    config::{Cluster, Endpoint, LbPolicy, LeastRequest, Maglev, PeakEwma, RingHash},
};
use tokio::runtime;

pub(crate) const ROWS: &[Row] = &[
    ("balance/round-robin/x1000", |turns| choose(LbPolicy::RoundRobin, turns)),
    ("balance/random/x1000", |turns| choose(LbPolicy::Random, turns)),
    ("balance/least-request/x1000", |turns| choose(LbPolicy::LeastRequest(LeastRequest::default()), turns)),
    ("balance/peak-ewma/x1000", |turns| choose(LbPolicy::PeakEwma(PeakEwma::default()), turns)),
    ("balance/ring/x1000", |turns| choose(LbPolicy::RingHash(RingHash::default()), turns)),
    ("balance/maglev/x1000", |turns| choose(LbPolicy::Maglev(Maglev::default()), turns)),
    ("balance/update/round-robin", |turns| update(LbPolicy::RoundRobin, turns)),
    ("balance/update/ring", |turns| update(LbPolicy::RingHash(RingHash::default()), turns)),
    ("balance/update/maglev", |turns| update(LbPolicy::Maglev(Maglev::default().with_table_size(10_007)), turns)),
];

fn choose(policy: LbPolicy, turns: usize) {
    with_clusters(|clusters| {
        clusters.update([cluster(policy, 0..10_000)]);
        let cluster = clusters.get("cluster").expect("configured");
        let mut placement = Placement::default();
        for turn in 0..turns as u64 * 1000 {
            placement.hash = Some(turn.wrapping_mul(GOLDEN));
            black_box(cluster.pick(black_box(Some(&placement))));
        }
    });
}

/// One endpoint of a hundred is another one each time.
fn update(policy: LbPolicy, turns: usize) {
    with_clusters(|clusters| {
        for turn in 0..turns as u32 {
            clusters.update([cluster(policy, (0..99).chain([99 + turn % 2]))]);
        }
    });
}

fn with_clusters(work: impl FnOnce(&Clusters)) {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    work(&Clusters::new(Context::new()));
}

fn cluster(policy: LbPolicy, numbers: impl Iterator<Item = u32>) -> Cluster {
    let endpoint = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        Endpoint::new(SocketAddr::from(([10, a, b, c], 20880)))
    };
    numbers.map(endpoint).fold(Cluster::new("cluster").with_lb_policy(policy), Cluster::with_endpoint)
}

/// The golden ratio's part of 2^64: multiples of it are spread evenly.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
