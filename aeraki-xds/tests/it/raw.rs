//! The server against a client of another make: requests written by hand.

use aeraki_xds::proto::envoy::config::route::v3::RouteConfiguration;
use aeraki_xds::proto::envoy::service::discovery::v3::DiscoveryRequest;
use aeraki_xds::proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use aeraki_xds::proto::envoy::service::route::v3::route_discovery_service_client::RouteDiscoveryServiceClient;
use aeraki_xds::{Publisher, type_url};
use futures_util::{StreamExt, stream};
use tonic::Code;

use crate::support::{Client, ControlPlane, Port, table};

fn ask(type_url: &str, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DiscoveryRequest::default()
    }
}

#[tokio::test]
async fn an_aggregated_stream_carries_routes() {
    let port = Port::new();
    let control = ControlPlane::start(&port, Publisher::new());
    control.publish([table("a", "v1"), table("b", "v1")]);
    let mut client =
        AggregatedDiscoveryServiceClient::connect(format!("http://{}", port.address())).await.expect("connects");
    let requests = stream::iter([ask(type_url::ROUTE, &["b", "unknown"])]).chain(stream::pending());
    let mut responses = client.stream_aggregated_resources(requests).await.expect("is served").into_inner();
    let response = responses.message().await.expect("is no error").expect("is a response");
    let tables: Vec<RouteConfiguration> =
        response.resources.iter().map(|any| any.unpack().expect("is a table")).collect();
    assert_eq!(tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(tables[0].virtual_hosts.len(), 1, "the shape that upstream's proxy reads");
}

#[tokio::test]
async fn a_thousand_names_that_are_not_there_are_told_at_once() {
    let port = Port::new();
    let mut control = ControlPlane::start(&port, Publisher::new());
    control.publish([table("a", "v1")]);
    let mut client =
        AggregatedDiscoveryServiceClient::connect(format!("http://{}", port.address())).await.expect("connects");
    let names: Vec<_> = (0..1000).map(|number| format!("none-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).chain(["a"]).collect();
    let requests = stream::iter([ask(type_url::ROUTE, &names)]).chain(stream::pending());
    let mut responses = client.stream_aggregated_resources(requests).await.expect("is served").into_inner();
    responses.message().await.expect("is no error").expect("is a response");
    let told = control.events.wait("absent ").await;
    assert_eq!(told.matches("none-").count(), 1000);
}

#[tokio::test]
async fn a_route_stream_takes_no_other_type() {
    let port = Port::new();
    let _control = ControlPlane::start(&port, Publisher::new());
    let mut client =
        RouteDiscoveryServiceClient::connect(format!("http://{}", port.address())).await.expect("connects");
    let requests = stream::iter([ask(type_url::CLUSTER, &[])]).chain(stream::pending());
    let mut responses = client.stream_routes(requests).await.expect("is served").into_inner();
    let status = responses.message().await.expect_err("is refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains(type_url::CLUSTER), "{status}");
}

#[tokio::test]
async fn a_subscriber_that_never_answers_delays_nobody_else() {
    let port = Port::new();
    let control = ControlPlane::start(&port, Publisher::new());
    control.publish([table("t", "v0")]);
    let mut mute = RouteDiscoveryServiceClient::connect(format!("http://{}", port.address())).await.expect("connects");
    let requests = stream::iter([ask(type_url::ROUTE, &["t"])]).chain(stream::pending());
    let mut responses = mute.stream_routes(requests).await.expect("is served").into_inner();
    let first = responses.message().await.expect("is no error").expect("is a response");

    let mut client = Client::start(&port, "t");
    client.events.wait("accepted").await;
    for version in ["v1", "v2", "v3"] {
        control.publish([table("t", version)]);
        client.events.wait("accepted").await;
        assert_eq!(client.cluster().as_deref(), Some(version));
    }
    control.stop().await;
    assert_eq!(responses.message().await.expect("is no error"), None, "nothing came after {:?}", first.version_info);
}
