//! What a look-up, a pick, a build and a swap cost: one function for each kind of table.
//!
//! `cargo bench -p aeraki-route` prints the time of one operation. Messages are drawn at random from 1 024 of them.

use std::{hint::black_box, net::Ipv4Addr, ops::Range, sync::Arc};

use aeraki_codec::Attributes;
use aeraki_route::{
    RouteTable, Rules, SharedRules,
    config::{AttributeMatch, Route, RouteAction, RouteConfig},
};
use divan::Bencher;

fn main() {
    divan::main();
}

#[divan::bench(sample_size = 1024, args = [1, 4, 8])]
fn small(bencher: Bencher<'_, '_>, rules: usize) {
    look_up(bencher, exact_rules(rules), |n| exact_message(n % rules));
}

#[divan::bench(sample_size = 1024, args = [10, 1_000, 10_000, 100_000])]
fn exact_hit(bencher: Bencher<'_, '_>, rules: usize) {
    look_up(bencher, exact_rules(rules), |n| exact_message(n % rules));
}

#[divan::bench(sample_size = 1024, args = [10, 10_000])]
fn exact_miss(bencher: Bencher<'_, '_>, rules: usize) {
    look_up(bencher, exact_rules(rules), |n| exact_message(rules + n));
}

/// One of four conditions tells the rules apart; three are shared by all.
#[divan::bench(sample_size = 1024)]
fn four_conditions(bencher: Bencher<'_, '_>) {
    let rule = |n| {
        [("env", "production".to_owned()), ("tenant", tenant(n)), ("version", "1.0.0".into()), ("zone", "eu-1".into())]
            .into_iter()
            .fold(route(n), |route, (key, value)| route.with_match(AttributeMatch::exact(key, value)))
    };
    let message = |n| {
        let (zone, version) = (("zone", "eu-1".to_owned()), ("version", "1.0.0".to_owned()));
        Message::new([zone, version, ("tenant", tenant(n)), ("env", "production".to_owned())])
    };
    look_up(bencher, (0..10_000).map(rule), |n| message(n % 10_000));
}

#[divan::bench(sample_size = 1024)]
fn prefix(bencher: Bencher<'_, '_>) {
    let rule = |n| route(n).with_match(AttributeMatch::prefix("interface", format!("{}.", interface(n))));
    look_up(bencher, (0..10_000).map(rule), |n| {
        Message::new([("interface", format!("{}.Impl", interface(n % 10_000)))])
    });
}

#[divan::bench(sample_size = 1024)]
fn suffix_ignoring_case(bencher: Bencher<'_, '_>) {
    let rule =
        |n| route(n).with_match(AttributeMatch::suffix("interface", format!(".Service{n:05}")).with_ignore_case(true));
    look_up(bencher, (0..10_000).map(rule), |n| {
        Message::new([("interface", format!("org.example.SERVICE{:05}", n % 10_000))])
    });
}

#[divan::bench(sample_size = 1024, args = [100, 1_000])]
fn regex(bencher: Bencher<'_, '_>, rules: usize) {
    let module = |n| n % 33;
    let rule = |n| {
        let pattern = format!(r"com\.example\.module{}\..*Service{n}/(get|list|find).*", module(n));
        route(n).with_match(AttributeMatch::regex("path", pattern))
    };
    look_up(bencher, (0..rules).map(rule), |n| {
        let n = n % rules;
        Message::new([("path", format!("com.example.module{}.inventory.Service{n}/getById", module(n)))])
    });
}

#[divan::bench(sample_size = 1024, args = [1, 2, 10])]
fn pick(bencher: Bencher<'_, '_>, clusters: u32) {
    let action = RouteAction::weighted((0..clusters).map(|n| (format!("v{n}"), 10)));
    let table = compile([Route::new("weighted", action)]);
    let route = &table.routes()[0];
    let mut random = fastrand::Rng::with_seed(1);
    bencher.with_inputs(|| random.u64(..)).bench_local_values(|draw| route.pick(draw));
}

#[divan::bench(sample_size = 1024)]
fn hash(bencher: Bencher<'_, '_>) {
    let table = compile([Route::new("hashed", RouteAction::cluster("c").with_hash_key("interface"))]);
    let message = exact_message(7);
    bencher.bench(|| table.routes()[0].place(black_box(&message), Ipv4Addr::LOCALHOST.into(), 0));
}

#[divan::bench(sample_count = 20)]
fn build_10_000_exact(bencher: Bencher<'_, '_>) {
    let config = RouteConfig::new("large", exact_rules(10_000));
    bencher.bench(|| RouteTable::compile(&config));
}

/// What every request pays for rules that may change.
#[divan::bench(sample_size = 1024)]
fn load_rules(bencher: Bencher<'_, '_>) {
    let shared = SharedRules::new(Rules::empty());
    let mut reader = shared.reader();
    bencher.bench_local(|| black_box(reader.load().demand().is_none()));
}

/// The same with an owned reference, which a request takes along.
#[divan::bench(sample_size = 1024)]
fn load_and_keep_rules(bencher: Bencher<'_, '_>) {
    let shared = SharedRules::new(Rules::empty());
    let mut reader = shared.reader();
    bencher.bench_local(|| Arc::clone(reader.load()));
}

/// Values side by side as in a frame, and cheap to look up, so that the table is measured and not the message.
struct Message {
    frame: String,
    attributes: [(&'static str, Range<usize>); 4],
}

impl Message {
    fn new<const N: usize>(pairs: [(&'static str, String); N]) -> Self {
        let mut message = Self { frame: String::new(), attributes: Default::default() };
        for (attribute, (key, value)) in message.attributes.iter_mut().zip(pairs) {
            let start = message.frame.len();
            message.frame.push_str(&value);
            *attribute = (key, start..message.frame.len());
        }
        message
    }
}

impl Attributes for Message {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        let (_, range) = self.attributes.iter().find(|(known, _)| *known == key)?;
        self.frame.as_bytes().get(range.clone())
    }
}

fn look_up(bencher: Bencher<'_, '_>, rules: impl IntoIterator<Item = Route>, message: impl Fn(usize) -> Message) {
    let table = compile(rules);
    let mut random = fastrand::Rng::with_seed(1);
    let messages: Vec<_> = (0..1024).map(|_| message(random.usize(..1 << 20))).collect();
    messages.iter().for_each(|message| assert!(black_box(table.find(message)).is_none_or(|r| r.name().len() > 1)));
    bencher.with_inputs(|| &messages[random.usize(..1024)]).bench_local_values(|message| table.find(message));
}

fn compile(rules: impl IntoIterator<Item = Route>) -> RouteTable {
    RouteTable::compile(&RouteConfig::new("bench", rules)).expect("the configuration is valid")
}

fn route(n: usize) -> Route {
    Route::new(format!("route{n}"), RouteAction::cluster("outbound|20880||example"))
}

/// Ten methods of each interface.
fn exact_rules(rules: usize) -> impl Iterator<Item = Route> {
    (0..rules).map(|n| {
        let [(_, interface), (_, method)] = exact_pair(n);
        route(n)
            .with_match(AttributeMatch::exact("interface", interface))
            .with_match(AttributeMatch::exact("method", method))
    })
}

fn exact_message(n: usize) -> Message {
    Message::new(exact_pair(n))
}

fn exact_pair(n: usize) -> [(&'static str, String); 2] {
    [("interface", interface(n / 10)), ("method", format!("method{}", n % 10))]
}

fn interface(n: usize) -> String {
    format!("org.example.inventory.Service{n:05}")
}

fn tenant(n: usize) -> String {
    format!("tenant-{n:05}")
}
