use aeraki_route::config::{Route, RouteAction};

use super::*;
use crate::convert::routes_to_http;

fn table(name: &str, cluster: &str) -> Any {
    let config = RouteConfig::new(name, [Route::new("all", RouteAction::cluster(cluster))]);
    Any::pack(&routes_to_http(&config).expect("has a form"))
}

fn response(version: &str, resources: Vec<Any>) -> DiscoveryResponse {
    DiscoveryResponse {
        version_info: version.to_owned(),
        nonce: format!("nonce-{version}"),
        type_url: type_url::ROUTE.to_owned(),
        resources,
        ..DiscoveryResponse::default()
    }
}

fn subscription() -> Subscription {
    Subscription::new("t", Node { id: "me".to_owned(), ..Node::default() })
}

/// A consumer that refuses the cluster `bad` and counts.
#[derive(Default)]
struct Consumer {
    asked: usize,
}

impl Consumer {
    fn send(&mut self, to: &mut Subscription, version: &str, resources: Vec<Any>) -> (DiscoveryRequest, Outcome) {
        let mut apply = |config: &RouteConfig| {
            self.asked += 1;
            match config.routes[0].action.clusters().next() {
                Some("bad") => Err(ConfigError::new("route configuration \"t\"", "routes", "are bad")),
                _ => Ok(()),
            }
        };
        to.on_response(response(version, resources), &mut apply)
    }
}

fn accepted(version: &str) -> Outcome {
    Outcome::Accepted { version: version.to_owned() }
}

#[test]
fn a_stream_opens_with_who_asks_for_what() {
    let open = subscription().open();
    assert_eq!(open.node.map(|node| node.id).as_deref(), Some("me"));
    assert_eq!((open.resource_names, open.type_url.as_str()), (vec!["t".to_owned()], type_url::ROUTE));
    assert_eq!((open.version_info, open.response_nonce), (String::new(), String::new()));
}

#[test]
fn an_acceptance_names_its_version_and_a_refusal_the_last_accepted_one() {
    let (mut subscription, mut consumer) = (subscription(), Consumer::default());
    let (ack, outcome) = consumer.send(&mut subscription, "1", vec![table("t", "good")]);
    assert_eq!((outcome, ack.error_detail), (accepted("1"), None));
    assert_eq!((ack.version_info.as_str(), ack.response_nonce.as_str()), ("1", "nonce-1"));

    let (nack, outcome) = consumer.send(&mut subscription, "2", vec![table("t", "bad")]);
    let reason = "route configuration \"t\": routes: are bad".to_owned();
    assert_eq!(nack.error_detail.map(|status| status.message), Some(reason.clone()));
    assert_eq!(outcome, Outcome::Rejected { version: "2".to_owned(), reason });
    assert_eq!((nack.version_info.as_str(), nack.response_nonce.as_str()), ("1", "nonce-2"));
    assert_eq!(subscription.open().version_info, "1", "a new stream says what is in force");
}

#[test]
fn the_table_in_force_is_not_applied_again() {
    let (mut subscription, mut consumer) = (subscription(), Consumer::default());
    for (version, cluster, asked) in [("1", "a", 1), ("2", "a", 1), ("3", "bad", 2), ("4", "a", 2), ("5", "b", 3)] {
        consumer.send(&mut subscription, version, vec![table("t", cluster)]);
        assert_eq!(consumer.asked, asked, "after version {version}");
    }
}

#[test]
fn an_empty_response_changes_nothing() {
    let (mut subscription, mut consumer) = (subscription(), Consumer::default());
    let (ack, outcome) = consumer.send(&mut subscription, "1", vec![]);
    assert_eq!((outcome, ack.error_detail, ack.version_info.as_str()), (Outcome::Empty, None, "1"));
    assert_eq!(consumer.asked, 0);
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let other = |type_url: &str| Any { type_url: type_url.to_owned(), value: table("t", "a").value };
    let broken = Any { value: "\u{1}".into(), ..table("t", "a") };
    let cases = [
        (vec![table("x", "a")], "asked for \"t\" and got \"x\""),
        (vec![table("t", "a"), table("t", "a")], "asked for \"t\" and got 2 resources"),
        (vec![other(type_url::CLUSTER)], "expected type.googleapis.com/envoy.config.route.v3.RouteConfiguration"),
        (vec![broken], "not a valid message"),
    ];
    for (resources, expected) in cases {
        let (mut subscription, mut consumer) = (subscription(), Consumer::default());
        let (_, outcome) = consumer.send(&mut subscription, "1", resources);
        assert!(matches!(&outcome, Outcome::Rejected { reason, .. } if reason.starts_with(expected)), "{outcome:?}");
        assert_eq!(consumer.asked, 0);
    }
}
