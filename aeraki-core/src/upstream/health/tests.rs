//! When endpoints are taken out, and when they come back, with a clock that stands still.

use std::{net::SocketAddr, time::Duration};

use aeraki_route::config::{Consecutive, HealthCheck, HealthCheckKind, OutlierDetection};
use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn address(port: u16) -> SocketAddress {
    SocketAddr::from(([127, 0, 0, 1], port)).into()
}

fn hosts(health: &Health, count: u16) -> Vec<Arc<Host>> {
    (1..=count).map(|port| health.host(&address(port), false)).collect()
}

/// Any number may be out, and only what a test asks for takes anybody out.
fn detection() -> OutlierDetection {
    let mut detection = OutlierDetection::default();
    detection.max_ejection_percent = 100;
    detection.success_rate.enforcing = 0;
    detection
}

/// All rules that there are.
fn rules() -> Cluster {
    let check = HealthCheck::new(HealthCheckKind::CONNECT, SECOND, SECOND);
    Cluster::new("c").with_health_check(check).with_outlier_detection(detection())
}

fn note(health: &Health, host: &Host, ended: &[Ended], detection: &OutlierDetection) {
    ended.iter().for_each(|ended| health.note(host, *ended, detection));
}

fn out(hosts: &[Arc<Host>]) -> Vec<usize> {
    hosts.iter().enumerate().filter(|(_, host)| !host.judge_by(&rules())).map(|(place, _)| place).collect()
}

#[tokio::test(start_paused = true)]
async fn so_many_failures_in_a_row_take_an_endpoint_out() {
    use Ended::{Error, LocalOrigin, Refused, Well};
    let health = Health::default();
    let hosts = hosts(&health, 3);
    let detection = detection();
    note(&health, &hosts[0], &[Error, Refused, LocalOrigin, Error, Well, Error, Error, Error, Error], &detection);
    assert_eq!(out(&hosts), [0; 0], "never five in a row");
    note(&health, &hosts[0], &[LocalOrigin], &detection);
    assert_eq!(out(&hosts), [0]);
    let found = |reason| health.stats.of(reason).enforced.get();
    assert_eq!(found(Reason::ConsecutiveErrors), 1);

    note(&health, &hosts[1], &[Refused, LocalOrigin, Refused, Refused, Refused], &detection);
    assert_eq!(out(&hosts), [0, 1]);
    let gateway = health.stats.of(Reason::ConsecutiveGatewayFailure);
    assert_eq!((gateway.detected.get(), gateway.enforced.get()), (1, 0), "is counted and not enforced by default");
    assert_eq!((health.stats.active.get(), health.stats.enforced.get()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn no_number_of_failures_takes_an_endpoint_out_where_it_is_zero() {
    use Ended::{Error, LocalOrigin, Refused};
    let health = Health::default();
    let hosts = hosts(&health, 1);
    let mut detection = detection();
    detection.split_external_local_origin_errors = true;
    let off = Consecutive::new(0, 100);
    detection.consecutive_errors = off;
    detection.consecutive_gateway_failure = off;
    detection.consecutive_local_origin_failure = off;
    for ended in [Error, Refused, LocalOrigin] {
        note(&health, &hosts[0], &[ended; 20], &detection);
    }
    assert_eq!(out(&hosts), [0; 0]);
    let found = Reason::ALL.map(|reason| health.stats.of(reason).detected.get());
    assert_eq!(found, [0; Reason::ALL.len()], "nor is anything counted");
}

#[tokio::test(start_paused = true)]
async fn failures_of_local_origin_may_count_for_themselves() {
    use Ended::{Error, LocalOrigin, Well};
    let health = Health::default();
    let hosts = hosts(&health, 2);
    let mut detection = detection();
    detection.split_external_local_origin_errors = true;
    detection.consecutive_local_origin_failure = Consecutive::new(3, 100);
    note(&health, &hosts[0], &[Error, Error, Error, Error, LocalOrigin, LocalOrigin, Well, LocalOrigin], &detection);
    assert_eq!(out(&hosts), [0; 0]);
    note(&health, &hosts[0], &[LocalOrigin, LocalOrigin], &detection);
    assert_eq!(out(&hosts), [0]);
    assert_eq!(health.stats.of(Reason::ConsecutiveLocalOriginFailure).enforced.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_out_longer_every_time_and_its_past_is_forgotten() {
    let health = Health::default();
    let hosts = hosts(&health, 2);
    let mut detection = detection();
    detection.max_ejection_time = Some(70 * SECOND);
    let seconds_out = async || {
        note(&health, &hosts[0], &[Ended::Error; 5], &detection);
        assert_eq!(out(&hosts), [0]);
        let mut seconds = 0;
        while !hosts[0].judge_by(&rules()) {
            seconds += 10;
            advance(10 * SECOND).await;
            health.sweep(&detection);
        }
        seconds
    };
    assert_eq!([seconds_out().await, seconds_out().await, seconds_out().await], [30, 60, 70], "70 at most");
    for _ in 0..3 {
        health.sweep(&detection);
    }
    assert_eq!(seconds_out().await, 30, "it was well for three intervals");
    assert_eq!(health.stats.active.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_a_share_of_the_endpoints_may_be_out() {
    let health = Health::default();
    let hosts = hosts(&health, 5);
    let mut detection = detection();
    detection.max_ejection_percent = 40;
    for host in &hosts {
        note(&health, host, &[Ended::Error; 5], &detection);
    }
    assert_eq!((out(&hosts).len(), health.stats.overflow.get()), (2, 3));

    let health = Health::default();
    let hosts = self::hosts(&health, 5);
    detection.max_ejection_percent = 10;
    note(&health, &hosts[3], &[Ended::Error; 5], &detection);
    assert_eq!(out(&hosts), [0; 0], "a tenth of five is nobody");
    detection.always_eject_one_host = true;
    for host in &hosts[3..] {
        note(&health, host, &[Ended::Error; 5], &detection);
    }
    assert_eq!(out(&hosts), [3]);
}

#[tokio::test(start_paused = true)]
async fn rates_are_compared_at_the_end_of_an_interval() {
    let health = Health::default();
    let hosts = hosts(&health, 6);
    let mut detection = detection();
    detection.success_rate.enforcing = 100;
    detection.consecutive_errors.enforcing = 0;
    let counting = detection.clone();
    let requests = |place: usize, well: usize, errors: usize| {
        note(&health, &hosts[place], &vec![Ended::Well; well], &counting);
        note(&health, &hosts[place], &vec![Ended::Error; errors], &counting);
    };
    // by 1.9 deviations of 20 below the mean of 90 lies 52; the last one had too few requests to be judged
    (0..4).for_each(|place| requests(place, 100, 0));
    requests(4, 50, 50);
    requests(5, 0, 99);
    health.sweep(&detection);
    assert_eq!(out(&hosts), [4]);
    assert_eq!(health.stats.of(Reason::SuccessRate).enforced.get(), 1);

    // of those who are out nobody takes notice, and four are not enough
    (0..4).for_each(|place| requests(place, if place == 0 { 0 } else { 100 }, 100));
    health.sweep(&detection);
    assert_eq!(out(&hosts), [4]);

    detection.failure_percentage.enforcing = 100;
    detection.failure_percentage.minimum_hosts = 4;
    (0..4).for_each(|place| requests(place, [9, 5, 50, 60][place], [41, 45, 0, 0][place]));
    health.sweep(&detection);
    assert_eq!(out(&hosts), [1, 4], "82 % are not 85, 90 % are");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_passes_brings_an_endpoint_back() {
    let health = Health::default();
    let hosts = hosts(&health, 2);
    let mut verdicts = health.verdicts();
    note(&health, &hosts[0], &[Ended::Error; 5], &detection());
    assert!(verdicts.has_changed().expect("open"));
    verdicts.mark_unchanged();
    health.uneject(&hosts[0]);
    assert!(verdicts.has_changed().expect("open"));
    assert_eq!((out(&hosts), health.stats.active.get()), (vec![], 0));
    verdicts.mark_unchanged();
    health.uneject(&hosts[0]);
    health.judge(&hosts[0], true);
    assert!(!verdicts.has_changed().expect("open"), "nothing was new");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_are_gone_are_neither_out_nor_among_those_of_whom_a_share_may_be() {
    let health = Health::default();
    let mut hosts = hosts(&health, 5);
    let mut detection = detection();
    detection.max_ejection_percent = 40;
    for host in &hosts {
        note(&health, host, &[Ended::Error; 5], &detection);
    }
    assert_eq!((out(&hosts), health.stats.active.get()), (vec![0, 1], 2));
    drop(hosts.drain(..2));
    assert_eq!(health.stats.active.get(), 0);
    for host in &hosts {
        note(&health, host, &[Ended::Error; 5], &detection);
    }
    assert_eq!((out(&hosts), health.stats.active.get()), (vec![0], 1), "of three one may be out");
}

#[test]
fn what_is_known_of_an_endpoint_is_forgotten_with_it() {
    let health = Health::default();
    let host = |checked| health.host(&address(1), checked);
    let first = host(true);
    assert!(!first.judge_by(&rules()), "before its first check");
    health.judge(&first, true);
    assert!(host(true).judge_by(&rules()), "the same one");
    health.judge(&first, false);
    assert!(!host(false).judge_by(&rules()));
    drop(first);
    assert!(host(false).judge_by(&rules()));
    assert_eq!(health.hosts().len(), 0);
}

#[test]
fn what_is_found_counts_by_the_rules_that_find_it() {
    let health = Health::default();
    let (ill, out) = (health.host(&address(1), true), &hosts(&health, 2)[1]);
    note(&health, out, &[Ended::Error; 5], &detection());
    let well = |rules: &Cluster| [ill.judge_by(rules), out.judge_by(rules)];
    let detecting = Cluster::new("c").with_outlier_detection(detection());
    assert_eq!(well(&rules()), [false, false]);
    assert_eq!(well(&detecting), [true, false], "nobody asks any more");
    let mut checking = rules();
    checking.outlier_detection = None;
    assert_eq!(well(&checking), [false, true], "nobody takes any out any more");
    assert_eq!(well(&Cluster::new("c")), [true, true]);
}

#[test]
fn nobody_is_taken_out_by_rules_that_are_no_more() {
    let health = Health::default();
    let hosts = hosts(&health, 2);
    note(&health, &hosts[0], &[Ended::Error; 5], &detection());
    assert_eq!(out(&hosts), [0]);
    health.detect_outliers(false);
    // requests that were under way go by the rules of then
    hosts.iter().for_each(|host| note(&health, host, &[Ended::Error; 5], &detection()));
    assert_eq!((out(&hosts), health.stats.active.get()), (vec![], 0));
    health.detect_outliers(true);
    note(&health, &hosts[1], &[Ended::Error; 5], &detection());
    assert_eq!((out(&hosts), health.stats.active.get()), (vec![1], 1));
}
