//! Clients that mean harm: they are answered or cut off, and nobody else notices.

use aeraki_core::codec::Kind;
use tokio::time::timeout;

use crate::{
    support::{Backend, Fixture, PATIENCE},
    wire::{self, DUBBO, THRIFT},
};

/// Ids that some signed type cannot hold, or that the proxy may have given itself.
#[tokio::test]
async fn any_id_comes_back() {
    for wire in wire::ALL {
        let ids: &[u64] = match wire.name {
            "dubbo" => &[0, 1, 256, i64::MAX as u64, 1 << 63, u64::MAX],
            _ => &[0, 1, 256, i32::MAX as u64, 1 << 31, u32::MAX as u64],
        };
        let fixture = Fixture::to(wire, Backend::bind(wire).await.echo());
        let mut client = fixture.client().await;
        for id in ids {
            client.call(*id, "hello").await;
            assert_eq!(&client.message().await.frame()[..], (wire.response)(*id), "{}", wire.name);
        }
    }
}

#[tokio::test]
async fn requests_under_one_id_are_all_answered() {
    for wire in wire::ALL {
        let fixture = Fixture::to(wire, Backend::bind(wire).await.echo());
        let (mut one, mut other) = (fixture.client().await, fixture.client().await);
        for client in [&mut one, &mut other] {
            client.send((wire.request)(7, "hello").repeat(100)).await;
        }
        for client in [&mut one, &mut other] {
            for _ in 0..100 {
                assert_eq!(&client.message().await.frame()[..], (wire.response)(7), "{}", wire.name);
            }
        }
        fixture.reaches("request_active", 0).await;
        assert_eq!(fixture.count("request_time_ms"), 200);
    }
}

#[tokio::test]
async fn a_client_that_resets_at_any_byte_leaves_nothing_behind() {
    for wire in wire::ALL {
        let fixture = Fixture::to(wire, Backend::bind(wire).await.echo());
        let all = [(wire.request)(1, "one"), (wire.oneway)(2, "two"), (wire.request)(3, "three")].concat();
        for at in 0..=all.len() {
            let mut client = fixture.client().await;
            client.send(&all[..at]).await;
            client.reset();
        }
        fixture.reaches("downstream_cx_active", 0).await;
        fixture.reaches("request_active", 0).await;
        assert_eq!(fixture.count("request"), fixture.count("request_time_ms"), "{}", wire.name);
        let mut client = fixture.client().await;
        client.call(9, "hello").await;
        assert_eq!(&client.message().await.frame()[..], (wire.response)(9), "{}", wire.name);
    }
}

#[tokio::test]
async fn a_flood_of_heartbeats_is_not_read_further_than_its_answers_are_taken() {
    const HEARTBEAT: &[u8] = b"\xda\xbb\xe2\0\0\0\0\0\0\0\0\x07\0\0\0\x01N";
    let fixture = Fixture::to(DUBBO, Backend::bind(DUBBO).await.echo());
    let mut client = fixture.client().await;
    let flood = tokio::spawn(async move {
        loop {
            client.send(HEARTBEAT.repeat(1000)).await;
        }
    });
    let paused = async {
        while fixture.count("read_paused") == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, paused).await.expect("it is not read for ever");
    let mut good = fixture.client().await;
    good.call(1, "hello").await;
    assert_eq!(good.message().await.kind(), Kind::Response);
    flood.abort();
}

#[tokio::test]
async fn a_connection_that_changes_its_transport_ends() {
    let framed = (THRIFT.request)(1, "hello");
    let header = b"\0\0\0\x20\x0f\xff\0\0\0\0\0\x01\0\x01\0\0\0\0\x80\x01\0\x01\0\0\0\x05hello\0\0\0\x01\0";
    for other in [&framed[4..], &header[..], b"\0\0\0\x0a\x82\x21\x01\x05hello\0"] {
        let fixture = Fixture::to(THRIFT, Backend::bind(THRIFT).await.echo());
        let mut client = fixture.client().await;
        client.send(&framed).await;
        assert_eq!(client.message().await.kind(), Kind::Response);
        client.send(other).await;
        while client.next().await.is_some() {}
        fixture.reaches("downstream_cx_active", 0).await;
        assert_eq!((fixture.count("request_decoding_error"), fixture.count("request_active")), (1, 0));
    }
}

#[tokio::test]
async fn answers_from_a_client_are_counted_and_nothing_else() {
    for wire in wire::ALL {
        let fixture = Fixture::to(wire, Backend::bind(wire).await.echo());
        let mut client = fixture.client().await;
        client.send([(wire.response)(1), (wire.exception)(2), (wire.request)(3, "hello")].concat()).await;
        assert_eq!(&client.message().await.frame()[..], (wire.response)(3), "{}", wire.name);
        assert_eq!((fixture.count("request_stray"), fixture.count("request")), (2, 1), "{}", wire.name);
    }
}

/// A frame that does not even say whose it is can not be answered, and those behind it must not be.
#[tokio::test]
async fn garbage_in_a_frame_ends_the_connection_behind_the_answers_that_are_due() {
    let backend = Backend::bind(THRIFT).await;
    let fixture = Fixture::to(THRIFT, backend.address());
    let mut client = fixture.client().await;
    let (first, second) = ((THRIFT.request)(1, "hello"), (THRIFT.request)(2, "hello"));
    client.send([&first[..], b"\0\0\0\x08nonsense", &second].concat()).await;
    let mut server = backend.accept().await;
    let request = server.message().await;
    fixture.reaches("decode_error.bad_magic", 1).await;
    server.answer(&request).await;
    assert_eq!(&client.message().await.frame()[..], (THRIFT.response)(1));
    assert!(client.next().await.is_none());
    fixture.reaches("request_active", 0).await;
    assert_eq!(fixture.count("request"), fixture.count("request_time_ms"));
}

/// Every byte on its own, from a client that has all the time in the world.
#[tokio::test]
async fn requests_byte_by_byte_are_requests() {
    for wire in wire::ALL {
        let fixture = Fixture::to(wire, Backend::bind(wire).await.echo());
        let mut client = fixture.client().await;
        for id in 0..3 {
            for byte in (wire.request)(id, "hello") {
                client.send([byte]).await;
                tokio::task::yield_now().await;
            }
            assert_eq!(&client.message().await.frame()[..], (wire.response)(id), "{}", wire.name);
        }
    }
}
