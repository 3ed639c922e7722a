//! Headers to add and their values.

use aeraki_route::config::MutationValue;

use super::*;
use crate::proto::envoy::config::core::v3::header_value_option::HeaderAppendAction as Action;

fn adding(value: &str, append: Option<bool>, action: i32) -> proto::RouteConfiguration {
    let header = HeaderValue { key: "k".to_owned(), value: value.to_owned(), ..HeaderValue::default() };
    let option =
        HeaderValueOption { header: Some(header), append, append_action: action, ..HeaderValueOption::default() };
    resource(|route, _| route.request_headers_to_add = vec![option])
}

fn value(text: &str) -> MutationValue {
    match read(&adding(text, None, 0)).request_mutation.remove(0) {
        MutationEntry::Set { value, .. } => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_addition_sets_unless_it_says_otherwise() {
    let (set, append, absent) =
        (MutationEntry::set("k", "v"), MutationEntry::append("k", "v"), MutationEntry::set_if_absent("k", "v"));
    for (wrapper, action, expected) in [
        (None, Action::AppendIfExistsOrAdd, &set),
        (Some(false), Action::AppendIfExistsOrAdd, &set),
        (Some(true), Action::AppendIfExistsOrAdd, &append),
        (None, Action::OverwriteIfExistsOrAdd, &set),
        (None, Action::AddIfAbsent, &absent),
    ] {
        let read = read(&adding("v", wrapper, action.into())).request_mutation;
        assert_eq!(read, std::slice::from_ref(expected), "{wrapper:?} {action:?}");
    }
    let place = r#"route configuration "t": virtual_hosts[0] "vh".routes[0] "r".request_headers_to_add[0]"#;
    for (wrapper, action, expected) in [
        (None, 3, "append_action: OVERWRITE_IF_EXISTS is not supported"),
        (None, 9, "append_action: there is no action 9"),
        (Some(true), 1, r#"append: excludes "append_action", which is given too"#),
    ] {
        assert_eq!(refused(&adding("v", wrapper, action)), format!("{place}.{expected}"));
    }
}

#[test]
fn values_may_be_command_operators() {
    assert_eq!(value("%REQ(x-user)%"), MutationValue::Attribute("x-user".to_owned()));
    assert_eq!(value("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"), MutationValue::PeerAddress);
    assert_eq!(value("%STREAM_ID%"), MutationValue::RequestId);
    for (text, literal) in [
        ("100%", "100%"),
        ("100%%", "100%"),
        ("%20a%2", "%20a%2"),
        ("%%STREAM_ID%%", "%STREAM_ID%"),
        ("%%REQ(a)%%", "%REQ(a)%"),
        ("%%PROTOCOL%%", "%PROTOCOL%"),
        ("%Protocol%", "%Protocol%"),
        ("50 %OFF", "50 %OFF"),
    ] {
        assert_eq!(value(text), literal.into(), "{text}");
    }
}

#[test]
fn what_is_meant_as_a_template_is_refused() {
    let place =
        r#"route configuration "t": virtual_hosts[0] "vh".routes[0] "r".request_headers_to_add[0].header.value"#;
    let alone = "a command operator must be the whole value";
    let named = "must be %REQ(name)%, without an alternative and a length";
    let unknown = "holds a command operator that is not known here: use %REQ(name)%, \
                   %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% or %STREAM_ID%, and %% for a per cent sign";
    for (text, reason) in [
        ("id-%STREAM_ID%", alone),
        ("%STREAM_ID%%STREAM_ID%", alone),
        ("%REQ(a)% ", alone),
        ("%REQ(a):10%", named),
        ("%REQ(a?b)%", named),
        ("%REQ(a", named),
        ("%PROTOCOL%", unknown),
        ("by %DOWNSTREAM_REMOTE_ADDRESS%", unknown),
        ("%RESP(a)%", unknown),
    ] {
        assert_eq!(refused(&adding(text, None, 0)), format!("{place}: {reason}"), "{text}");
    }
    let entry = MutationEntry::set("k", MutationValue::Attribute("a)%b".to_owned()));
    let config = RouteConfig::new("t", [Route::new("r", RouteAction::cluster("c")).with_request_mutation(entry)]);
    let error = routes_to_http(&config).expect_err("would be read as something else").to_string();
    assert_eq!(error, r#"route configuration "t": routes[0] "r".requestMutation: the value of "k" has no form here"#);
}

proptest! {
    /// A text is sent as it is wherever a proxy that knows no operators would see the same.
    #[test]
    fn texts_are_sent_as_they_are_unless_they_would_be_misread(text in "[%a]{0,6}") {
        let entry = MutationEntry::set("k", text.as_str());
        let config = RouteConfig::new("t", [Route::new("r", RouteAction::cluster("c")).with_request_mutation(entry)]);
        let sent = routes_to_http(&config).expect("has a form");
        let header = sent.virtual_hosts[0].routes[0].request_headers_to_add[0].header.clone().expect("is there");
        prop_assert_eq!(header.value == text, !text.contains("%%"));
        prop_assert_eq!(routes_from_http(&sent), Ok(config));
    }
}
