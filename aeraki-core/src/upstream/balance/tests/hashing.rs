//! Rings and tables against those of Envoy and against slow models of them.

use std::collections::BTreeMap;

use config::{HashFunction, Maglev, RingHash};
use proptest::{collection::vec, prelude::*};
use xxhash_rust::xxh64::xxh64;

use super::*;

fn ring(policy: RingHash, weights: &[u32]) -> Bench {
    Bench::new(LbPolicy::RingHash(policy), weights)
}

/// Endpoints of equal weight from a port on.
fn from(policy: LbPolicy, first: u16, count: u16) -> Bench {
    Bench::with(Cluster::new("c").with_lb_policy(policy), (first..first + count).map(local))
}

/// Asserts that a request whose hash is a point goes to the point's endpoint, and the next hash to that of the next.
fn assert_ring(bench: &Bench, first_port: u16, points: &[(u16, u64)]) {
    for (index, (port, point)) in points.iter().enumerate() {
        assert_eq!(bench.pick_by(*point), usize::from(port - first_port), "{point}");
        let next = points[(index + 1) % points.len()].0;
        assert_eq!(bench.pick_by(point + 1), usize::from(next - first_port), "after {point}");
    }
    assert_eq!(bench.pick_by(0), usize::from(points[0].0 - first_port));
    assert_eq!(bench.pick_by(u64::MAX), usize::from(points[0].0 - first_port));
}

#[test]
fn the_ring_by_xxh64_is_that_of_envoys_tests() {
    let bench = from(LbPolicy::RingHash(RingHash::default().with_size(12, 1024)), 90, 6);
    let points = [
        (94, 833_437_586_790_550_860),
        (92, 928_266_305_478_181_108),
        (90, 1_033_482_794_131_418_490),
        (95, 3_551_244_743_356_806_947),
        (93, 3_851_675_632_748_031_481),
        (91, 5_583_722_120_771_150_861),
        (91, 6_311_230_543_546_372_928),
        (93, 7_700_377_290_971_790_572),
        (95, 13_144_177_310_400_110_813),
        (92, 13_444_792_449_719_432_967),
        (94, 15_516_499_411_664_133_160),
        (90, 16_117_243_373_044_804_889),
    ];
    assert_ring(&bench, 90, &points);
}

#[test]
fn the_ring_by_murmur_hash_is_that_of_envoys_tests() {
    let policy = RingHash::default().with_size(12, 1024).with_hash(HashFunction::MurmurHash2);
    let points = [
        (85, 1_358_027_074_129_602_068),
        (83, 4_361_834_613_929_391_114),
        (84, 7_224_494_972_555_149_682),
        (81, 7_701_421_856_454_313_576),
        (82, 8_649_315_368_077_433_379),
        (84, 8_739_448_859_063_030_639),
        (81, 9_887_544_217_113_020_895),
        (82, 10_150_910_876_324_007_731),
        (83, 15_168_472_011_420_622_455),
        (80, 15_427_156_902_705_414_897),
        (85, 16_375_050_414_328_759_093),
        (80, 17_613_279_263_364_193_813),
    ];
    assert_ring(&from(LbPolicy::RingHash(policy), 80, 6), 80, &points);
}

#[test]
fn the_ring_by_keys_is_that_of_envoys_tests() {
    let policy = RingHash::default().with_size(12, 1024).with_balance_factor(200);
    let config = Cluster::new("c").with_lb_policy(LbPolicy::RingHash(policy));
    let bench = Bench::with(config, (90..96).map(|port| local(port).with_metadata("hash_key", port.to_string())));
    let points = [
        (95, 1_975_508_444_536_362_413),
        (95, 2_376_063_919_839_173_711),
        (93, 2_386_806_903_309_390_596),
        (94, 6_749_904_478_991_551_885),
        (93, 6_803_900_775_736_438_537),
        (92, 7_225_015_537_174_310_577),
        (90, 8_787_465_352_164_086_522),
        (92, 11_282_020_843_382_717_940),
        (91, 13_723_418_369_486_627_818),
        (90, 13_776_502_110_861_797_421),
        (91, 14_338_313_586_354_474_791),
        (94, 15_364_271_037_087_512_980),
    ];
    assert_ring(&bench, 90, &points);
}

#[test]
fn the_table_is_that_of_envoys_tests() {
    let policy = LbPolicy::Maglev(Maglev::default().with_table_size(7));
    let picks = |bench: &Bench| (0..14).map(|hash| bench.pick_by(hash)).collect::<Vec<_>>();
    assert_eq!(picks(&from(policy, 90, 6)), [2, 4, 0, 1, 5, 0, 3].repeat(2));
    let config = Cluster::new("c").with_lb_policy(policy);
    let keyed = (90..96).map(|port| local(port).with_metadata("hash_key", port.to_string()));
    assert_eq!(picks(&Bench::with(config, keyed)), [2, 5, 0, 3, 4, 1, 0].repeat(2));
}

#[test]
fn a_unix_socket_is_hashed_by_its_path() {
    let paths = ["/run/a.sock", "/run/b.sock", "@c"];
    let pipes = || paths.map(|path| config::Endpoint::new(config::Pipe::new(path)));
    let named = || (1..=3).zip(paths).map(|(port, path)| local(port).with_metadata("hash_key", path));
    for policy in [LbPolicy::RingHash(RingHash::default()), LbPolicy::Maglev(Maglev::default())] {
        let cluster = || Cluster::new("c").with_lb_policy(policy);
        let (pipes, named) = (Bench::with(cluster(), pipes()), Bench::with(cluster(), named()));
        let picks = |bench: &Bench| (0..100).map(|key| bench.pick_by(key << 57)).collect::<Vec<_>>();
        assert_eq!(picks(&pipes), picks(&named));
    }
}

#[test]
fn another_attempt_is_the_next_point_or_far_off_in_the_table() {
    let bench = from(LbPolicy::RingHash(RingHash::default().with_size(12, 12)), 90, 6);
    let attempt = |bench: &Bench, attempt| bench.balance.pick(&bench.targets, Draw { hash: 0, attempt });
    assert_eq!([0, 1, 2, 3].map(|number| attempt(&bench, number)), [4, 2, 0, 5]);
    let bench = from(LbPolicy::Maglev(Maglev::default().with_table_size(7)), 90, 6);
    let expected = [0, u64::MAX, u64::MAX - 1].map(|hash| bench.pick_by(hash));
    assert_eq!([0, 1, 2].map(|number| attempt(&bench, number)), expected);
}

/// Puts points on the ring one by one and looks for the next one among all of them.
fn ring_model(policy: RingHash, weights: &[u32], hash: u64) -> usize {
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let least = f64::from(*weights.iter().min().expect("some")) / total;
    let scale = ((least * f64::from(policy.minimum)).ceil() / least).min(f64::from(policy.maximum));
    let mut points = BTreeMap::new();
    let (mut sum, mut made) = (0.0, 0);
    for (place, weight) in weights.iter().enumerate() {
        sum += scale * (f64::from(*weight) / total);
        let mut own = 0;
        while f64::from(made) < sum {
            points.insert(xxh64(format!("127.0.0.1:{}_{own}", place + 1).as_bytes(), 0), place);
            (own, made) = (own + 1, made + 1);
        }
    }
    let mut after = points.iter().filter(|(point, _)| **point >= hash);
    *after.next().or_else(|| points.iter().next()).expect("some").1
}

/// Writes down the order in which each wants the entries, as the paper does.
fn maglev_model(size: u64, weights: &[u32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..weights.len()).collect();
    places.sort_by_key(|place| format!("127.0.0.1:{}", place + 1));
    let wishes = places.iter().map(|place| {
        let name = format!("127.0.0.1:{}", place + 1);
        let (offset, skip) = (xxh64(name.as_bytes(), 0) % size, xxh64(name.as_bytes(), 1) % (size - 1) + 1);
        (0..size).map(|turn| (offset + turn * skip) % size).collect::<Vec<_>>()
    });
    let wishes: Vec<Vec<u64>> = wishes.collect();
    let most = u64::from(*weights.iter().max().expect("some"));
    let mut taken = vec![0_u64; weights.len()];
    let mut table = BTreeMap::new();
    for round in 1.. {
        for (place, wishes) in places.iter().zip(&wishes) {
            if table.len() as u64 == size {
                return table.into_values().collect();
            }
            // the entries that it may have by now
            if round * u64::from(weights[*place]) >= taken[*place] * most {
                taken[*place] += 1;
                let free = wishes.iter().find(|entry| !table.contains_key(*entry)).expect("not full");
                table.insert(*free, *place);
            }
        }
    }
    unreachable!("the table is full one day")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rings_agree_with_a_slow_model(
        weights in vec(1_u32..20, 1..12), minimum in 1_u32..300, more in 0_u32..300, hashes in vec(any::<u64>(), 20),
    ) {
        let policy = RingHash::default().with_size(minimum, minimum + more);
        let bench = ring(policy, &weights);
        for hash in hashes {
            prop_assert_eq!(bench.pick_by(hash), ring_model(policy, &weights, hash));
        }
    }

    // powers of two are parts that floating point knows exactly
    #[test]
    fn tables_agree_with_a_slow_model(
        weights in vec(prop_oneof![Just(1_u32), Just(2), Just(4), Just(8)], 1..12),
        size in prop_oneof![Just(2_u32), Just(7), Just(13), Just(101), Just(251)],
    ) {
        // what is left over makes the sum a power of two
        let mut weights = weights;
        let sum: u32 = weights.iter().sum();
        weights.push(sum.next_power_of_two() * 2 - sum);
        let bench = Bench::new(LbPolicy::Maglev(Maglev::default().with_table_size(size)), &weights);
        let table: Vec<usize> = (0..u64::from(size)).map(|hash| bench.pick_by(hash)).collect();
        prop_assert_eq!(table, maglev_model(size.into(), &weights));
    }

    #[test]
    fn no_endpoint_has_more_than_its_bound_while_another_has_room(
        weights in vec(1_u32..5, 2..10), keys in vec(0_u64..4, 1..200), factor in 100_u32..300, by_ring in any::<bool>(),
    ) {
        let policy = if by_ring {
            LbPolicy::RingHash(RingHash::default().with_balance_factor(factor))
        } else {
            LbPolicy::Maglev(Maglev::default().with_table_size(1009).with_balance_factor(factor))
        };
        let bench = Bench::new(policy, &weights);
        let total: u32 = weights.iter().sum();
        let mut under_way = Vec::new();
        for key in keys {
            let place = bench.pick_by(xxh64(&key.to_le_bytes(), 0));
            let slots = (under_way.len() as u64 + 1) * u64::from(factor);
            let own = |place: usize| (slots.div_ceil(100) as f64 * bench.targets.parts()[place]).ceil().max(1.0);
            let load = |place: usize| f64::from(bench.targets.get(place).expect("is there").active()) / own(place);
            let best = (0..weights.len()).map(load).fold(f64::INFINITY, f64::min);
            prop_assert!(load(place) <= best.max(1.0), "{} of {:?} in {}", place, weights, total);
            under_way.extend(bench.load(place, 1));
        }
    }
}

#[test]
fn a_key_keeps_its_endpoint_while_there_is_room_and_has_the_same_second_choice_then() {
    for policy in [
        LbPolicy::RingHash(RingHash::default().with_balance_factor(150)),
        LbPolicy::Maglev(Maglev::default().with_balance_factor(150)),
    ] {
        let bench = Bench::new(policy, &[1; 10]);
        let home = bench.pick_by(7);
        assert_eq!(bench.pick_by(7), home);
        let busy = bench.load(home, 10);
        let other = bench.pick_by(7);
        assert_ne!(other, home);
        assert_eq!(bench.pick_by(7), other);
        drop(busy);
        assert_eq!(bench.pick_by(7), home);
    }
}

/// Returns how many of these requests go elsewhere when one endpoint leaves, in relation to those that it had.
fn movement(policy: LbPolicy, count: u16) -> f64 {
    let (before, after) = (from(policy, 1, count), from(policy, 1, count - 1));
    let gone = usize::from(count - 1);
    let picks =
        (0..20_000_u64).map(|key| xxh64(&key.to_le_bytes(), 0)).map(|hash| (before.pick_by(hash), after.pick_by(hash)));
    let picks: Vec<_> = picks.collect();
    let had = picks.iter().filter(|(before, _)| *before == gone).count();
    picks.iter().filter(|(before, after)| before != after).count() as f64 / had as f64
}

#[test]
fn few_keys_move_when_an_endpoint_leaves() {
    // with so many, the ring has as many points of each before as after; with few it is made anew, as in Envoy
    for count in [50, 100, 300] {
        let ring = movement(LbPolicy::RingHash(RingHash::default()), count);
        assert!((1.0..=1.2).contains(&ring), "{ring} in a ring of {count}");
    }
    // the larger the table in relation to the endpoints, the fewer
    for (count, size) in [(3, 65_537), (10, 65_537), (100, 1_000_003)] {
        let maglev = movement(LbPolicy::Maglev(Maglev::default().with_table_size(size)), count);
        assert!((1.0..=1.2).contains(&maglev), "{maglev} in a table of {size} for {count}");
    }
}
