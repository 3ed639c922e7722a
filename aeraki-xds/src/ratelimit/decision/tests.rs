use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::{
    proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::{Entry, RateLimitOverride},
    ratelimit::{MemoryStore, StoreError},
};

/// A service whose time stands still at a given second.
struct Service {
    limits: Limits,
    store: MemoryStore,
}

impl Service {
    fn new(rules: &str) -> Self {
        let limits = Limits::parse([("test.yaml", format!("domain: shop\ndescriptors:\n{rules}"))]);
        Self { limits: limits.expect("is valid"), store: MemoryStore::default() }
    }

    fn try_ask(&self, request: &RateLimitRequest, now: u64) -> Result<RateLimitResponse, Status> {
        decide(&self.limits, &self.store, request, now).now_or_never().expect("memory does not wait")
    }

    fn ask(&self, request: &RateLimitRequest) -> RateLimitResponse {
        self.try_ask(request, NOW).expect("is answered")
    }

    /// Asks about descriptors; returns the overall code, and of each descriptor the code and what is left.
    fn codes(&self, descriptors: &[&[(&str, &str)]]) -> (Code, Vec<(Code, u32)>) {
        let answer = self.ask(&request(descriptors.iter().map(|entries| descriptor(entries))));
        let statuses = answer.statuses.iter().map(|status| (status.code(), status.limit_remaining));
        (answer.overall_code(), statuses.collect())
    }
}

fn request(descriptors: impl IntoIterator<Item = RateLimitDescriptor>) -> RateLimitRequest {
    RateLimitRequest { domain: "shop".to_owned(), descriptors: descriptors.into_iter().collect(), hits_addend: 0 }
}

fn descriptor(entries: &[(&str, &str)]) -> RateLimitDescriptor {
    let entry = |(key, value): &(&str, &str)| Entry { key: (*key).to_owned(), value: (*value).to_owned() };
    RateLimitDescriptor { entries: entries.iter().map(entry).collect(), ..RateLimitDescriptor::default() }
}

#[test]
fn an_answer_tells_of_each_descriptor_in_order() {
    let service = Service::new("  - { key: user, rate_limit: { name: users, unit: minute, requests_per_unit: 1 } }\n");
    let question = request([descriptor(&[("host", "a")]), descriptor(&[("user", "ann")])]);
    let limited = |code: Code| DescriptorStatus {
        code: code.into(),
        current_limit: Some(RateLimit { name: "users".to_owned(), requests_per_unit: 1, unit: 2 }),
        limit_remaining: 0,
        duration_until_reset: Some(prost_types::Duration { seconds: 55, nanos: 0 }),
    };
    let without = DescriptorStatus { code: Code::Ok.into(), ..DescriptorStatus::default() };
    for code in [Code::Ok, Code::OverLimit] {
        let answer = service.ask(&question);
        assert_eq!(answer.overall_code(), code);
        assert_eq!(answer.statuses, [without.clone(), limited(code)]);
    }
    let elsewhere = RateLimitRequest { domain: "other".to_owned(), ..question };
    assert_eq!(service.ask(&elsewhere).statuses, [without.clone(), without], "a domain without limits");
}

#[test]
fn an_unlimited_descriptor_says_so() {
    let service = Service::new("  - { key: user, rate_limit: { unlimited: true } }\n");
    assert_eq!(service.codes(&[&[("user", "ann")]]), (Code::Ok, vec![(Code::Ok, u32::MAX)]));
}

#[test]
fn a_limit_in_shadow_mode_is_counted_and_not_enforced() {
    let service = Service::new("  - { key: a, shadow_mode: true, rate_limit: { unit: day, requests_per_unit: 1 } }\n");
    for left in [0, 0, 0] {
        assert_eq!(service.codes(&[&[("a", "x")]]), (Code::Ok, vec![(Code::Ok, left)]));
    }
}

#[test]
fn a_limit_that_is_replaced_is_not_counted() {
    let service = Service::new(
        "  - { key: a, rate_limit: { name: general, unit: day, requests_per_unit: 1 } }
  - { key: b, rate_limit: { unit: day, requests_per_unit: 9, replaces: [{ name: general }] } }\n",
    );
    let (a, b): (&[_], &[_]) = (&[("a", "x")], &[("b", "x")]);
    assert_eq!(service.codes(&[a, b]), (Code::Ok, vec![(Code::Ok, 0), (Code::Ok, 8)]));
    assert_eq!(service.codes(&[a]), (Code::Ok, vec![(Code::Ok, 0)]), "its first hit");
    assert_eq!(service.codes(&[a]).0, Code::OverLimit);
    assert_eq!(service.codes(&[a, b]), (Code::Ok, vec![(Code::Ok, 0), (Code::Ok, 7)]));
}

#[test]
fn a_request_passes_as_long_as_one_quota_is_left() {
    let service = Service::new(
        "  - { key: a, quota_mode: true, rate_limit: { unit: day, requests_per_unit: 1 } }
  - { key: b, quota_mode: true, rate_limit: { unit: day, requests_per_unit: 2 } }
  - { key: c, rate_limit: { unit: day, requests_per_unit: 0 } }\n",
    );
    let (a, b, c): (&[_], &[_], &[_]) = (&[("a", "x")], &[("b", "x")], &[("c", "x")]);
    for overall in [Code::Ok, Code::Ok, Code::OverLimit] {
        assert_eq!(service.codes(&[a, b]).0, overall);
    }
    assert_eq!(service.codes(&[&[("a", "y")], c]).0, Code::OverLimit, "a limit is a limit");
}

#[test]
fn values_that_share_a_pattern_share_its_counter() {
    let service = Service::new(
        "  - { key: f, value: img/*, share_threshold: true, rate_limit: { unit: day, requests_per_unit: 2 } }
  - { key: f, value: doc/*, rate_limit: { unit: day, requests_per_unit: 2 } }\n",
    );
    let left = |value| service.codes(&[&[("f", value)]]).1[0].1;
    assert_eq!([left("img/a"), left("img/b")], [1, 0]);
    assert_eq!([left("doc/a"), left("doc/b")], [1, 1]);
}

#[test]
fn a_question_says_how_much_it_counts() {
    let service = Service::new("  - { key: a, rate_limit: { unit: day, requests_per_unit: 10 } }\n");
    let left = |of_request, of_descriptor| {
        let descriptor = RateLimitDescriptor { hits_addend: of_descriptor, ..descriptor(&[("a", "x")]) };
        let status =
            service.ask(&RateLimitRequest { hits_addend: of_request, ..request([descriptor]) }).statuses.remove(0);
        (status.code(), status.limit_remaining)
    };
    assert_eq!(left(0, None), (Code::Ok, 9));
    assert_eq!(left(3, None), (Code::Ok, 6));
    assert_eq!(left(3, Some(0)), (Code::Ok, 6), "only asks");
    assert_eq!(left(0, Some(6)), (Code::Ok, 0));
    assert_eq!(left(0, Some(0)), (Code::Ok, 0));
    assert_eq!(left(u32::MAX, Some(u64::MAX)), (Code::OverLimit, 0));
    assert_eq!(left(1, Some(u64::MAX)), (Code::OverLimit, 0), "a counter does not run over");
}

#[test]
fn a_question_may_bring_a_limit_along() {
    let service = Service::new("  - { key: a, rate_limit: { unit: day, requests_per_unit: 0 } }\n");
    let with = |unit| RateLimitDescriptor {
        limit: Some(RateLimitOverride { requests_per_unit: 1, unit }),
        ..descriptor(&[("a", "x")])
    };
    let codes = || service.ask(&request([with(3)])).overall_code();
    assert_eq!([codes(), codes()], [Code::Ok, Code::OverLimit]);
    let unknown = service.try_ask(&request([with(3), with(0)]), NOW).expect_err("is refused");
    assert_eq!(unknown.message(), "descriptors[1].limit.unit: is unknown");
    let elsewhere = RateLimitRequest { domain: "other".to_owned(), ..request([with(3), with(3)]) };
    assert_eq!(service.ask(&elsewhere).overall_code(), Code::Ok, "only of a domain that is known");
}

#[test]
fn a_question_that_means_nothing_is_refused() {
    let service = Service::new("  - key: a\n");
    let negative = RateLimitDescriptor { is_negative_hits: true, ..descriptor(&[("a", "x")]) };
    for (question, reason) in [
        (RateLimitRequest { domain: String::new(), ..request([descriptor(&[])]) }, "domain: must not be empty"),
        (request([]), "descriptors: must hold at least one descriptor"),
        (request([negative]), "descriptors[0].is_negative_hits: is not supported"),
    ] {
        let status = service.try_ask(&question, NOW).expect_err("is refused");
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, reason));
    }
    assert_eq!(service.codes(&[&[]]), (Code::Ok, vec![(Code::Ok, 0)]), "a descriptor without entries has no limit");
}

/// A store that answers the same whatever is hit.
struct Fixed(Result<Vec<u64>, &'static str>);

impl Store for Fixed {
    async fn add(&self, _hits: &[Hit<'_>]) -> Result<Vec<u64>, StoreError> {
        self.0.clone().map_err(StoreError::new)
    }
}

#[test]
fn a_store_that_fails_is_no_answer() {
    let Service { limits, .. } = Service::new("  - { key: a, rate_limit: { unit: day, requests_per_unit: 9 } }\n");
    let question = request([descriptor(&[("a", "x")])]);
    let refusal = |store| {
        let answer = decide(&limits, &Fixed(store), &question, NOW).now_or_never().expect("does not wait");
        let status = answer.expect_err("there is no answer");
        (status.code(), status.message().to_owned())
    };
    let away = refusal(Err("connection refused"));
    assert_eq!(away, (tonic::Code::Unavailable, "the counters cannot be reached: connection refused".to_owned()));
    for counts in [vec![], vec![1, 1]] {
        assert_eq!(refusal(Ok(counts)).0, tonic::Code::Internal);
    }
    let unlimited = request([descriptor(&[("b", "x")])]);
    let answer = decide(&limits, &Fixed(Err("is not asked")), &unlimited, NOW).now_or_never();
    assert!(answer.expect("does not wait").is_ok(), "what is not counted needs no store");
}

/// A rule as the model understands it.
#[derive(Debug, Clone)]
struct Rule {
    key: &'static str,
    value: &'static str,
    limit: Option<(u32, &'static str, u64)>,
    shadow: bool,
    below: Vec<Self>,
}

impl Rule {
    fn yaml(&self) -> String {
        let Self { key, value, shadow, .. } = self;
        let limit = self.limit.map_or_else(String::new, |(requests, unit, _)| {
            format!(", rate_limit: {{ unit: {unit}, requests_per_unit: {requests} }}")
        });
        let below: Vec<_> = self.below.iter().map(Self::yaml).collect();
        let below = below.join(", ");
        format!("{{ key: {key}, value: \"{value}\", shadow_mode: {shadow}{limit}, descriptors: [{below}] }}")
    }

    /// How well it fits: 3 an equal value, 2 a pattern, 1 any value, 0 not at all.
    fn fits(&self, (key, value): (&str, &str)) -> u8 {
        match self.value.strip_suffix('*') {
            _ if key != self.key => 0,
            Some(prefix) if value.starts_with(prefix) => 2,
            Some(_) => 0,
            None if self.value.is_empty() => 1,
            None => u8::from(value == self.value) * 3,
        }
    }
}

fn find_rule<'a>(rules: &'a [Rule], entries: &[(&str, &str)]) -> Option<&'a Rule> {
    let (first, others) = entries.split_first()?;
    let best = rules.iter().filter(|rule| rule.fits(*first) > 0).max_by_key(|rule| rule.fits(*first))?;
    if others.is_empty() { Some(best) } else { find_rule(&best.below, others) }
}

fn rules(depth: u32) -> BoxedStrategy<Vec<Rule>> {
    let below = if depth == 0 { Just(Vec::new()).boxed() } else { rules(depth - 1) };
    let units = [("second", 1), ("minute", 60), ("hour", 3600)];
    let limit = (0_u32..6, prop::sample::select(units.to_vec()))
        .prop_map(|(requests, (unit, seconds))| (requests, unit, seconds));
    let keys = prop::sample::select(vec!["a", "b"]);
    let values = prop::sample::select(vec!["", "x", "y", "x*"]);
    let rule = (keys, values, prop::option::weighted(0.8, limit), prop::bool::weighted(0.2), below);
    let rule = rule.prop_map(|(key, value, limit, shadow, below)| Rule { key, value, limit, shadow, below });
    let unique = |mut rules: Vec<Rule>| {
        rules.sort_by_key(|rule| (rule.key, rule.value));
        rules.dedup_by_key(|rule| (rule.key, rule.value));
        rules
    };
    prop::collection::vec(rule, 0..5).prop_map(unique).boxed()
}

/// Seconds since the last question, hits, descriptors.
type Step = (u64, u32, Vec<Vec<(&'static str, &'static str)>>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entry = (prop::sample::select(vec!["a", "b"]), prop::sample::select(vec!["", "x", "y", "xx"]));
    let descriptors = prop::collection::vec(prop::collection::vec(entry, 1..3), 1..4);
    prop::collection::vec((prop::sample::select(vec![0, 0, 0, 1, 20, 3000]), 0_u32..3, descriptors), 1..40)
}

proptest! {
    /// The model keeps every counter of every window for ever, in one list.
    #[test]
    fn answers_are_those_of_a_naive_model(rules in rules(1), steps in steps()) {
        let yaml: String = rules.iter().map(|rule| format!("  - {}\n", rule.yaml())).collect();
        let service = Service::new(&yaml);
        let mut counted = Vec::new();
        let mut now = NOW;
        for (later, hits, descriptors) in steps {
            now += later;
            let mut question = request(descriptors.iter().map(|entries| descriptor(entries)));
            question.hits_addend = hits;
            let answer = service.try_ask(&question, now).expect("is answered");
            let mut over = false;
            for (entries, status) in descriptors.iter().zip(&answer.statuses) {
                let rule = find_rule(&rules, entries);
                let Some((rule, (requests, unit, seconds))) = rule.and_then(|rule| Some((rule, rule.limit?))) else {
                    prop_assert_eq!((status.code(), status.current_limit.is_some()), (Code::Ok, false));
                    continue;
                };
                let counter = (entries.clone(), unit, now / seconds);
                counted.extend((0..hits.max(1)).map(|_| counter.clone()));
                let count = counted.iter().filter(|known| **known == counter).count();
                let left = usize::try_from(requests).expect("is small").checked_sub(count);
                let code = if left.is_some() || rule.shadow { Code::Ok } else { Code::OverLimit };
                over |= code == Code::OverLimit;
                prop_assert_eq!((status.code(), status.limit_remaining as usize), (code, left.unwrap_or(0)));
                let reset = status.duration_until_reset.expect("is set").seconds;
                prop_assert_eq!((now + reset.unsigned_abs()) % seconds, 0);
                prop_assert!((1..=seconds).contains(&reset.unsigned_abs()));
            }
            prop_assert_eq!(answer.overall_code() == Code::OverLimit, over);
        }
    }
}

/// Five seconds after a full minute.
const NOW: u64 = 1_700_000_000 / 60 * 60 + 5;
