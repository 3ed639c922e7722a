//! Who gets how much.

use std::time::Duration;

use config::{Decimal, LeastRequest, PeakEwma, SlowStart};

use super::*;

const WEIGHTS: [u32; 5] = [1, 2, 3, 10, 84];

fn floats(weights: &[u32]) -> Vec<f64> {
    weights.iter().map(|weight| f64::from(*weight)).collect()
}

fn least_request() -> LbPolicy {
    LbPolicy::LeastRequest(LeastRequest::default())
}

#[test]
fn round_robin_takes_turns() {
    let picks = Bench::new(LbPolicy::RoundRobin, &[5, 5, 5]).picks(30);
    assert!(picks.windows(3).all(|turn| tally(turn, 3) == [1, 1, 1]), "{picks:?}");
}

#[test]
fn round_robin_by_weight_is_even_at_every_moment() {
    let picks = Bench::new(LbPolicy::RoundRobin, &[3, 1]).picks(1000);
    for window in picks.windows(8) {
        assert!((5..=7).contains(&tally(window, 2)[0]), "{window:?}");
    }
    assert!((748..=752).contains(&tally(&picks, 2)[0]));
}

#[test]
fn shares_follow_weights_under_every_policy_while_nothing_is_under_way() {
    fastrand::seed(1);
    let many: Vec<u32> = (1..=50).collect();
    for policy in [LbPolicy::RoundRobin, LbPolicy::Random, least_request(), LbPolicy::PeakEwma(PeakEwma::default())] {
        for weights in [&WEIGHTS[..], &[1; 7], &many] {
            assert_shares(&Bench::new(policy, weights).shares(50_000), &floats(weights));
        }
    }
}

#[test]
fn shares_of_hashed_requests_follow_weights_as_closely_as_tables_are_large() {
    fastrand::seed(1);
    let exact = LbPolicy::Maglev(config::Maglev::default());
    assert_shares(&Bench::new(exact, &WEIGHTS).shares(50_000), &floats(&WEIGHTS));
    let ring = LbPolicy::RingHash(config::RingHash::default().with_size(100_000, 1_000_000));
    for (counted, weight) in Bench::new(ring, &WEIGHTS).shares(100_000).into_iter().zip(WEIGHTS) {
        let per_cent = counted as f64 / 1000.0;
        assert!((per_cent / f64::from(weight) - 1.0).abs() < 0.15, "{per_cent} % of {weight} %");
    }
}

#[test]
fn least_request_prefers_the_idle() {
    let bench = Bench::new(least_request(), &[1, 1]);
    let busy = bench.load(0, 1);
    assert_eq!(bench.shares(100), [0, 100], "of two both are compared");
    drop(busy);
    assert!(bench.shares(1000).iter().all(|count| *count > 400));
}

#[test]
fn least_request_by_weight_divides_weights_by_requests_under_way() {
    fastrand::seed(1);
    let shares = |bias: f64, weights: &[u32]| {
        let policy = LeastRequest::default().with_active_request_bias(Decimal::new(bias).expect("is one"));
        let bench = Bench::new(LbPolicy::LeastRequest(policy), weights);
        let _busy: Vec<_> = [(0, 1), (1, 4)].map(|(place, requests)| bench.load(place, requests)).into();
        bench.shares(40_000)
    };
    assert_shares(&shares(1.0, &[2, 10, 3]), &[1.0, 2.0, 3.0]);
    assert_shares(&shares(0.5, &[2, 10, 3]), &[2.0 / 2f64.sqrt(), 10.0 / 5f64.sqrt(), 3.0]);
    assert_shares(&shares(0.0, &[2, 10, 3]), &[2.0, 10.0, 3.0]);
    let many: Vec<u32> = (1..=50).collect();
    assert_shares(&shares(0.0, &many), &floats(&many));
    let busy = shares(1.0, &[50; 20].iter().copied().chain([51]).collect::<Vec<_>>());
    assert!(busy[1] < busy[0] && busy[0] < busy[2], "among many it is drawn less often: {busy:?}");
}

#[tokio::test(start_paused = true)]
async fn peak_ewma_prefers_what_answers_first() {
    let policy = PeakEwma::default();
    let bench = Bench::new(LbPolicy::PeakEwma(policy), &[1, 1]);
    let note = |place: usize, millis| {
        let latency = &bench.targets.get(place).expect("is there").endpoint.latency;
        latency.note(Duration::from_millis(millis), policy.decay);
    };
    note(0, 10);
    note(1, 30);
    assert_eq!(bench.shares(100), [100, 0]);
    let busy = bench.load(0, 3);
    assert_eq!(bench.shares(100), [0, 100], "four times 10 ms are more than 30 ms");
    drop(busy);
    note(0, 500);
    assert_eq!(bench.shares(100), [0, 100]);
    tokio::time::advance(30 * policy.decay).await;
    note(1, 30);
    assert_eq!(bench.shares(100), [100, 0], "who was slow is tried again");
}

#[tokio::test(start_paused = true)]
async fn peak_ewma_tries_an_unknown_one_and_waits_for_its_answer() {
    let policy = PeakEwma::default();
    let bench = Bench::new(LbPolicy::PeakEwma(policy), &[1, 1]);
    bench.targets.get(0).expect("is there").endpoint.latency.note(Duration::from_millis(10), policy.decay);
    assert_eq!(bench.shares(100), [0, 100]);
    let _busy = bench.load(1, 1);
    assert_eq!(bench.shares(100), [100, 0]);
}

/// Five endpoints that are warm and one that has been there for a while.
fn warming(policy: LbPolicy, slow: SlowStart, weights: &[u32], age: Duration) -> Bench {
    let config = Cluster::new("c").with_lb_policy(policy).with_slow_start(slow);
    let endpoints = (1..).zip(weights).map(|(port, weight)| local(port).with_weight(*weight));
    let mut targets = targets(&config, endpoints);
    let now = Instant::now();
    for target in &mut targets {
        target.since = now - Duration::from_secs(3600);
    }
    targets[0].since = now - age;
    let targets = Targets::new(targets);
    let balance = balance(&(&config).into(), &targets, &targets.parts());
    Bench { targets, balance }
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_gets_what_envoy_gives_it() {
    fastrand::seed(1);
    // so far back can time go
    tokio::time::advance(Duration::from_secs(7200)).await;
    let minute = Duration::from_secs(60);
    let two = SlowStart::new(minute).with_aggression(Decimal::from(2));
    let cases = [
        (SlowStart::new(minute), 0, 0.1),
        (SlowStart::new(minute), 30, 0.5),
        (SlowStart::new(minute), 45, 0.75),
        (SlowStart::new(minute), 60, 1.0),
        (two, 15, 0.5),
        (SlowStart::new(minute).with_min_weight_percent(Decimal::from(60)), 30, 0.6),
    ];
    let many: Vec<u32> = vec![4; 12];
    for policy in [LbPolicy::RoundRobin, least_request()] {
        for weights in [&[5, 1, 1, 1, 1, 1][..], &[1; 6], &many] {
            for (slow, age, part) in cases {
                let bench = warming(policy, slow, weights, Duration::from_secs(age));
                let mut expected = floats(weights);
                expected[0] *= part;
                assert_shares(&bench.shares(20_000), &expected);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_are_new_all_are_alike() {
    fastrand::seed(1);
    let config = Cluster::new("c").with_slow_start(SlowStart::new(Duration::from_secs(60)));
    assert_shares(&Bench::with(config, (1..=6).map(local)).shares(20_000), &[1.0; 6]);
}
