//! How requests are spread over endpoints of several priorities, localities and states of health.

use std::collections::BTreeMap;

use aeraki_route::config::{HealthStatus, Locality};

use super::{
    Balance, Balancing, Draw, Target, Targets, balance,
    priority::{Census, distribute},
    zone::{Part, Way, Zone},
};

/// Draws a priority, a state of health and a locality, and has the policy choose among the endpoints that are left.
#[derive(Debug)]
pub(in crate::upstream) struct Spread {
    shares: Vec<Share>,
}

/// What the endpoints of one priority and state of health get.
#[derive(Debug)]
struct Share {
    /// Its share and those before it, in per cent.
    end: u64,
    panic: bool,
    groups: Vec<Group>,
}

/// Endpoints among which the policy chooses: all of a share, or those of a locality.
#[derive(Debug)]
struct Group {
    /// The weight of its locality and of those before it.
    end: f64,
    way: Way,
    targets: Targets,
    balance: Box<dyn Balance>,
}

/// The choice for a request.
pub(in crate::upstream) struct Picked<'a> {
    pub(in crate::upstream) target: &'a Target,
    /// Whether health did not count.
    pub(in crate::upstream) panic: bool,
    /// How zones counted.
    pub(in crate::upstream) way: Way,
}

impl Spread {
    /// Makes the tables for these endpoints.
    pub(in crate::upstream) fn new(config: &Balancing, targets: &[&Target]) -> Self {
        let mut levels: BTreeMap<u32, Vec<&Target>> = BTreeMap::new();
        for target in targets {
            levels.entry(target.config.priority).or_default().push(target);
        }
        let census: Vec<Census> = levels.values().map(|level| census(level)).collect();
        let loads = distribute(&census, &config.common);
        let mut shares = Vec::new();
        let mut end = 0;
        // as in Envoy: the healthy ones of all priorities, then the degraded ones
        for health in [HealthStatus::Healthy, HealthStatus::Degraded] {
            for ((priority, level), load) in levels.iter().zip(&loads).filter(|(_, load)| load.of(health) > 0) {
                end += load.of(health) as u64;
                let chosen = |target: &&&Target| load.panic || target.health == health;
                let chosen = level.iter().filter(chosen).copied().collect();
                let counts = *priority == 0 && health == HealthStatus::Healthy && !load.panic;
                let groups = match config.zone.as_ref().filter(|_| counts) {
                    Some(zone) => by_zone(config, zone, chosen),
                    None if load.panic && config.common.zone_aware.fail_traffic_on_panic => Vec::new(),
                    None => groups(config, level, chosen, load.panic),
                };
                shares.push(Share { end, panic: load.panic, groups });
            }
        }
        Self { shares }
    }

    /// Lists the endpoints that may be picked.
    pub(in crate::upstream) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.shares.iter().flat_map(|share| &share.groups).flat_map(|group| group.targets.iter())
    }

    /// Picks an endpoint; none where none may take requests.
    #[inline]
    pub(in crate::upstream) fn pick(&self, draw: Draw) -> Option<Picked<'_>> {
        let point = draw.hash % 100;
        let share = self.shares.get(self.shares.partition_point(|share| share.end <= point))?;
        let group = share.group()?;
        if group.targets.is_empty() {
            return None;
        }
        let target = group.targets.get(group.balance.pick(&group.targets, draw))?;
        Some(Picked { target, panic: share.panic, way: group.way })
    }
}

impl Share {
    fn group(&self) -> Option<&Group> {
        let (last, others) = self.groups.split_last()?;
        if others.is_empty() {
            return Some(last);
        }
        let point = fastrand::f64() * last.end;
        self.groups.get(others.partition_point(|group| group.end <= point))
    }
}

fn census(level: &[&Target]) -> Census {
    let count = |health| level.iter().filter(|target| target.health == health).count();
    Census { total: level.len(), healthy: count(HealthStatus::Healthy), degraded: count(HealthStatus::Degraded) }
}

/// Makes groups of the chosen ones of a priority: one, or one a locality where localities have weights.
fn groups(config: &Balancing, level: &[&Target], chosen: Vec<&Target>, panic: bool) -> Vec<Group> {
    let weighted = config.common.locality_weighted && level.iter().any(|target| locality_weight(target) > 0);
    match (weighted, config.policy.is_hashed()) {
        (true, true) => vec![by_locality_parts(config, level, chosen)],
        // in panic, localities do not count either
        (true, false) if !panic => by_locality(config, level, &chosen),
        _ => vec![group(config, chosen, 1.0, Way::Any)],
    }
}

/// Healthy endpoints of the first priority share as their zones say.
fn by_zone(config: &Balancing, zone: &Zone, chosen: Vec<&Target>) -> Vec<Group> {
    let mut end = 0.0;
    let group = |Part { way, share, targets }: Part<'_>| {
        end += share;
        group(config, targets, end, way)
    };
    zone.split(&config.common, chosen).into_iter().map(group).collect()
}

fn group(config: &Balancing, chosen: Vec<&Target>, end: f64, way: Way) -> Group {
    let targets = Targets::new(chosen.into_iter().cloned().collect());
    let balance = balance(config, &targets, &targets.parts());
    Group { end, way, targets, balance }
}

/// A locality gets its weight, less what its endpoints cannot take.
fn by_locality(config: &Balancing, level: &[&Target], chosen: &[&Target]) -> Vec<Group> {
    let totals = localities(level);
    let factor = f64::from(config.common.overprovisioning_factor) / 100.0;
    let mut end = 0.0;
    let mut groups = Vec::new();
    for (locality, targets) in localities(chosen) {
        let total = totals.get(locality).map_or(1, Vec::len);
        let weight = targets.first().map_or(0, |target| locality_weight(target));
        if weight > 0 {
            #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 endpoints")]
            let available = (factor * targets.len() as f64 / total as f64).min(1.0);
            end += f64::from(weight) * available;
            groups.push(group(config, targets, end, Way::Any));
        }
    }
    groups
}

/// Policies with tables have one for all localities, in which endpoints have their part of their locality's part.
fn by_locality_parts(config: &Balancing, level: &[&Target], chosen: Vec<&Target>) -> Group {
    let of_localities: f64 = localities(level).values().map(|targets| f64::from(locality_weight(targets[0]))).sum();
    let chosen: Vec<&Target> = chosen.into_iter().filter(|target| locality_weight(target) > 0).collect();
    let sum = |targets: &Vec<&Target>| targets.iter().map(|target| f64::from(target.config.weight)).sum::<f64>();
    let sums: BTreeMap<&Locality, f64> =
        localities(&chosen).iter().map(|(locality, targets)| (*locality, sum(targets))).collect();
    let part = |target: &&Target| {
        let of_locality = f64::from(locality_weight(target)) / of_localities;
        of_locality * f64::from(target.config.weight) / sums[&target.config.locality]
    };
    let parts: Vec<f64> = chosen.iter().map(part).collect();
    let targets = Targets::new(chosen.into_iter().cloned().collect());
    let balance = balance(config, &targets, &parts);
    Group { end: 1.0, way: Way::Any, targets, balance }
}

pub(super) fn localities<'a>(targets: &[&'a Target]) -> BTreeMap<&'a Locality, Vec<&'a Target>> {
    let mut localities: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for target in targets {
        localities.entry(&target.config.locality).or_default().push(*target);
    }
    localities
}

fn locality_weight(target: &Target) -> u32 {
    target.config.locality_weight.unwrap_or(0)
}
