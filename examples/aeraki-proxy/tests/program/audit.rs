//! What is told of the decisions about who may ask for what.

use crate::{
    bootstrap, cluster, listener, protocol,
    running::Running,
    serving::{call, connect, service},
    to_cluster,
    wire::Wire,
};

/// A proxy whose listener has these policies.
async fn judging(policies: &str) -> Running {
    let port = service(Wire::Dubbo, "v1").await;
    let filter = format!(
        "meta_protocol_filters: {{name: aeraki.meta_protocol.filters.authorization, config: {{'@type': \
         type.googleapis.com/aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Authorization, \
         policies: [{policies}]}}}}"
    );
    let fields = format!("{}, {filter}, {}", protocol("dubbo"), to_cluster("service"));
    Running::start(&bootstrap(&[listener(0, &fields)], &[cluster("service", port)]), &["-l", "debug"]).await
}

/// Makes one call and returns what the record with this part says.
async fn record(proxy: &mut Running, part: &str, version: Option<&str>) -> String {
    let mut client = connect(proxy.listener, Wire::Dubbo).await;
    assert_eq!(call(&mut client, Wire::Dubbo, 1).await.as_deref(), version);
    let record = proxy.wait_for(part).await;
    let (_, fields) = record.split_once("authorization ").expect("a record");
    let ports: Vec<_> = fields.split(' ').filter(|field| field.starts_with("peer=127.0.0.1:")).collect();
    let [peer] = ports.as_slice() else { panic!("{record}") };
    fields.replacen(peer, "peer=CLIENT", 1).replacen(&proxy.listener.to_string(), "PROXY", 1)
}

const WHO: &str = "peer=CLIENT local=PROXY listener=\"in\" \
                   attributes=interface=\"org.example.Greeter\" method=\"greet\"";

#[tokio::test]
async fn a_denial_names_policy_rule_client_and_call() {
    let rules =
        "rules: [{to: [{attributes: {method: {values: [other]}}}]}, {to: [{attributes: {method: {values: ['gr*']}}}]}]";
    let mut proxy = judging(&format!("{{name: closed, action: DENY, {rules}}}")).await;
    assert_eq!(
        record(&mut proxy, "verdict=", None).await,
        format!("verdict=\"denied\" dry_run=false policy=\"closed\" rule=1 reason=a rule matches {WHO}")
    );
}

#[tokio::test]
async fn what_is_only_tried_is_told_beside_what_is_allowed() {
    let mut proxy = judging("{name: tried, action: DENY, dry_run: true, rules: [{}]}").await;
    assert_eq!(
        record(&mut proxy, "dry_run=true", Some("v1")).await,
        format!("verdict=\"denied\" dry_run=true policy=\"tried\" rule=0 reason=a rule matches {WHO}")
    );
    assert_eq!(
        record(&mut proxy, "dry_run=false", Some("v1")).await,
        format!("verdict=\"allowed\" dry_run=false reason=no policy denies it {WHO}")
    );
}

#[tokio::test]
async fn a_call_that_no_policy_allows_is_told_so() {
    let mut proxy = judging("{name: nobody, action: ALLOW}").await;
    assert_eq!(
        record(&mut proxy, "verdict=", None).await,
        format!("verdict=\"denied\" dry_run=false reason=no policy allows it {WHO}")
    );
}
