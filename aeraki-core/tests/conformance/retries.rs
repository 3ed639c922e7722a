//! Servers that are killed and restarted under load, with further tries.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use aeraki_core::{
    codec::{Kind, Message, Reason},
    route::config::{
        AbortWith, AttributeMatch, Cluster, Fault, FractionalPercent, RetryBudget, RetryOn, RetryPolicy, Route,
        RouteAction, RouteConfig,
    },
};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    support::{Backend, Fixture, Peer},
    wire::{self, DUBBO, Wire},
};

/// What servers have executed, by the method, which is another one for every call.
#[derive(Default)]
struct Executed(Mutex<HashMap<String, u32>>);

impl Executed {
    fn note(&self, request: &Message) {
        let method = String::from_utf8_lossy(request.attr("method").unwrap_or_default()).into_owned();
        *self.0.lock().expect("no panic").entry(method).or_default() += 1;
    }
}

/// Answers everything.
async fn steady(backend: Backend, executed: Arc<Executed>, served: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut peer, executed, served) = (backend.accept().await, Arc::clone(&executed), Arc::clone(&served));
        connections.spawn(async move {
            while let Some(request) = peer.next().await {
                executed.note(&request);
                served.fetch_add(1, Relaxed);
                peer.answer(&request).await;
            }
        });
    }
}

/// Dies with every tenth request that it has read, and stays away until the other one has served five more.
async fn flapping(
    mut backend: Backend,
    address: SocketAddr,
    wire: Wire,
    executed: Arc<Executed>,
    other: Arc<AtomicU64>,
    kills: Arc<AtomicU64>,
) {
    let seen = Arc::new(AtomicU64::new(0));
    loop {
        let (mut connections, kill) = (JoinSet::new(), Arc::new(Notify::new()));
        loop {
            let mut peer = tokio::select! {
                peer = backend.accept() => peer,
                () = kill.notified() => break,
            };
            let (executed, seen, kill) = (Arc::clone(&executed), Arc::clone(&seen), Arc::clone(&kill));
            connections.spawn(async move {
                while let Some(request) = peer.next().await {
                    executed.note(&request);
                    if seen.fetch_add(1, Relaxed) % 10 == 9 {
                        kill.notify_one();
                        std::future::pending::<()>().await;
                    }
                    peer.answer(&request).await;
                }
            });
        }
        drop(backend);
        connections.shutdown().await;
        kills.fetch_add(1, Relaxed);
        let mark = other.load(Relaxed);
        while other.load(Relaxed) < mark + 5 {
            tokio::task::yield_now().await;
        }
        backend = Backend::at(address, wire).await;
    }
}

/// Calls `again-…` and `once-…` in turn; the former must all be answered.
async fn call(mut client: Peer, caller: u64) {
    for number in 0..150 {
        for kind in ["again", "once"] {
            let id = number * 2 + u64::from(kind == "once");
            client.call(id, &format!("{kind}-{caller}-{number}")).await;
            let answer = client.message().await;
            assert_eq!(answer.id().number(), id);
            assert!(
                kind == "once" || answer.kind() == Kind::Response,
                "{kind}-{caller}-{number}: {:?}",
                answer.status()
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_is_killed_again_and_again_fails_nothing_repeatable_and_repeats_nothing_else() {
    for wire in wire::ALL {
        let (steadily, flappingly) = (Backend::bind(wire).await, Backend::bind(wire).await);
        let address = flappingly.address();
        let retry = || {
            RetryPolicy::new(5)
                .with_on([RetryOn::ConnectFailure, RetryOn::Reset])
                .with_budget(RetryBudget::new(FractionalPercent::ALWAYS, 1000))
        };
        let route = |name: &str, retry| {
            let prefix = AttributeMatch::prefix("method", format!("{name}-"));
            Route::new(name, RouteAction::cluster("both").with_retry(retry)).with_match(prefix)
        };
        let routes = [route("again", retry().with_repeatable(true)), route("once", retry())];
        let cluster = Cluster::new("both").with_endpoint(steadily.address()).with_endpoint(address);
        let fixture = Fixture::with(wire, RouteConfig::new("table", routes), vec![cluster], |service| service);

        let (executed, served, kills) = (Arc::<Executed>::default(), Arc::<AtomicU64>::default(), Arc::default());
        let mut servers = JoinSet::new();
        servers.spawn(steady(steadily, Arc::clone(&executed), Arc::clone(&served)));
        servers.spawn(flapping(flappingly, address, wire, Arc::clone(&executed), served, Arc::clone(&kills)));
        let mut callers = JoinSet::new();
        for caller in 0..4 {
            callers.spawn(call(fixture.client().await, caller));
        }
        while let Some(ended) = callers.join_next().await {
            ended.expect("every repeatable call is answered");
        }
        assert!(kills.load(Relaxed) > 5, "{}: killed {} times", wire.name, kills.load(Relaxed));
        assert!(fixture.count("retry") > 0, "{}", wire.name);
        let executed = executed.0.lock().expect("no panic");
        let twice: Vec<_> = executed.iter().filter(|(name, count)| name.starts_with("once-") && **count > 1).collect();
        assert!(twice.is_empty(), "{}: {twice:?}", wire.name);
        servers.abort_all();
    }
}

#[tokio::test]
async fn a_limit_of_the_next_proxy_is_kept_to_unless_it_is_named() {
    for (reason, on, tries) in [
        (Reason::OverLimit, RetryOn::Refused, 0),
        (Reason::Shed, RetryOn::Refused, 0),
        (Reason::Overflow, RetryOn::Refused, 1),
        (Reason::OverLimit, RetryOn::OverLimit, 1),
        (Reason::Shed, RetryOn::OverLimit, 1),
        (Reason::Overflow, RetryOn::OverLimit, 0),
        (Reason::OverLimit, RetryOn::Status(100), 1),
    ] {
        let refuse = Fault::new().with_abort(AbortWith::Reason(reason), FractionalPercent::ALWAYS);
        let refusing = Route::new("refused", RouteAction::cluster("none")).with_fault(refuse);
        let next = Fixture::with(DUBBO, RouteConfig::new("table", [refusing]), vec![Cluster::new("none")], |it| it);
        let retrying = Route::new("all", RouteAction::cluster("next").with_retry(RetryPolicy::new(1).with_on([on])));
        let cluster = Cluster::new("next").with_endpoint(next.address());
        let fixture = Fixture::with(DUBBO, RouteConfig::new("table", [retrying]), vec![cluster], |it| it);
        let mut client = fixture.client().await;
        client.call(1, "hello").await;
        let answer = client.message().await;
        assert_eq!((answer.id().number(), answer.status().code()), (1, 100));
        assert_eq!(fixture.count("retry"), tries, "{reason}, {on:?}");
        assert_eq!(next.count("fault_aborted"), 1 + tries);
    }
}
