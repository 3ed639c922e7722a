//! What proxies learn of each other's nodes.

use aeraki_codec::{Demand, Framer, Limits, Protocol, Role, dubbo::Dubbo};
use aeraki_route::config::{MetadataExchange, Node, TrafficDirection};
use bytes::BytesMut;

use super::*;

fn attachments(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = b"H".to_vec();
    for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
        assert!(text.len() < 32, "only the short form is written here");
        body.push(u8::try_from(text.len()).expect("short"));
        body.extend(text.as_bytes());
    }
    body.push(b'Z');
    body
}

fn read(flag: u8, status: u8, body: &[u8], role: Role) -> Message {
    let mut frame = vec![0xda, 0xbb, flag, status, 0, 0, 0, 0, 0, 0, 0, 1];
    frame.extend(u32::try_from(body.len()).expect("short").to_be_bytes());
    frame.extend(body);
    let mut framer = Framer::new(Dubbo::default().codec(role, &Limits::default()));
    match framer.decode(&mut BytesMut::from(frame.as_slice()), &Demand::all()) {
        Ok(Decoded::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn call(pairs: &[(&str, &str)]) -> Request {
    let body = [b"\x052.0.2\x01i\x011\x01m\x00", &attachments(pairs)[..]].concat();
    let message = read(0xc2, 0, &body, Role::Server);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let conn = ConnInfo::new("test".into(), Arc::new(Dubbo::default()), address, address);
    let facts = Facts::new(Instant::now(), message.kind(), message.len() as u64);
    Request::new(message, Arc::new(conn), Arc::new(Rules::empty()), facts)
}

fn gate(direction: TrafficDirection, trust_boundary: bool) -> Arc<dyn Gate> {
    let config = MetadataExchange::default().with_trust_boundary(trust_boundary);
    ExchangeMetadata::new(config, direction, &Node::new("n", "c")).gate(Metrics::new("dubbo", "test"))
}

const SAID: [(&str, &str); 2] = [("x-envoy-peer-metadata-id", "a"), ("X-Envoy-Peer-Metadata", "CgsKBE5BTUUSAxoBYQ==")];

fn name(request: &Request) -> Option<String> {
    Some(request.facts.record().peer?.get("NAME")?.to_owned())
}

#[test]
fn an_inbound_listener_reads_requests() {
    let inbound = gate(TrafficDirection::Inbound, false);
    let mut request = call(&SAID);
    assert!(matches!(inbound.admit(&mut request), Admission::Watch(_)));
    assert_eq!(name(&request).as_deref(), Some("a"));
    // the same text is not read again, but another under the same id is
    let mut again = call(&SAID);
    inbound.admit(&mut again);
    let (first, second) = (request.facts.record().peer, again.facts.record().peer);
    assert!(Arc::ptr_eq(&first.expect("known"), &second.expect("known")));
    let mut other = call(&[SAID[0], ("x-envoy-peer-metadata", "CgsKBE5BTUUSAxoBYg")]);
    inbound.admit(&mut other);
    assert_eq!(name(&other).as_deref(), Some("b"));
}

#[test]
fn an_outbound_listener_reads_answers() {
    let mut request = call(&[]);
    let Admission::Watch(mut watch) = gate(TrafficDirection::Outbound, false).admit(&mut request) else {
        panic!("answers are looked at")
    };
    let body = [b"\x94\x02ok", &attachments(&SAID)[..]].concat();
    watch.answered(&mut Response::Message(read(0x02, 20, &body, Role::Client).into()));
    assert_eq!(name(&request).as_deref(), Some("a"));
}

#[test]
fn what_is_not_asked_for_or_cannot_be_read_is_nobody() {
    let unreadable = [SAID[0], ("x-envoy-peer-metadata", "?")];
    for (direction, boundary, said) in [
        (TrafficDirection::Inbound, true, &SAID),
        (TrafficDirection::Unspecified, false, &SAID),
        (TrafficDirection::Inbound, false, &unreadable),
    ] {
        let mut request = call(said);
        gate(direction, boundary).admit(&mut request);
        assert_eq!(request.facts.record().peer, None);
    }
}
