use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::proto::google::rpc::Status;
use crate::{Any, type_url};

/// A snapshot of raw resources `(type, name, content)`.
fn snapshot(resources: &[(&str, &str, &str)]) -> Arc<Snapshot> {
    let add = |builder: crate::SnapshotBuilder, (type_url, name, content): &(&str, &str, &str)| {
        builder.any(*name, Any { type_url: (*type_url).to_owned(), value: (*content).to_owned().into() })
    };
    Arc::new(resources.iter().fold(Snapshot::builder(), add).build().expect("no name is there twice"))
}

fn routes(resources: &[(&str, &str)]) -> Arc<Snapshot> {
    let routes: Vec<_> = resources.iter().map(|(name, content)| (type_url::ROUTE, *name, *content)).collect();
    snapshot(&routes)
}

fn ask(type_url: &str, names: &[&str], nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        response_nonce: nonce.to_owned(),
        ..DiscoveryRequest::default()
    }
}

fn refuse(response: &DiscoveryResponse, names: &[&str], reason: &str) -> DiscoveryRequest {
    let detail = Status { code: 3, message: reason.to_owned(), details: Vec::new() };
    DiscoveryRequest { error_detail: Some(detail), ..ask(&response.type_url, names, &response.nonce) }
}

fn content(response: &DiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|any| std::str::from_utf8(&any.value).expect("is text")).collect()
}

/// The next response's content, acknowledged at once.
fn take(stream: &mut AdsStream, names: &[&str]) -> Option<Vec<String>> {
    let response = stream.next_response()?;
    let acked = stream.on_request(ask(&response.type_url, names, &response.nonce)).expect("is valid");
    assert_eq!(acked, Heard::Acked { type_url: response.type_url.clone(), version: response.version_info.clone() });
    Some(content(&response).into_iter().map(str::to_owned).collect())
}

fn subscribed(names: &[&str]) -> AdsStream {
    let mut stream = AdsStream::of_type(type_url::ROUTE);
    assert_eq!(stream.on_request(ask("", names, "")), Ok(Heard::Subscribed));
    stream
}

#[test]
fn what_is_asked_for_and_not_there_is_told_once() {
    let absent = |name: &str| vec![(type_url::ROUTE.to_owned(), vec![name.to_owned()])];
    let mut stream = subscribed(&["a", "b"]);
    assert_eq!(stream.newly_absent(), [], "nothing is known yet");
    stream.on_snapshot(routes(&[("a", "a1")]));
    assert_eq!(stream.newly_absent(), absent("b"));
    stream.on_snapshot(routes(&[("a", "a2")]));
    assert_eq!(stream.newly_absent(), [], "told already");
    stream.on_snapshot(routes(&[("b", "b1")]));
    assert_eq!(stream.newly_absent(), absent("a"), "it has gone");
    stream.on_snapshot(routes(&[("a", "a1")]));
    assert_eq!(stream.newly_absent(), absent("b"), "it was there meanwhile");
    assert_eq!(subscribed(&[]).newly_absent(), [], "everything is asked for");
}

#[test]
fn a_subscription_is_answered_from_the_current_snapshot() {
    let mut stream = AdsStream::of_type(type_url::ROUTE);
    stream.on_snapshot(routes(&[("a", "a1"), ("b", "b1")]));
    assert_eq!(stream.next_response(), None, "nobody asked");
    stream.on_request(ask("", &["b"], "")).expect("is valid");
    let response = stream.next_response().expect("is known");
    assert_eq!((content(&response), response.type_url.as_str()), (vec!["b1"], type_url::ROUTE));
    assert!(!response.nonce.is_empty() && !response.version_info.is_empty());
}

#[test]
fn what_is_not_known_is_waited_for_not_served_as_empty() {
    let mut stream = subscribed(&["a"]);
    assert_eq!(stream.next_response(), None, "there is no snapshot");
    stream.on_snapshot(routes(&[("b", "b1")]));
    assert_eq!(stream.next_response(), None, "there is no such resource");
    stream.on_snapshot(routes(&[("a", "a1"), ("b", "b1")]));
    assert_eq!(take(&mut stream, &["a"]), Some(vec!["a1".to_owned()]));
}

#[test]
fn only_what_changed_is_sent() {
    let names = &["a", "b"];
    let mut stream = subscribed(names);
    stream.on_snapshot(routes(&[("a", "a1"), ("b", "b1"), ("c", "c1")]));
    assert_eq!(take(&mut stream, names).map(|all| all.len()), Some(2));
    stream.on_snapshot(routes(&[("a", "a1"), ("b", "b2"), ("c", "c2")]));
    assert_eq!(take(&mut stream, names), Some(vec!["b2".to_owned()]));
    stream.on_snapshot(routes(&[("a", "a1"), ("b", "b2")]));
    assert_eq!(take(&mut stream, names), None);
}

#[test]
fn one_response_is_on_its_way_and_the_newest_snapshot_replaces_what_waits() {
    let mut stream = subscribed(&["a"]);
    stream.on_snapshot(routes(&[("a", "a1")]));
    let first = stream.next_response().expect("is known");
    for content in ["a2", "a3"] {
        stream.on_snapshot(routes(&[("a", content)]));
        assert_eq!(stream.next_response(), None, "the first is not answered");
    }
    stream.on_request(ask("", &["a"], &first.nonce)).expect("is valid");
    assert_eq!(take(&mut stream, &["a"]), Some(vec!["a3".to_owned()]));
    assert_eq!(stream.next_response(), None);
}

#[test]
fn a_refused_resource_is_not_sent_again_until_it_changes() {
    let mut stream = subscribed(&["a"]);
    stream.on_snapshot(routes(&[("a", "bad")]));
    let response = stream.next_response().expect("is known");
    let heard = stream.on_request(refuse(&response, &["a"], "no such key")).expect("is valid");
    let (type_url, version) = (type_url::ROUTE.to_owned(), response.version_info);
    assert_eq!(heard, Heard::Nacked { type_url, version, reason: "no such key".to_owned() });
    assert_eq!(stream.next_response(), None);
    stream.on_snapshot(routes(&[("a", "bad"), ("b", "new")]));
    assert_eq!(stream.next_response(), None);
    stream.on_snapshot(routes(&[("a", "good")]));
    assert_eq!(take(&mut stream, &["a"]), Some(vec!["good".to_owned()]));
}

#[test]
fn an_answer_to_an_older_response_is_dropped() {
    let mut stream = subscribed(&["a"]);
    stream.on_snapshot(routes(&[("a", "a1"), ("b", "b1")]));
    let old = stream.next_response().expect("is known");
    stream.on_request(ask("", &["a"], &old.nonce)).expect("is valid");
    stream.on_snapshot(routes(&[("a", "a2"), ("b", "b1")]));
    let new = stream.next_response().expect("has changed");
    for late in [ask("", &["b"], &old.nonce), refuse(&old, &["b"], "late"), ask("", &["b"], "forged")] {
        assert_eq!(stream.on_request(late), Ok(Heard::Stale));
        assert_eq!(stream.next_response(), None, "the new one is still not answered");
    }
    assert!(matches!(stream.on_request(ask("", &["a"], &new.nonce)), Ok(Heard::Acked { .. })));
}

#[test]
fn names_may_be_added_dropped_and_taken_up_again() {
    let mut stream = subscribed(&["a"]);
    stream.on_snapshot(routes(&[("a", "a1"), ("b", "b1")]));
    let first = stream.next_response().expect("is known");
    stream.on_request(ask("", &["a", "b"], &first.nonce)).expect("is valid");
    let second = stream.next_response().expect("b is new");
    assert_eq!(content(&second), ["b1"]);
    stream.on_request(ask("", &["b"], &second.nonce)).expect("is valid");
    assert_eq!(stream.next_response(), None);
    stream.on_request(ask("", &["a", "b"], &second.nonce)).expect("is valid");
    assert_eq!(stream.next_response().as_ref().map(content), Some(vec!["a1"]));
}

#[test]
fn no_name_at_first_means_all_and_later_none() {
    let mut all = subscribed(&[]);
    all.on_snapshot(routes(&[("a", "a1"), ("b", "b1")]));
    assert_eq!(take(&mut all, &[]).map(|all| all.len()), Some(2));
    all.on_snapshot(routes(&[("a", "a1"), ("b", "b2")]));
    assert_eq!(take(&mut all, &[]), Some(vec!["b2".to_owned()]), "it still wants all");

    let mut none = subscribed(&["a"]);
    none.on_snapshot(routes(&[("a", "a1")]));
    assert!(take(&mut none, &[]).is_some());
    none.on_snapshot(routes(&[("a", "a2")]));
    assert_eq!(none.next_response(), None);
}

#[test]
fn a_subscription_without_nonce_starts_over() {
    let mut stream = subscribed(&["a"]);
    stream.on_snapshot(routes(&[("a", "a1")]));
    assert!(take(&mut stream, &["a"]).is_some());
    assert_eq!(stream.on_request(ask("", &["a"], "")), Ok(Heard::Subscribed));
    assert_eq!(take(&mut stream, &["a"]), Some(vec!["a1".to_owned()]));
}

#[test]
fn listeners_and_clusters_are_sent_whole_so_that_a_removal_is_seen() {
    for whole in [type_url::LISTENER, type_url::CLUSTER] {
        let mut stream = AdsStream::new();
        stream.on_request(ask(whole, &[], "")).expect("is valid");
        stream.on_snapshot(snapshot(&[(whole, "a", "a1"), (whole, "b", "b1")]));
        assert_eq!(take(&mut stream, &[]), Some(vec!["a1".to_owned(), "b1".to_owned()]));
        stream.on_snapshot(snapshot(&[(whole, "a", "a2"), (whole, "b", "b1")]));
        assert_eq!(take(&mut stream, &[]), Some(vec!["a2".to_owned(), "b1".to_owned()]));
        stream.on_snapshot(snapshot(&[(whole, "a", "a2")]));
        assert_eq!(take(&mut stream, &[]), Some(vec!["a2".to_owned()]));
        stream.on_snapshot(snapshot(&[]));
        assert_eq!(take(&mut stream, &[]), Some(vec![]));
        stream.on_snapshot(snapshot(&[]));
        assert_eq!(take(&mut stream, &[]), None);
    }
}

#[test]
fn the_types_of_one_stream_do_not_wait_for_each_other() {
    let mut stream = AdsStream::new();
    stream.on_request(ask(type_url::ROUTE, &["a"], "")).expect("is valid");
    stream.on_request(ask(type_url::ENDPOINT, &["e"], "")).expect("is valid");
    stream.on_snapshot(snapshot(&[(type_url::ROUTE, "a", "a1"), (type_url::ENDPOINT, "e", "e1")]));
    let (one, two) = (stream.next_response().expect("is due"), stream.next_response().expect("is due"));
    assert_ne!((&one.type_url, &one.nonce), (&two.type_url, &two.nonce));
    assert_eq!(stream.next_response(), None);
}

#[test]
fn what_cannot_be_served_is_refused() {
    assert_eq!(AdsStream::new().on_request(ask("", &[], "")), Err(AdsError::NoType));
    let wrong = AdsStream::of_type(type_url::ROUTE).on_request(ask(type_url::CLUSTER, &[], ""));
    assert_eq!(wrong, Err(AdsError::WrongType { only: type_url::ROUTE, found: type_url::CLUSTER.to_owned() }));

    let mut stream = AdsStream::new();
    let types: Vec<_> = (0..=MAX_TYPES).map(|index| stream.on_request(ask(&format!("t{index}"), &[], ""))).collect();
    assert_eq!(types.last(), Some(&Err(AdsError::TooManyTypes)));
    let names = vec!["n"; MAX_NAMES + 1];
    assert_eq!(AdsStream::new().on_request(ask("t", &names, "")), Err(AdsError::TooManyNames));
}

proptest! {
    /// Whatever happens on the way, a subscriber that answers everything ends with the newest content of what it asked
    /// for.
    #[test]
    fn a_subscriber_converges(steps in prop::collection::vec((0u8..4, 0usize..3, 0u8..3), 1..60)) {
        let names = ["a", "b", "c"];
        let mut contents = [0u8; 3];
        let mut stream = subscribed(&names);
        let mut unanswered = None;
        let mut held = std::collections::HashMap::new();
        for (step, index, value) in steps {
            match step {
                0 | 1 => {
                    contents[index] = value;
                    let texts = contents.map(|content| content.to_string());
                    let resources: Vec<_> = names.iter().zip(&texts).map(|(name, text)| (*name, text.as_str())).collect();
                    stream.on_snapshot(tagged(&resources));
                }
                2 => unanswered = stream.next_response().or(unanswered),
                _ => answer(&mut stream, unanswered.take(), &names, &mut held),
            }
        }
        answer(&mut stream, unanswered.take(), &names, &mut held);
        while let Some(response) = stream.next_response() {
            answer(&mut stream, Some(response), &names, &mut held);
        }
        let last = stream.snapshot.as_deref().map(|snapshot| snapshot.resources(type_url::ROUTE).count());
        for (name, content) in names.iter().zip(contents).filter(|_| last.is_some()) {
            prop_assert_eq!(held.get(*name), Some(&content.to_string()));
        }
    }
}

/// Resources whose content says their name, `name=value`.
fn tagged(resources: &[(&str, &str)]) -> Arc<Snapshot> {
    let texts: Vec<_> = resources.iter().map(|(name, value)| (*name, format!("{name}={value}"))).collect();
    routes(&texts.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>())
}

fn answer(
    stream: &mut AdsStream,
    response: Option<DiscoveryResponse>,
    names: &[&str],
    held: &mut std::collections::HashMap<String, String>,
) {
    let Some(response) = response else { return };
    for text in content(&response) {
        let (name, value) = text.split_once('=').expect("is tagged");
        held.insert(name.to_owned(), value.to_owned());
    }
    stream.on_request(ask("", names, &response.nonce)).expect("is valid");
}
