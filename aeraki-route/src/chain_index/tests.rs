use proptest::{collection::vec, option, prelude::*, sample::subsequence};
use std::cmp::Reverse;

use super::*;

fn any() -> FilterChainMatch {
    FilterChainMatch::new()
}

fn arrival(destination: &str) -> Arrival<'static> {
    Arrival::new("10.9.9.9:4242".parse().expect("an address"), destination.parse().expect("an address"))
}

fn index(matches: &[FilterChainMatch]) -> ChainIndex {
    ChainIndex::new(matches).expect("nothing overlaps")
}

#[test]
fn the_most_specific_value_of_each_step_counts_and_no_step_is_taken_back() {
    let matches = [
        any(),
        any().with_destination_port(80).with_prefix_range("10.0.0.0/8"),
        any().with_destination_port(80).with_prefix_range("10.1.0.0/16").with_server_name("only.tls"),
    ];
    let index = index(&matches);
    assert_eq!(index.find(&arrival("10.2.0.1:80")), Some(1));
    assert_eq!(index.find(&arrival("10.2.0.1:81")), Some(0));
    // the longer prefix was chosen, and nothing else serves its addresses
    assert_eq!(index.find(&arrival("10.1.0.1:80")), None);
    assert_eq!(index.find(&arrival("10.1.0.1:80").with_server_name("only.tls")), Some(2));
    // the port was chosen
    assert_eq!(index.find(&arrival("[::1]:80")), None);
    assert_eq!(index.find(&arrival("[::ffff:10.2.0.1]:80")), Some(1));
}

#[test]
fn names_are_matched_exactly_then_by_their_longest_suffix() {
    let names = ["a.b.Example", "*.b.example", "*.example"];
    let index = index(&names.map(|name| any().with_server_name(name)));
    let find = |name| index.find(&arrival("10.0.0.1:1").with_server_name(name));
    let asked = ["a.b.example", "c.b.example", "b.example", "x.y.example", "example", "a.b.example.org", ""];
    assert_eq!(asked.map(find), [Some(0), Some(1), Some(2), Some(2), None, None, None]);
}

#[test]
fn the_first_protocol_that_is_offered_and_named_counts() {
    let protocols = ["h2", "aeraki.dubbo"];
    let index = index(&protocols.map(|protocol| any().with_application_protocol(protocol)));
    let find = |offered: &[&str]| {
        let offered: Vec<String> = offered.iter().map(|&protocol| protocol.to_owned()).collect();
        index.find(&arrival("10.0.0.1:1").with_application_protocols(&offered))
    };
    assert_eq!(find(&["x", "h2", "aeraki.dubbo"]), Some(0));
    assert_eq!(find(&["aeraki.dubbo", "h2"]), Some(1));
    assert_eq!((find(&["x"]), find(&[])), (None, None));
}

#[test]
fn clients_are_told_apart_by_where_they_are() {
    let matches = [
        any().with_source_type(ConnectionSourceType::SameIpOrLoopback),
        any().with_source_type(ConnectionSourceType::External).with_source_prefix_range("10.9.0.0/16"),
        any().with_source_type(ConnectionSourceType::External).with_source_port(4242),
    ];
    let index = index(&matches);
    let find = |source: &str| {
        let source = source.parse().expect("an address");
        index.find(&Arrival::new(source, "10.0.0.1:80".parse().expect("an address")))
    };
    assert_eq!([find("127.0.0.1:1"), find("[::1]:1"), find("10.0.0.1:9")], [Some(0); 3]);
    assert_eq!([find("[::ffff:127.0.0.1]:1"), find("[::ffff:10.0.0.1]:1")], [Some(0); 2]);
    assert_eq!(find("127.0.0.7:4242"), Some(2), "Envoy's loopback is an address, not a network");
    assert_eq!([find("10.9.1.1:1"), find("10.8.0.1:4242"), find("10.8.0.1:4243")], [Some(1), Some(2), None]);
}

#[test]
fn clients_over_a_unix_socket_are_local_and_have_no_network() {
    let index = index(&[
        any().with_prefix_range("0.0.0.0/0"),
        any().with_source_type(ConnectionSourceType::External),
        any().with_source_type(ConnectionSourceType::SameIpOrLoopback).with_source_prefix_range("::/0"),
    ]);
    let nowhere = "[::]:0".parse().expect("an address");
    assert_eq!(index.find(&Arrival::new(nowhere, nowhere)), Some(2));
}

#[test]
fn chains_that_match_the_same_are_refused() {
    let two = any().with_server_name("a.example").with_server_name("*.b.example");
    let matches = [any(), two.clone(), any().with_server_name("*.B.example")];
    assert_eq!(ChainIndex::new(&matches).expect_err("the name is there twice"), (1, 2));
    let same = [any().with_prefix_range("10.1.2.3/8"), any().with_prefix_range("10.0.0.0/8")];
    assert_eq!(ChainIndex::new(&same).expect_err("the network is the same"), (0, 1));
    assert!(ChainIndex::new([&two.with_server_name("a.example")]).is_ok(), "a chain may say a thing twice");
}

/// Keeps the chains that name the best value that holds, else those that name none.
fn step<T, R: Ord>(
    chains: Vec<(usize, &FilterChainMatch)>,
    of: impl Fn(&FilterChainMatch) -> Vec<T>,
    rank: impl Fn(&T) -> Option<R>,
) -> Vec<(usize, &FilterChainMatch)> {
    let best = |wanted: &FilterChainMatch| of(wanted).iter().filter_map(&rank).max();
    match chains.iter().filter_map(|(_, wanted)| best(wanted)).max() {
        Some(rank_of_all) => {
            chains.into_iter().filter(|(_, wanted)| best(wanted).as_ref() == Some(&rank_of_all)).collect()
        }
        None => chains.into_iter().filter(|(_, wanted)| of(wanted).is_empty()).collect(),
    }
}

fn holds(network: &str, address: IpAddr) -> Option<u8> {
    let (base, length) = ip_block(network).expect("a network");
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(v4) => (4, format!("{:032b}", v4.to_bits())),
        IpAddr::V6(v6) => (6, format!("{:0128b}", v6.to_bits())),
    };
    let ((family, base), (other, address)) = (bits(base), bits(address));
    let length = usize::from(length);
    (family == other && base[..length] == address[..length]).then(|| u8::try_from(length).expect("small"))
}

/// Walks all chains, step by step.
fn naive(matches: &[FilterChainMatch], arrival: &Arrival<'_>) -> Option<usize> {
    let chains = matches.iter().enumerate().collect();
    let chains = step(
        chains,
        |m| m.destination_port.into_iter().collect(),
        |port| (*port == arrival.destination.port()).then_some(0),
    );
    let chains = step(chains, |m| m.prefix_ranges.clone(), |network| holds(network, arrival.destination.ip()));
    let by_name = |name: &String| {
        let name = name.to_lowercase();
        match name.strip_prefix('*') {
            Some(suffix) => arrival.server_name.ends_with(suffix).then_some(suffix.len()),
            None => (name == arrival.server_name).then_some(usize::MAX),
        }
    };
    let chains = step(chains, |m| m.server_names.clone(), by_name);
    let chains = step(
        chains,
        |m| m.transport_protocol.into_iter().collect(),
        |t| (*t == arrival.transport_protocol).then_some(0),
    );
    let by_offer =
        |protocol: &String| arrival.application_protocols.iter().position(|offered| offered == protocol).map(Reverse);
    let chains = step(chains, |m| m.application_protocols.clone(), by_offer);
    let named =
        |m: &FilterChainMatch| Some(m.source_type).filter(|t| *t != ConnectionSourceType::Any).into_iter().collect();
    let chains = step(chains, named, |source| (*source == arrival.source_type()).then_some(0));
    let chains = step(chains, |m| m.source_prefix_ranges.clone(), |network| holds(network, arrival.source.ip()));
    let chains = step(chains, |m| m.source_ports.clone(), |port| (*port == arrival.source.port()).then_some(0));
    chains.first().map(|(place, _)| *place)
}

fn networks() -> impl Strategy<Value = Vec<String>> {
    let all = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "::/0", "fe80::/10"].map(str::to_owned);
    subsequence(all.to_vec(), 0..3)
}

fn texts(all: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    subsequence(all, 0..3).prop_map(|texts| texts.into_iter().map(str::to_owned).collect())
}

fn transport() -> impl Strategy<Value = TransportProtocol> {
    prop_oneof![Just(TransportProtocol::Tls), Just(TransportProtocol::RawBuffer)]
}

prop_compose! {
    fn matching()(
        destination_port in option::of(1u16..3),
        prefix_ranges in networks(),
        server_names in texts(&["a.b.c", "*.b.c", "*.c", "B.c"]),
        transport_protocol in option::of(transport()),
        application_protocols in texts(&["h2", "aeraki.dubbo", "x"]),
        source_type in prop_oneof![Just(ConnectionSourceType::Any), Just(ConnectionSourceType::SameIpOrLoopback), Just(ConnectionSourceType::External)],
        source_prefix_ranges in networks(),
        source_ports in subsequence(vec![1u16, 2, 3], 0..2),
    ) -> FilterChainMatch {
        FilterChainMatch {
            destination_port, prefix_ranges, server_names, transport_protocol, application_protocols, source_type,
            source_prefix_ranges, source_ports,
        }
    }
}

fn address() -> impl Strategy<Value = SocketAddr> {
    const IPS: [&str; 8] =
        ["10.1.2.3", "10.1.9.9", "10.9.9.9", "192.168.0.1", "127.0.0.1", "::1", "fe80::1", "::ffff:10.1.2.3"];
    (prop::sample::select(&IPS[..]), 1u16..4)
        .prop_map(|(ip, port)| SocketAddr::new(ip.parse().expect("an address"), port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn agrees_with_a_walk_over_all_chains(
        mut matches in vec(matching(), 0..12),
        (source, destination) in (address(), address()),
        server_name in prop::sample::select(&["", "a.b.c", "x.b.c", "b.c", "c", "a.c"][..]),
        transport in transport(),
        protocols in texts(&["aeraki.dubbo", "h2", "y"]),
    ) {
        let index = loop {
            match ChainIndex::new(&matches) {
                Ok(index) => break index,
                Err((_, later)) => drop(matches.remove(later)),
            }
        };
        let arrival = Arrival::new(source, destination)
            .with_server_name(server_name)
            .with_transport_protocol(transport)
            .with_application_protocols(&protocols);
        prop_assert_eq!(index.find(&arrival), naive(&matches, &arrival));
    }
}
