//! Zones, against Envoy's rule in Envoy's own numbers.

use aeraki_route::config::{CommonLb, Decimal, HealthStatus, Locality, ZoneAware};
use proptest::{collection::vec, prelude::*};

use super::{
    super::zone::{Part, Way, Zone},
    *,
};
use crate::upstream::{local::LocalCluster, stats::ClusterStats};

fn zone(number: usize) -> Locality {
    Locality::new("r", format!("z{number}"), "")
}

/// So many endpoints in each zone.
fn endpoints(counts: &[usize]) -> Vec<Target> {
    let zones = counts.iter().enumerate().flat_map(|(number, count)| std::iter::repeat_n(zone(number), *count));
    targets(&Cluster::new("c"), (1..).zip(zones).map(|(port, zone)| local(port).with_locality(zone)))
}

/// A proxy in one zone, and so many in each.
fn proxies(own: usize, counts: &[usize]) -> Zone {
    proxies_counting(own, counts, &Arc::default())
}

fn proxies_counting(own: usize, counts: &[usize], stats: &Arc<ClusterStats>) -> Zone {
    let local = LocalCluster::new("local", zone(own));
    local.note(endpoints(counts).iter());
    Zone::new(&local, stats)
}

fn small() -> CommonLb {
    CommonLb::default().with_zone_aware(ZoneAware::default().with_min_cluster_size(1))
}

fn split<'a>(zone: &Zone, common: CommonLb, endpoints: &'a [Target]) -> Vec<Part<'a>> {
    zone.split(&common, endpoints.iter().collect())
}

/// Returns what every zone gets of a proxy's requests.
fn shares(own: usize, proxies_in: &[usize], endpoints_in: &[usize]) -> Vec<f64> {
    let endpoints = endpoints(endpoints_in);
    let mut shares = vec![0.0; endpoints_in.len()];
    for Part { share, targets, .. } in split(&proxies(own, proxies_in), small(), &endpoints) {
        for target in &targets {
            let at = (0..).find(|number| zone(*number) == target.config.locality).expect("a zone");
            shares[at] += share / targets.len() as f64;
        }
    }
    shares
}

/// What Envoy does, in ten thousandths; none where these are too coarse to tell.
fn model(own: usize, proxies: &[usize], endpoints: &[usize]) -> Option<Vec<f64>> {
    let of = |counts: &[usize], zone: usize| 10_000 * counts[zone] / counts.iter().sum::<usize>();
    let (here, there) = (of(endpoints, own), of(proxies, own));
    let mut shares = vec![0.0; endpoints.len()];
    if here > 0 && here >= there {
        shares[own] = 1.0;
        return Some(shares);
    }
    let stays = (10_000 * here).checked_div(there).unwrap_or(0) as f64 / 10_000.0;
    let residual = |zone: usize| if zone == own { 0 } else { of(endpoints, zone).saturating_sub(of(proxies, zone)) };
    let sum: usize = (0..endpoints.len()).map(residual).sum();
    if sum < 100 {
        return None;
    }
    for (zone, share) in shares.iter_mut().enumerate() {
        *share = (1.0 - stays) * residual(zone) as f64 / sum as f64;
    }
    shares[own] = stays;
    Some(shares)
}

/// Compares within the coarseness of ten thousandths.
fn assert_close(shares: &[f64], expected: &[f64]) {
    let close = shares.len() == expected.len() && shares.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.02);
    assert!(close, "{shares:?} instead of {expected:?}");
}

#[test]
fn requests_stay_as_far_as_the_own_zone_can_take_them() {
    assert_eq!(shares(0, &[1, 1], &[3, 3]), [1.0, 0.0]);
    assert_eq!(shares(0, &[1, 3], &[3, 3]), [1.0, 0.0]);
    // 25 of 40 stay, and 10 and 5 parts are left elsewhere
    assert_close(&shares(0, &[40, 40, 20], &[25, 50, 25]), &[0.625, 0.25, 0.125]);
    assert_close(&shares(0, &[2, 1, 1], &[0, 2, 2]), &[0.0, 0.5, 0.5]);
}

#[test]
fn zones_do_not_count_where_there_is_too_little_to_compare() {
    let six = endpoints(&[3, 3]);
    let way = |zone: &Zone, common: CommonLb, endpoints: &[Target]| {
        let parts = split(zone, common, endpoints);
        parts.iter().map(|part| (part.way, part.targets.len())).collect::<Vec<_>>()
    };
    let stats = Arc::new(ClusterStats::default());
    let usual = proxies_counting(0, &[1, 1], &stats);
    assert_eq!(way(&usual, CommonLb::default(), &six), [(Way::Direct, 3)]);
    assert_eq!(stats.lb_zone_cluster_too_small.get(), 0);
    assert_eq!(way(&usual, CommonLb::default(), &six[..5]), [(Way::Any, 5)], "fewer than six");
    assert_eq!(way(&usual, CommonLb::default(), &six[..3]), [(Way::Any, 3)], "and all in one zone");
    assert_eq!(stats.lb_zone_cluster_too_small.get(), 1);
    assert_eq!(way(&usual, small(), &endpoints(&[0, 3])), [(Way::Any, 3)], "endpoints in one zone");
    assert_eq!(way(&proxies(0, &[2]), small(), &six), [(Way::Any, 6)], "proxies in one zone");
    assert_eq!(way(&proxies(2, &[1, 1]), small(), &six), [(Way::LocalNotOk, 6)], "nobody like this proxy");
    let percent = |enabled| ZoneAware::default().with_routing_enabled(Decimal::from(enabled));
    assert_eq!(way(&usual, CommonLb::default().with_zone_aware(percent(0)), &six), [(Way::Any, 6)]);
    let half = CommonLb::default().with_zone_aware(percent(50));
    assert_eq!(way(&usual, half, &six), [(Way::Direct, 3), (Way::Any, 6)]);
    assert_eq!(split(&usual, half, &six)[0].share, 0.5);
}

#[test]
fn where_most_proxies_are_ill_requests_go_anywhere_or_fail() {
    let ill = |mut target: Target| {
        target.health = HealthStatus::Unhealthy;
        target
    };
    let local = LocalCluster::new("local", zone(0));
    local.note(endpoints(&[1, 0]).iter().chain(&endpoints(&[0, 2]).into_iter().map(ill).collect::<Vec<_>>()));
    let (zone, six) = (Zone::new(&local, &Arc::default()), endpoints(&[3, 3]));
    let parts = split(&zone, CommonLb::default(), &six);
    assert_eq!((parts[0].way, parts[0].targets.len()), (Way::LocalNotOk, 6));
    let fail = ZoneAware::default().with_fail_traffic_on_panic(true);
    let parts = split(&zone, CommonLb::default().with_zone_aware(fail), &six);
    assert_eq!((parts[0].way, parts[0].targets.len()), (Way::LocalNotOk, 0));
}

#[test]
fn in_panic_requests_fail_where_that_is_asked_for() {
    let fail = CommonLb::default().with_zone_aware(ZoneAware::default().with_fail_traffic_on_panic(true));
    let mut targets = endpoints(&[1, 1, 1]);
    targets[1].health = HealthStatus::Unhealthy;
    targets[2].health = HealthStatus::Unhealthy;
    let picked = |common| {
        let config = Cluster::new("c").with_common_lb(common);
        let spread = Spread::new(&(&config).into(), &targets.iter().collect::<Vec<_>>());
        spread.pick(Draw { hash: 0, attempt: 0 }).is_some()
    };
    assert!(picked(CommonLb::default()));
    assert!(!picked(fail));
}

proptest! {
    #[test]
    fn shares_are_those_of_envoy(zones in vec((0_usize..20, 0_usize..20), 2..5), own in 0_usize..5) {
        let (proxies, endpoints): (Vec<_>, Vec<_>) = zones.into_iter().unzip();
        let own = own % proxies.len();
        let several = |counts: &[usize]| counts.iter().filter(|count| **count > 0).count() > 1;
        prop_assume!(several(&proxies) && several(&endpoints) && proxies[own] > 0);
        let Some(expected) = model(own, &proxies, &endpoints) else { return Err(TestCaseError::reject("too coarse")) };
        assert_close(&shares(own, &proxies, &endpoints), &expected);
    }

    #[test]
    fn all_endpoints_get_the_same_of_all_proxies(zones in vec((1_usize..20, 1_usize..20), 2..5)) {
        let (proxies, endpoints): (Vec<_>, Vec<_>) = zones.into_iter().unzip();
        let mut loads = vec![0.0; endpoints.len()];
        for own in 0..proxies.len() {
            for (load, share) in loads.iter_mut().zip(shares(own, &proxies, &endpoints)) {
                *load += share * proxies[own] as f64;
            }
        }
        let mean = proxies.iter().sum::<usize>() as f64 / endpoints.iter().sum::<usize>() as f64;
        for (load, count) in loads.iter().zip(&endpoints) {
            prop_assert!((load / *count as f64 - mean).abs() < 1e-9, "{loads:?} for {endpoints:?}");
        }
    }
}
