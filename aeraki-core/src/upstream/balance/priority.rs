//! How much of a cluster's load goes to which priority: Envoy's rules, in whole per cents.

use aeraki_route::config::{CommonLb, HealthStatus};

/// How many endpoints of a priority are how healthy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Census {
    pub(super) total: usize,
    pub(super) healthy: usize,
    pub(super) degraded: usize,
}

/// What a priority gets, in per cent of all requests; at least one of them gets something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// For its healthy endpoints, or for all in panic.
    pub(super) healthy: usize,
    /// For its degraded endpoints.
    pub(super) degraded: usize,
    /// Whether so few are healthy that health no longer counts.
    pub(super) panic: bool,
}

impl Load {
    /// Returns what endpoints of this health get.
    pub(super) const fn of(&self, health: HealthStatus) -> usize {
        match health {
            HealthStatus::Healthy => self.healthy,
            HealthStatus::Degraded => self.degraded,
            _ => 0,
        }
    }
}

/// Distributes the load among priorities, the first one first: as much as its endpoints can take, its degraded ones
/// only where the healthy ones of all priorities cannot take it.
pub(super) fn distribute(levels: &[Census], config: &CommonLb) -> Vec<Load> {
    let factor = config.overprovisioning_factor as usize;
    let can_take = |some: usize, level: &Census| (some * factor / level.total.max(1)).min(100);
    let healthy: Vec<usize> = levels.iter().map(|level| can_take(level.healthy, level)).collect();
    let degraded: Vec<usize> = levels.iter().map(|level| can_take(level.degraded, level)).collect();
    let available = healthy.iter().chain(&degraded).sum::<usize>().min(100);

    let threshold = config.healthy_panic_threshold.value();
    let panics = |level: &Census| available < 100 && available_per_cent(level) < threshold;
    if levels.iter().all(panics) {
        return distribute_in_panic(levels);
    }
    let mut left = 100;
    let mut give = |can: &usize| {
        let given = (can * 100 / available.max(1)).min(left);
        left -= given;
        given
    };
    let (healthy, degraded): (Vec<_>, Vec<_>) =
        (healthy.iter().map(&mut give).collect(), degraded.iter().map(&mut give).collect());
    let mut loads: Vec<Load> = levels
        .iter()
        .zip(healthy.into_iter().zip(degraded))
        .map(|(level, (healthy, degraded))| Load { healthy, degraded, panic: panics(level) })
        .collect();
    give_rest(&mut loads, left);
    loads
}

fn available_per_cent(level: &Census) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 endpoints")]
    let (some, all) = ((level.healthy + level.degraded) as f64, level.total.max(1) as f64);
    100.0 * some / all
}

/// Gives what rounding has left over to the first that gets anything, and everything to the first where none does.
fn give_rest(loads: &mut [Load], rest: usize) {
    if let Some(load) = loads.iter_mut().find(|load| load.healthy > 0) {
        load.healthy += rest;
    } else if let Some(load) = loads.iter_mut().find(|load| load.degraded > 0) {
        load.degraded += rest;
    } else if let Some(load) = loads.first_mut() {
        load.healthy += rest;
    }
}

/// Where no priority has enough endpoints left, every endpoint counts.
fn distribute_in_panic(levels: &[Census]) -> Vec<Load> {
    let total: usize = levels.iter().map(|level| level.total).sum();
    let load = |level: &Census| Load { healthy: 100 * level.total / total.max(1), degraded: 0, panic: true };
    let mut loads: Vec<Load> = levels.iter().map(load).collect();
    let given: usize = loads.iter().map(|load| load.healthy).sum();
    give_rest(&mut loads, 100 - given);
    loads
}

#[cfg(test)]
mod tests {
    use aeraki_route::config::Decimal;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Distributes among priorities of 100 endpoints, of which so many are healthy and degraded.
    fn of_hundred(levels: &[(usize, usize)], config: CommonLb) -> Vec<(usize, usize, bool)> {
        let census =
            |(healthy, degraded): &(usize, usize)| Census { total: 100, healthy: *healthy, degraded: *degraded };
        let loads = distribute(&levels.iter().map(census).collect::<Vec<_>>(), &config);
        loads.iter().map(|load| (load.healthy, load.degraded, load.panic)).collect()
    }

    /// The tables in Envoy's documentation of priority levels, panic threshold and degraded endpoints.
    #[test]
    fn load_is_distributed_as_envoys_documentation_says() {
        let usual = CommonLb::default();
        for (healthy, expected) in [
            ([100, 100], [100, 0]),
            ([72, 100], [100, 0]),
            ([71, 100], [99, 1]),
            ([50, 100], [70, 30]),
            ([25, 100], [35, 65]),
            ([0, 100], [0, 100]),
        ] {
            let loads = of_hundred(&healthy.map(|healthy| (healthy, 0)), usual);
            assert_eq!([loads[0].0, loads[1].0], expected, "{healthy:?}");
            assert!(loads.iter().all(|(_, _, panic)| !panic), "what they can take together is enough");
        }
        // no priority can take all, and none has half of its endpoints: health does not count
        assert_eq!(of_hundred(&[(25, 0), (25, 0)], usual), [(50, 0, true), (50, 0, true)]);
        // P0 panics alone: they can take 35 and 63 of 98 parts
        assert_eq!(
            of_hundred(&[(25, 0), (45, 0)], usual.with_healthy_panic_threshold(Decimal::from(30))),
            [(36, 0, true), (64, 0, false)]
        );
        for (healthy, degraded, expected) in
            [(100, 0, (100, 0)), (71, 29, (99, 1)), (60, 40, (84, 16)), (50, 50, (70, 30)), (0, 100, (0, 100))]
        {
            let loads = of_hundred(&[(healthy, degraded)], usual);
            assert_eq!((loads[0].0, loads[0].1), expected, "{healthy} {degraded}");
        }
    }

    #[test]
    fn without_panic_nobody_is_chosen_in_spite_of_its_health() {
        let never = CommonLb::default().with_healthy_panic_threshold(Decimal::ZERO);
        assert_eq!(of_hundred(&[(0, 0), (0, 0)], never), [(100, 0, false), (0, 0, false)]);
        assert_eq!(of_hundred(&[(1, 0), (0, 0)], never), [(100, 0, false), (0, 0, false)]);
    }

    #[test]
    fn the_factor_says_how_much_an_endpoint_can_take() {
        let exact = CommonLb::default().with_overprovisioning_factor(100);
        assert_eq!(of_hundred(&[(90, 0), (100, 0)], exact), [(90, 0, false), (10, 0, false)]);
        let double = CommonLb::default().with_overprovisioning_factor(200);
        assert_eq!(of_hundred(&[(50, 0), (100, 0)], double), [(100, 0, false), (0, 0, false)]);
    }

    proptest! {
        #[test]
        fn the_whole_load_is_given_and_only_to_whom_can_take_it(
            levels in vec((0_usize..30, 0_usize..30, 0_usize..30), 1..6), threshold in 0_u32..=100, factor in 1_u32..300,
        ) {
            let levels: Vec<Census> = levels
                .into_iter()
                .map(|(healthy, degraded, rest)| Census { total: healthy + degraded + rest, healthy, degraded })
                .collect();
            let config = CommonLb::default()
                .with_healthy_panic_threshold(Decimal::from(threshold))
                .with_overprovisioning_factor(factor);
            let loads = distribute(&levels, &config);
            prop_assert_eq!(loads.iter().map(|load| load.healthy + load.degraded).sum::<usize>(), 100);
            let can = |level: &Census| (level.healthy.max(level.degraded)) * factor as usize >= level.total.max(1);
            let nobody_can = !levels.iter().any(can);
            for (level, load) in levels.iter().zip(&loads) {
                prop_assert!(load.healthy == 0 || level.healthy > 0 || load.panic || nobody_can);
                prop_assert!(load.degraded == 0 || level.degraded > 0);
                prop_assert!(!load.panic || threshold > 0);
            }
        }
    }
}
