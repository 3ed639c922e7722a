//! Gates: what they let pass, what they hold back, and what they see of answers.

use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use aeraki_route::{
    SharedRules,
    config::{
        AbortWith, AdaptiveConcurrency, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Descriptor,
        DescriptorEntry, Fault, FilterOrder, FractionalPercent, GlobalRateLimit, LimitScope, LocalRateLimit, Operation,
        Patterns, RequestIds, Shed, Source, TokenBucket,
    },
    policy::{Authorization, Concurrency, Faults, GlobalLimit, LocalLimit},
};

use super::*;

const ALWAYS: FractionalPercent = FractionalPercent::ALWAYS;

fn metrics() -> Arc<Metrics> {
    Metrics::new("lines", "test")
}

fn ask(line: &str) -> Request {
    request(line, Arc::new(Rules::empty()))
}

/// A service behind gates, which answers every request at once.
#[derive(Clone)]
struct Answers(Arc<AtomicU32>);

impl Service<Request> for Answers {
    type Response = Response;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        self.0.fetch_add(1, Relaxed);
        std::future::ready(Ok(Response::Message(message("R 1 a").into())))
    }
}

struct Gatekept {
    service: Gated<Answers>,
    passed: Arc<AtomicU32>,
}

impl Gatekept {
    fn by(gates: impl IntoIterator<Item = Arc<dyn Gate>>) -> Self {
        let passed = Arc::default();
        Self { service: GateLayer::new(gates).layer(Answers(Arc::clone(&passed))), passed }
    }

    fn call(&mut self, request: Request) -> impl Future<Output = Result<Response, BoxError>> + use<> {
        self.service.call(request)
    }

    /// Returns why a request was refused; none if it passed.
    async fn refusal(&mut self, request: Request) -> Option<Reason> {
        let error = self.call(request).await.err()?;
        Some(error.downcast_ref::<LocalReply>().expect("a reply").reason())
    }

    fn passed(&self) -> u32 {
        self.passed.load(Relaxed)
    }
}

fn bucket(tokens: u32) -> TokenBucket {
    TokenBucket::new(tokens, 1, Duration::from_secs(1))
}

fn limit(config: LocalRateLimit) -> (Arc<dyn Gate>, Arc<LocalLimit>) {
    let limit = LocalLimit::compile(&config).expect("valid");
    (Arc::new(LimitLocally::new(Arc::clone(&limit))), limit)
}

#[tokio::test(start_paused = true)]
async fn a_local_limit_refuses_what_has_no_token_until_time_has_passed() {
    let (gate, limit) = limit(LocalRateLimit::new("t").with_bucket(bucket(2)));
    let mut kept = Gatekept::by([gate]);
    let mut refusals = Vec::new();
    for _ in 0..3 {
        refusals.push(kept.refusal(ask("Q 1 a")).await);
    }
    assert_eq!(refusals, [None, None, Some(Reason::OverLimit)]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(kept.refusal(ask("Q 1 a")).await, None);
    assert_eq!((limit.counts().ok(), limit.counts().limited(), kept.passed()), (3, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn connections_share_a_limit_unless_each_has_its_own() {
    for (scope, second) in [(LimitScope::Shared, Some(Reason::OverLimit)), (LimitScope::Connection, None)] {
        let (gate, limit) = limit(LocalRateLimit::new("t").with_bucket(bucket(1)).with_scope(scope));
        let mut kept = Gatekept::by([gate]);
        let first = ask("Q 1 a");
        assert_eq!(kept.refusal(first.clone()).await, None);
        assert_eq!(kept.refusal(ask("Q 1 a")).await, second, "another connection");
        assert_eq!(kept.refusal(first).await, Some(Reason::OverLimit));
        assert_eq!(limit.counts().ok() + limit.counts().limited(), 3, "they are counted together");
    }
}

/// Lets every request wait for a moment.
#[derive(Debug)]
struct Slow;

impl Gate for Slow {
    fn admit(&self, _: &mut Request) -> Admission {
        Admission::Wait(Box::pin(async {
            tokio::task::yield_now().await;
            Ok(())
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_that_a_route_has_for_each_connection_outlives_waits_above_and_updates_beside_it() {
    let route = |cluster: &str, tokens| {
        let limit = LocalRateLimit::new("t").with_bucket(bucket(tokens)).with_scope(LimitScope::Connection);
        RouteConfig::new("table", [Route::new("all", RouteAction::cluster(cluster)).with_local_rate_limit(limit)])
    };
    let shared = SharedRules::new(Rules::empty());
    shared.update(&route("c", 2)).expect("good routes");
    let (mock, mut handle) = mock::pair::<Routed, Response>();
    handle.allow(100);
    tokio::spawn(async move {
        while let Some((_, answer)) = handle.next_request().await {
            answer.send_response(Response::Oneway);
        }
    });
    let metrics = metrics();
    let route_gates = GateLayer::new([apply_policies(&metrics)]).layer(mock);
    let mut stack =
        GateLayer::new([Arc::new(Slow) as _]).layer(RouteLayer::new(Arc::clone(&metrics)).layer(route_gates));
    let mut passed = async |request: &Request| {
        ready(&mut stack).await;
        let mut request = request.clone();
        request.rules = shared.load();
        stack.call(request).await.is_ok()
    };
    let (one, other) = (ask("Q 1 a"), ask("Q 1 a"));
    assert_eq!([passed(&one).await, passed(&one).await, passed(&one).await], [true, true, false]);
    assert_eq!([passed(&other).await, passed(&one).await], [true, false]);
    shared.update(&route("elsewhere", 2)).expect("good routes");
    assert_eq!([passed(&one).await, passed(&other).await, passed(&other).await], [false, true, false]);
    shared.update(&route("c", 1)).expect("good routes");
    assert_eq!([passed(&one).await, passed(&one).await], [true, false], "another limit");
}

#[tokio::test]
async fn authorization_judges_identity_and_attributes() {
    let rule = AuthorizationRule::default()
        .with_source({
            let mut source = Source::default();
            source.namespaces = Patterns::of(["shop"]);
            source
        })
        .with_operation(Operation::default().with_attribute("method", Patterns::of(["he*"])));
    let policies = [AuthorizationPolicy::new("p", AuthorizationAction::Allow).with_rule(rule)];
    let metrics = metrics();
    let policies = Arc::new(Authorization::compile(&policies).expect("valid"));
    let mut kept = Gatekept::by([Arc::new(Authorize::new(policies, Arc::clone(&metrics))) as _]);
    let from = |principal: &str, line: &str| {
        let mut request = ask(line);
        let ConnInfo { listener, protocol, peer, local, .. } = &*request.conn;
        let conn = ConnInfo::new(Arc::clone(listener), Arc::clone(protocol), *peer, *local);
        request.conn = Arc::new(conn.with_principal(principal));
        request
    };
    assert_eq!(kept.refusal(from("td/ns/shop/sa/web", "Q 1 hello")).await, None);
    assert_eq!(kept.refusal(from("td/ns/shop/sa/web", "Q 1 bye")).await, Some(Reason::Denied));
    assert_eq!(kept.refusal(from("td/ns/other/sa/web", "Q 1 hello")).await, Some(Reason::Denied));
    assert_eq!(kept.refusal(ask("Q 1 hello")).await, Some(Reason::Denied), "nobody in particular");
    let counters = &metrics.counters;
    assert_eq!((counters.authorization_allowed.get(), counters.authorization_denied.get()), (1, 3));
}

/// Both ends of the connection; the other one is where the client meant to go.
#[tokio::test]
async fn authorization_judges_addresses_and_ports() {
    let source = {
        let mut source = Source::default();
        (source.ip_blocks, source.ports) = (Patterns::of(["10.0.0.0/8"]), vec![7]);
        source
    };
    let operation = {
        let mut operation = Operation::default();
        (operation.destination_ip_blocks, operation.ports) = (Patterns::of(["10.9.0.0/16"]), vec![20880]);
        operation
    };
    let rule = AuthorizationRule::default().with_source(source).with_operation(operation);
    let policies = [AuthorizationPolicy::new("p", AuthorizationAction::Allow).with_rule(rule)];
    let policies = Arc::new(Authorization::compile(&policies).expect("valid"));
    let mut kept = Gatekept::by([Arc::new(Authorize::new(policies, metrics())) as _]);
    let from = |peer: &str, local: &str| {
        let mut request = ask("Q 1 hello");
        let ConnInfo { listener, protocol, .. } = &*request.conn;
        let [peer, local] = [peer, local].map(|text| text.parse().expect("an address"));
        request.conn = Arc::new(ConnInfo::new(Arc::clone(listener), Arc::clone(protocol), peer, local));
        request
    };
    assert_eq!(kept.refusal(from("10.1.1.1:7", "10.9.1.1:20880")).await, None);
    for (peer, local) in [
        ("11.1.1.1:7", "10.9.1.1:20880"),
        ("10.1.1.1:8", "10.9.1.1:20880"),
        ("10.1.1.1:7", "10.8.1.1:20880"),
        ("10.1.1.1:7", "10.9.1.1:20881"),
        ("10.9.1.1:20880", "10.1.1.1:7"),
    ] {
        assert_eq!(kept.refusal(from(peer, local)).await, Some(Reason::Denied), "{peer} to {local}");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_delay_and_end_within_their_bound() {
    let metrics = metrics();
    let config = Fault::new()
        .with_delay(Duration::from_secs(2), ALWAYS)
        .with_abort(AbortWith::Status(31), ALWAYS)
        .with_max_active(1);
    let faults = Arc::new(Faults::compile(&config).expect("valid"));
    let mut kept = Gatekept::by([Arc::new(InjectFaults::new(faults, Wheel::spawn(), Arc::clone(&metrics))) as _]);
    let start = Instant::now();
    let (delayed, at_once) = (kept.call(ask("Q 1 a")), kept.call(ask("Q 2 a")));
    let error = at_once.await.expect_err("ended");
    assert_eq!(start.elapsed(), Duration::ZERO, "no room to hold it back");
    assert_eq!(error.downcast_ref::<LocalReply>().map(LocalReply::status), Some(Some(31)));
    assert!(delayed.await.is_err());
    assert!((2000..2020).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let counters = &metrics.counters;
    let counted = [&counters.fault_delayed, &counters.fault_aborted, &counters.fault_delay_overflow];
    assert_eq!((counted.map(|counter| counter.get()), kept.passed()), ([1, 2, 1], 0));

    drop(kept.call(ask("Q 3 a")));
    drop(kept.call(ask("Q 4 a")));
    assert_eq!(counters.fault_delay_overflow.get(), 1, "a request that is gone is not held back any more");
}

/// Answers by the first value of the first descriptor; says nothing to `mute`.
#[derive(Debug, Default)]
struct Limiter(Mutex<Vec<RateLimitAsk>>);

impl RateLimiter for Limiter {
    fn ask(&self, ask: RateLimitAsk) -> BoxFuture<Result<RateLimitAnswer, BoxError>> {
        let value = ask.descriptors[0][0].1.clone();
        self.0.lock().expect("no panic").push(ask);
        Box::pin(async move {
            match value.as_str() {
                "over" => Ok(RateLimitAnswer::OverLimit),
                "broken" => Err("broken".into()),
                "mute" => std::future::pending().await,
                _ => Ok(RateLimitAnswer::Ok),
            }
        })
    }
}

#[derive(Debug)]
struct Services(Arc<Limiter>);

impl RateLimiters for Services {
    fn find(&self, cluster: &str) -> Option<Arc<dyn RateLimiter>> {
        (cluster == "rls").then(|| Arc::clone(&self.0) as _)
    }
}

fn globally(deny: bool, cluster: &str, metrics: &Arc<Metrics>) -> (Gatekept, Arc<Limiter>) {
    let descriptor = Descriptor::new([DescriptorEntry::new("t", "method")]);
    let config = GlobalRateLimit::new("shop", cluster, [descriptor]).with_failure_mode_deny(deny).with_hits_addend(3);
    let limit = Arc::new(GlobalLimit::compile(&config).expect("valid"));
    let service = Arc::<Limiter>::default();
    let services = Arc::new(Services(Arc::clone(&service)));
    let gate = LimitGlobally::new(limit, services, Wheel::spawn(), Arc::clone(metrics));
    (Gatekept::by([Arc::new(gate) as _]), service)
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_service_decides_and_holds_nobody_else_up() {
    let metrics = metrics();
    let (mut kept, service) = globally(false, "rls", &metrics);
    let mut mute = task::spawn(kept.call(ask("Q 1 mute")));
    assert_pending!(mute.poll());
    assert_eq!(kept.refusal(ask("Q 2 fine")).await, None);
    assert_eq!(kept.refusal(ask("Q 3 over")).await, Some(Reason::OverLimit));
    assert_pending!(mute.poll());
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert!(assert_ready!(mute.poll()).is_ok(), "nobody waits longer than the limit says");
    assert_eq!(metrics.counters.ratelimit_failure_mode_allowed.get(), 1);
    let asked = service.0.lock().expect("no panic").clone();
    let expected = RateLimitAsk::new(
        "shop".to_owned(),
        vec![vec![("t".to_owned(), "fine".to_owned())]],
        Duration::from_millis(20),
    );
    assert_eq!(asked[1], expected.with_hits_addend(Some(3)));
    let counters = &metrics.counters;
    assert_eq!((counters.ratelimit_ok.get(), counters.ratelimit_over_limit.get(), kept.passed()), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_faults_of_a_route_begin_once_the_rate_limit_service_has_let_a_request_pass() {
    let descriptor = Descriptor::new([DescriptorEntry::new("t", "method")]);
    let limit = GlobalRateLimit::new("shop", "rls", [descriptor]);
    let fault = Fault::new().with_delay(Duration::from_secs(2), ALWAYS).with_max_active(1);
    let route = Route::new("r", RouteAction::cluster("c")).with_global_rate_limit(limit).with_fault(fault);
    let policies = rules([route]).table().expect("compiled").routes()[0].policies().cloned();
    let (metrics, service) = (metrics(), Arc::<Limiter>::default());
    let gate = ApplyPolicies::new(Arc::new(Services(service)), Wheel::spawn(), Arc::clone(&metrics));
    let admit = |line: &str| {
        let mut routed = routed(None);
        (routed.request, routed.policies) = (ask(line), policies.clone());
        match gate.admit(&mut routed) {
            Admission::Wait(wait) => wait,
            other => panic!("{other:?}"),
        }
    };
    let start = Instant::now();
    assert!(admit("Q 1 over").await.is_err(), "refused");
    assert_eq!((start.elapsed(), metrics.counters.fault_delayed.get()), (Duration::ZERO, 0), "and not held back");
    assert!(admit("Q 1 fine").await.is_ok());
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(metrics.counters.fault_delayed.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_the_service_goes_by_the_failure_mode() {
    for (cluster, line) in [("rls", "Q 1 broken"), ("unknown", "Q 1 fine")] {
        for (deny, expected) in [(false, None), (true, Some(Reason::OverLimit))] {
            let metrics = metrics();
            let (mut kept, _) = globally(deny, cluster, &metrics);
            assert_eq!(kept.refusal(ask(line)).await, expected);
            let counters = &metrics.counters;
            assert_eq!(counters.ratelimit_error.get(), 1);
            assert_eq!(counters.ratelimit_failure_mode_allowed.get(), u64::from(!deny));
        }
    }
}

#[tokio::test]
async fn load_is_shed_until_requests_have_ended_however_they_do() {
    let metrics = metrics();
    let concurrency = Arc::new(Concurrency::new(&Shed::at(1)).expect("valid"));
    let gate: Arc<dyn Gate> = Arc::new(ShedLoad::new(Arc::clone(&concurrency), Arc::clone(&metrics)));
    let mut kept = Gatekept::by([gate]);
    let under_way = kept.call(ask("Q 1 a"));
    assert_eq!(kept.refusal(ask("Q 2 a")).await, Some(Reason::Shed));
    drop(under_way);
    assert_eq!(kept.refusal(ask("Q 3 a")).await, None);
    assert_eq!(kept.refusal(ask("Q 4 a")).await, None);
    assert_eq!((concurrency.active(), metrics.counters.shed.get()), (0, 1));
}

/// Ends every request as the test says, after a while: with an answer, without one, or not at all.
#[derive(Clone)]
struct Ends(Duration, Result<Option<&'static str>, Reason>);

impl Service<Request> for Ends {
    type Response = Response;
    type Error = BoxError;
    type Future = BoxFuture<Result<Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        let Self(after, end) = self.clone();
        Box::pin(async move {
            tokio::time::sleep(after).await;
            let answered = end.map_err(|reason| LocalReply::new(reason, "played"))?;
            Ok(answered.map_or(Response::Oneway, |line| Response::Message(message(line).into())))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_into_its_deadline_narrows_the_bound_as_a_slow_answer_does() {
    let answer = Ok(Some("R 1 a"));
    for (end, narrows) in
        [(answer, true), (Err(Reason::Timeout), true), (Err(Reason::ConnectFailure), false), (Ok(None), false)]
    {
        let adaptive = AdaptiveConcurrency::default().with_range(1, 100);
        let concurrency = Arc::new(Concurrency::new(&Shed::default().with_adaptive(adaptive)).expect("valid"));
        let gate: Arc<dyn Gate> = Arc::new(ShedLoad::new(Arc::clone(&concurrency), metrics()));
        let layer = GateLayer::new([gate]);
        let mut healthy = layer.layer(Ends(Duration::from_millis(1), answer));
        for _ in 0..500 {
            assert!(healthy.call(ask("Q 1 a")).await.is_ok());
        }
        let wide = concurrency.bound();
        assert!(wide > 1, "{wide}");
        let mut ill = layer.layer(Ends(Duration::from_secs(1), end));
        for _ in 0..20 {
            let _ = ill.call(ask("Q 1 a")).await;
        }
        assert_eq!(concurrency.bound() < wide, narrows, "{end:?}: {} after {wide}", concurrency.bound());
    }
}

#[test]
fn requests_get_ids_unless_they_bring_one_that_counts() {
    let id = |replace: bool, brought: Option<&str>, mutable: bool| {
        let mut head = Head::new();
        head.set_mutable(mutable);
        head.set_names(&[REQUEST_ID]);
        let frame = brought.unwrap_or_default();
        if let Some(id) = brought {
            let at = aeraki_codec::Text::Frame(0..id.len());
            head.insert(id.as_bytes(), &Limits::default(), aeraki_codec::Text::Name(0), at).expect("fits");
        }
        let mut request = ask("Q 1 a");
        request.message = Message::new(frame.to_owned().into(), head).into();
        let admitted = IdentifyRequests::new(RequestIds::default().with_replace(replace)).admit(&mut request);
        assert!(matches!(admitted, Admission::Pass));
        match request.message.mutation().map(|mutation| mutation.get(REQUEST_ID.as_bytes()).cloned()) {
            None => None,
            Some(Some(aeraki_codec::Change::Set(id))) => Some(id.len()),
            other => panic!("{other:?}"),
        }
    };
    let given = Some(36);
    for (replace, brought, expected) in [
        (false, None, given),
        (false, Some(""), given),
        (false, Some("mine"), None),
        (true, None, given),
        (true, Some("mine"), given),
    ] {
        assert_eq!(id(replace, brought, true), expected, "{brought:?}, {replace}");
        assert_eq!(id(replace, brought, false), None, "it cannot be changed");
    }
}

/// Notes who saw a request and its answer, in which order.
#[derive(Debug)]
struct Noted(&'static str, Arc<Mutex<Vec<String>>>);

impl Gate for Noted {
    fn admit(&self, _: &mut Request) -> Admission {
        self.1.lock().expect("no panic").push(format!("{} admits", self.0));
        Admission::Watch(Box::new(Self(self.0, Arc::clone(&self.1))))
    }
}

impl Watch for Noted {
    fn answered(&mut self, _: &mut Response) {
        self.1.lock().expect("no panic").push(format!("{} sees", self.0));
    }

    fn failed(&mut self, error: &BoxError) {
        self.1.lock().expect("no panic").push(format!("{} sees {error}", self.0));
    }
}

#[tokio::test]
async fn answers_pass_the_gates_in_the_order_that_was_asked_for() {
    for (order, expected) in [
        (FilterOrder::AsListed, ["a admits", "b admits", "a sees", "b sees"]),
        (FilterOrder::Reversed, ["a admits", "b admits", "b sees", "a sees"]),
    ] {
        let notes = Arc::default();
        let gates = ["a", "b"].map(|name| Arc::new(Noted(name, Arc::clone(&notes))) as Arc<dyn Gate>);
        let mut service = GateLayer::new(gates).with_response_order(order).layer(Answers(Arc::default()));
        service.call(ask("Q 1 a")).await.expect("passes");
        assert_eq!(*notes.lock().expect("no panic"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_sees_that_a_later_one_refuses() {
    let delay = Fault::new().with_delay(Duration::from_secs(1), ALWAYS);
    let delay = Arc::new(Faults::compile(&delay).expect("valid"));
    let held: Arc<dyn Gate> = Arc::new(InjectFaults::new(delay, Wheel::spawn(), metrics()));
    let abort = Fault::new().with_abort(AbortWith::Reason(Reason::Shed), ALWAYS);
    let abort = Arc::new(Faults::compile(&abort).expect("valid"));
    let refuses: Arc<dyn Gate> = Arc::new(InjectFaults::new(abort, Wheel::spawn(), metrics()));
    for between in [None, Some(held)] {
        let notes = Arc::default();
        let first: Arc<dyn Gate> = Arc::new(Noted("a", Arc::clone(&notes)));
        let gates = [Some(first), between, Some(Arc::clone(&refuses))];
        let mut service = GateLayer::new(gates.into_iter().flatten()).layer(Answers(Arc::default()));
        let error = service.call(ask("Q 1 a")).await.expect_err("refused");
        assert_eq!(*notes.lock().expect("no panic"), ["a admits".to_owned(), format!("a sees {error}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_passes_what_follows_a_gate_that_takes_its_time() {
    let delay = Fault::new().with_delay(Duration::from_secs(1), ALWAYS);
    let faults = Arc::new(Faults::compile(&delay).expect("valid"));
    let metrics = metrics();
    let held: Arc<dyn Gate> = Arc::new(InjectFaults::new(faults, Wheel::spawn(), metrics));
    let (limited, _) = limit(LocalRateLimit::new("t").with_bucket(bucket(1)));
    let mut kept = Gatekept::by([Arc::clone(&held), held, limited]);
    let start = Instant::now();
    let (first, second) = (kept.call(ask("Q 1 a")), kept.call(ask("Q 2 a")));
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_err(), "one token");
    assert!((2000..2040).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

fn policed(route: Route) -> Routed {
    let rules = rules([route]);
    let mut routed = routed(None);
    routed.policies = rules.table().expect("compiled").routes()[0].policies().cloned();
    routed
}

#[tokio::test(start_paused = true)]
async fn routes_have_their_own_policies() {
    let metrics = metrics();
    let gate = apply_policies(&metrics);
    let route = || Route::new("r", RouteAction::cluster("c"));
    assert!(policed(route()).policies.is_none());
    assert!(matches!(gate.admit(&mut policed(route())), Admission::Pass));

    let refusal = |routed: &mut Routed| match gate.admit(routed) {
        Admission::Refuse(reply) => reply.reason(),
        other => panic!("{other:?}"),
    };
    let deny = AuthorizationPolicy::new("d", AuthorizationAction::Deny).with_rule(AuthorizationRule::default());
    assert_eq!(refusal(&mut policed(route().with_authorization(deny))), Reason::Denied);
    let abort = Fault::new().with_abort(AbortWith::Reason(Reason::Timeout), ALWAYS);
    assert_eq!(refusal(&mut policed(route().with_fault(abort))), Reason::Timeout);
    let mut limited = policed(route().with_local_rate_limit(LocalRateLimit::new("l").with_bucket(bucket(1))));
    assert!(matches!(gate.admit(&mut limited), Admission::Pass));
    assert_eq!(refusal(&mut limited), Reason::OverLimit);
}

#[tokio::test(start_paused = true)]
async fn a_route_asks_the_service_first_and_then_holds_back() {
    let gate = apply_policies(&metrics());
    let descriptor = Descriptor::new([DescriptorEntry::new("t", "method")]);
    let delay = Fault::new().with_delay(Duration::from_secs(1), ALWAYS);
    let route = Route::new("r", RouteAction::cluster("c")).with_fault(delay);
    let unknown = GlobalRateLimit::new("shop", "unknown", [descriptor]);
    for (deny, passes) in [(true, false), (false, true)] {
        let limited = route.clone().with_global_rate_limit(unknown.clone().with_failure_mode_deny(deny));
        let Admission::Wait(wait) = gate.admit(&mut policed(limited)) else { panic!("is asked") };
        let start = Instant::now();
        assert_eq!(wait.await.is_ok(), passes);
        assert_eq!(start.elapsed() >= Duration::from_secs(1), passes, "who is refused is not held back");
    }
}
