//! What the service stack costs, bare and with each policy: the difference is what a policy costs. And what balancing
//! does.

mod balance;

use std::{hint::black_box, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use aeraki_codec::{Demand, Head, Limits, Message, Protocol, Role, dubbo::Dubbo};
use aeraki_core::{
    observe::{Facts, Metrics},
    stack::{
        ApplyPolicies, BoxError, BoxFuture, CompiledFilters, ConnInfo, Filters, Forward, Forwarding, GateLayer,
        RateLimitAnswer, RateLimitAsk, RateLimiter, RateLimiters, Request, Resolve, Response, Stack, Wheel, stack,
    },
};
use aeraki_instructions::{Row, frames};
use aeraki_route::{
    Rules,
    config::{
        AdaptiveConcurrency, AttributeMatch, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Descriptor,
        DescriptorEntry, Fault, Filter, FilterConfig, FractionalPercent, GlobalRateLimit, HedgePolicy, KeyedBuckets,
        LocalRateLimit, MetaProtocolProxy, MetadataExchange, Mirror, MutationEntry, MutationValue, Node, Operation,
        Patterns, ProtocolConfig, RequestIds, RetryOn, RetryPolicy, Route, RouteAction, RouteConfig, RouteSource, Shed,
        TokenBucket, TrafficDirection,
    },
};
use tokio::{runtime, task::yield_now, time::Instant};
use tower_service::Service;

const ROWS: &[Row] = &[
    ("stack/bare", |turns| of(route(), turns)),
    ("stack/authorization", |turns| of(route().with_authorization(deny()), turns)),
    ("stack/authorization/1000", |turns| {
        let policies = (0..1000).map(|number| deny_to(&format!("drop{number:03}")));
        of(policies.fold(route(), Route::with_authorization), turns)
    }),
    ("stack/local-limit", |turns| of(route().with_local_rate_limit(local()), turns)),
    ("stack/local-limit/keyed", |turns| {
        of(route().with_local_rate_limit(local().with_keyed(KeyedBuckets::new("user"))), turns)
    }),
    ("stack/global-limit", |turns| of(route().with_global_rate_limit(global()), turns)),
    ("stack/fault", |turns| of(route().with_fault(rare()), turns)),
    ("stack/timeout", |turns| of(acting(action().with_timeout(SECOND)), turns)),
    ("stack/timeout/caller", |turns| of(acting(action().with_caller_timeout("timeout")), turns)),
    ("stack/retry", |turns| of(acting(action().with_retry(RetryPolicy::new(2))), turns)),
    ("stack/hedge", |turns| of(acting(hedged()), turns)),
    ("stack/mirror", |turns| of(acting(action().with_mirror(mirror())), turns)),
    ("stack/mutation/fixed", |turns| of(route().with_request_mutation(MutationEntry::set("lane", "gray")), turns)),
    ("stack/mutation/copied", |turns| {
        let user = MutationValue::Attribute("user".to_owned());
        of(route().with_request_mutation(MutationEntry::set("who", user)), turns)
    }),
    ("stack/shed", |turns| filtered(FilterConfig::Shed(Shed::at(1000)), turns)),
    ("stack/shed/adaptive", |turns| {
        filtered(FilterConfig::Shed(Shed::at(1000).with_adaptive(AdaptiveConcurrency::default())), turns)
    }),
    ("stack/request-id", |turns| filtered(FilterConfig::RequestIds(RequestIds::default()), turns)),
    ("stack/metadata-exchange", |turns| filtered(FilterConfig::MetadataExchange(MetadataExchange::default()), turns)),
];

fn main() -> ExitCode {
    aeraki_instructions::run(ROWS.iter().chain(balance::ROWS))
}

fn route() -> Route {
    acting(action())
}

fn acting(action: RouteAction) -> Route {
    Route::new("route", action).with_match(AttributeMatch::exact("interface", frames::INTERFACE))
}

fn action() -> RouteAction {
    RouteAction::cluster("cluster")
}

fn deny() -> AuthorizationPolicy {
    deny_to("drop*")
}

fn deny_to(method: &str) -> AuthorizationPolicy {
    let drop = Operation::default().with_attribute("method", Patterns::of([method]));
    AuthorizationPolicy::new("deny", AuthorizationAction::Deny)
        .with_rule(AuthorizationRule::default().with_operation(drop))
}

fn local() -> LocalRateLimit {
    LocalRateLimit::new("limit").with_bucket(TokenBucket::new(u32::MAX, u32::MAX, SECOND))
}

fn global() -> GlobalRateLimit {
    GlobalRateLimit::new("domain", "limits", [Descriptor::new([DescriptorEntry::new("method", "method")])])
}

/// A fault that is drawn for and hits nobody.
fn rare() -> Fault {
    Fault::new().with_delay(SECOND, FractionalPercent::percent(0))
}

fn hedged() -> RouteAction {
    let policy = RetryPolicy::new(1).with_on([RetryOn::Timeout]).with_repeatable(true).with_per_try_timeout(SECOND);
    action().with_retry(policy).with_hedge(HedgePolicy::on_per_try_timeout())
}

fn mirror() -> Mirror {
    Mirror::new("mirror", FractionalPercent::ALWAYS)
}

/// Sends requests through a stack with one route and no filters.
fn of(route: Route, turns: usize) {
    let rules = Rules::compile(&RouteConfig::new("rows", [route])).expect("the configuration is valid");
    send(rules, None, turns);
}

/// Sends requests through a stack with one filter of the listener.
fn filtered(config: FilterConfig, turns: usize) {
    let rules = Rules::compile(&RouteConfig::new("rows", [route()])).expect("the configuration is valid");
    let table = RouteSource::Inline(RouteConfig::new("unused", []));
    let proxy = MetaProtocolProxy::new("listener", ProtocolConfig::new("dubbo"), table)
        .with_filter(Filter::new("filter", config));
    let node = Node::new("node", "cluster");
    let filters = Filters::new().compile(&proxy, TrafficDirection::Outbound, &node).expect("the filter is valid");
    send(rules, Some(&filters), turns);
}

fn send(rules: Rules, filters: Option<&CompiledFilters>, turns: usize) {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let wheel = Wheel::spawn();
        let wheel_of_all = wheel.clone();
        let metrics = Metrics::new("dubbo", "rows");
        let gates = filters.map(|filters| filters.gates(&wheel, &metrics)).unwrap_or_default();
        let policies = ApplyPolicies::new(Arc::new(Here), wheel.clone(), Arc::clone(&metrics));
        let mut stack = stack(Arc::new(Here), wheel, metrics, &GateLayer::new(gates), Arc::new(policies));
        let (rules, conn, message) = (Arc::new(rules), Arc::new(conn()), message());
        let now = Instant::now();
        // where there is load, there is always somebody who waits
        let _always = wheel_of_all.at(now + Duration::from_secs(3600));
        for _ in 0..turns {
            let facts = Facts::new(now, message.kind(), message.len() as u64);
            call(&mut stack, Request::new(message.clone(), Arc::clone(&conn), Arc::clone(&rules), facts)).await;
        }
    });
}

async fn call(stack: &mut Stack, request: Request) {
    std::future::poll_fn(|cx| stack.poll_ready(cx)).await.expect("always ready");
    let answer = stack.call(black_box(request)).await.expect("errors are answers");
    assert!(matches!(black_box(answer), Response::Message(_)));
    // copies are sent by tasks of their own
    yield_now().await;
}

fn conn() -> ConnInfo {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    ConnInfo::new("listener".into(), Arc::new(Dubbo::default()), address, address)
}

fn message() -> Message {
    let frame = frames::dubbo_request();
    let mut head = Head::new();
    let demand = Demand::of(["interface", "method", "user", "timeout"]);
    let mut codec = Dubbo::default().codec(Role::Server, &Limits::default());
    codec.parse(&frame, &demand, &mut head).expect("well-formed");
    Message::new(frame.into(), head)
}

/// Every cluster, which answers at once with the request, and every rate limit service, which lets everything pass.
#[derive(Clone, Copy, Debug)]
struct Here;

impl Resolve for Here {
    fn resolve(&self, _: &str) -> Option<Arc<dyn Forward>> {
        Some(Arc::new(Self))
    }

    fn generation(&self) -> Option<u64> {
        Some(1)
    }
}

impl Forward for Here {
    fn forward(&self, request: Request) -> Forwarding {
        Forwarding::boxed(std::future::ready(Ok(Response::Message(request.message))))
    }
}

impl RateLimiters for Here {
    fn find(&self, _: &str) -> Option<Arc<dyn RateLimiter>> {
        Some(Arc::new(Self))
    }
}

impl RateLimiter for Here {
    fn ask(&self, _: RateLimitAsk) -> BoxFuture<Result<RateLimitAnswer, BoxError>> {
        Box::pin(std::future::ready(Ok(RateLimitAnswer::Ok)))
    }
}

const SECOND: Duration = Duration::from_secs(1);
