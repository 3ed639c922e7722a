//! Tries requests again, elsewhere, while that can help and do no harm.

mod failure;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aeraki_codec::{Affinity, Kind, LocalReply, Reason};
use aeraki_route::{
    RETRY_HOPS,
    config::SocketAddress,
    policy::{Failure, Retries},
};
use pin_project_lite::pin_project;
use smallvec::SmallVec;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use self::failure::{failure_of, hops, is_overflow};
use super::{BoxError, Moment, Response, Routed, Wheel};
use crate::observe::{Facts, Metrics};

/// Tries requests again by the [policy of their route](aeraki_route::config::RetryPolicy), on another host where there
/// is one, and by its [hedge policy](aeraki_route::config::HedgePolicy) begins a try while an earlier one goes on.
///
/// A request ends with the first answer that is not to be tried again, or with the last failure. One whose route has no
/// policy costs a comparison; else it is cloned before its first try.
#[derive(Clone, Debug)]
pub struct RetryLayer {
    wheel: Wheel,
    metrics: Arc<Metrics>,
}

impl RetryLayer {
    /// Makes the layer; `wheel` keeps the timeouts of tries and the time between them.
    #[must_use]
    pub const fn new(wheel: Wheel, metrics: Arc<Metrics>) -> Self {
        Self { wheel, metrics }
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry { inner, wheel: self.wheel.clone(), metrics: Arc::clone(&self.metrics) }
    }
}

/// See [`RetryLayer`].
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    wheel: Wheel,
    metrics: Arc<Metrics>,
}

impl<S> Service<Routed> for Retry<S>
where
    S: Service<Routed, Response = Response, Error = BoxError> + Clone,
{
    type Response = Response;
    type Error = BoxError;
    type Future = RetryFuture<S>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut routed: Routed) -> Self::Future {
        // a stream is open once: a second try while the first goes on would be another one
        let single = |retries: &Arc<Retries>| routed.request.message.kind() == Kind::StreamOpen && retries.hedges();
        let Some(retries) = routed.retries.take().filter(|retries| !single(retries)) else {
            return RetryFuture { way: Way::Once { inner: self.inner.call(routed) } };
        };
        // the instance that is ready goes with the request; the next request asks another one
        let other = self.inner.clone();
        let service = mem::replace(&mut self.inner, other);
        let tries = Tries::begin(service, routed, retries, self.wheel.clone(), Arc::clone(&self.metrics));
        RetryFuture { way: Way::Several { tries: Box::new(tries) } }
    }
}

pin_project! {
    /// The future of [`Retry`].
    pub struct RetryFuture<S> where S: Service<Routed> {
        #[pin]
        way: Way<S>,
    }
}

pin_project! {
    #[project = WayProj]
    enum Way<S> where S: Service<Routed> {
        // the route has no policy
        Once { #[pin] inner: S::Future },
        Several { tries: Box<Tries<S>> },
    }
}

impl<S> Future for RetryFuture<S>
where
    S: Service<Routed, Response = Response, Error = BoxError>,
{
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().way.project() {
            WayProj::Once { inner } => inner.poll(cx),
            WayProj::Several { tries } => tries.poll(cx),
        }
    }
}

impl<S: Service<Routed>> fmt::Debug for RetryFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").finish_non_exhaustive()
    }
}

/// The tries of one request.
struct Tries<S: Service<Routed>> {
    service: S,
    /// The request as it came, for further tries.
    routed: Routed,
    retries: Arc<Retries>,
    under_way: SmallVec<[Try<S::Future>; 1]>,
    /// Further tries that were begun.
    begun: u32,
    /// When the next try begins, once one is due.
    next_at: Option<Moment>,
    /// Whether a try is due and waits for the service.
    due: bool,
    /// How the request ends if no further try helps.
    last: Option<Result<Response, BoxError>>,
    hops: u32,
    wheel: Wheel,
    metrics: Arc<Metrics>,
}

/// One try under way.
struct Try<F> {
    future: Pin<Box<F>>,
    /// How many were begun before it.
    number: u32,
    /// What is known of it: of the whole request, or of it alone where others go on meanwhile.
    facts: Facts,
    /// When it has taken too long; none once that is dealt with.
    overdue: Option<Moment>,
}

impl<S> Tries<S>
where
    S: Service<Routed, Response = Response, Error = BoxError>,
{
    fn begin(service: S, routed: Routed, retries: Arc<Retries>, wheel: Wheel, metrics: Arc<Metrics>) -> Self {
        retries.budget().request(Instant::now().into_std());
        let hops = hops(&routed);
        let mut tries = Self {
            service,
            routed,
            retries,
            under_way: SmallVec::new(),
            begun: 0,
            next_at: None,
            due: false,
            last: None,
            hops,
            wheel,
            metrics,
        };
        tries.start();
        tries
    }

    /// Begins a try with the request as it came.
    fn start(&mut self) {
        let limit = self.retries.policy().per_try_timeout;
        let overdue = limit.map(|limit| self.wheel.at(Instant::now() + limit));
        let mut routed = self.routed.clone();
        if self.retries.hedges() {
            routed.request.facts = Facts::of(self.routed.request.facts.record());
        }
        let facts = routed.request.facts.clone();
        facts.note(|record| record.overdue = false);
        let future = Box::pin(self.service.call(routed));
        self.under_way.push(Try { future, number: self.begun, facts, overdue });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response, BoxError>> {
        loop {
            if let Some(result) = self.poll_under_way(cx) {
                return Poll::Ready(result);
            }
            if let Some(next_at) = &mut self.next_at {
                ready!(Pin::new(next_at).poll(cx));
                self.next_at = None;
                self.due = true;
            }
            if self.due {
                let ready = ready!(self.service.poll_ready(cx));
                self.due = false;
                match ready {
                    Ok(()) => self.start(),
                    Err(error) => self.last = Some(Err(error)),
                }
                continue;
            }
            if !self.under_way.is_empty() {
                return Poll::Pending;
            }
            return self.last.take().map_or(Poll::Pending, Poll::Ready);
        }
    }

    /// Polls every try; returns how the request ends, if it does.
    fn poll_under_way(&mut self, cx: &mut Context<'_>) -> Option<Result<Response, BoxError>> {
        let mut place = 0;
        while let Some(one) = self.under_way.get_mut(place) {
            match one.poll(cx) {
                Poll::Pending => place += 1,
                Poll::Ready(Ended::Overdue) => place += usize::from(self.overdue(place)),
                Poll::Ready(Ended::With(result)) => {
                    let ended = self.under_way.remove(place);
                    if let Some(result) = self.judge(&ended, result) {
                        // whoever is still under way is late
                        self.under_way.clear();
                        return Some(result);
                    }
                }
            }
        }
        None
    }

    /// Deals with a try that takes too long; tells whether it goes on.
    fn overdue(&mut self, place: usize) -> bool {
        let endpoint = self.under_way.get(place).and_then(Try::endpoint);
        if self.retries.hedges() {
            if self.next_at.is_none() && !self.due && self.may_try(Failure::Timeout) {
                self.metrics.counters.hedged.inc();
                self.schedule(false, endpoint);
            }
            return true;
        }
        let late = self.under_way.remove(place);
        late.facts.note(|record| record.overdue = true);
        drop(late);
        let limit = self.retries.policy().per_try_timeout.unwrap_or_default();
        let reply = LocalReply::new(Reason::Timeout, format!("no answer to a try within {limit:?}"));
        if self.may_try(Failure::Timeout) {
            self.schedule(true, endpoint);
        }
        self.last = Some(Err(reply.into()));
        false
    }

    /// Looks at how a try ended; returns it if the request ends with it.
    fn judge(
        &mut self,
        ended: &Try<S::Future>,
        result: Result<Response, BoxError>,
    ) -> Option<Result<Response, BoxError>> {
        let failure = failure_of(&result, &self.routed);
        let again = failure.is_some_and(|failure| {
            // whoever else is under way may still do better, without another try
            let alone = self.is_alone();
            self.retries.covers(failure) && (!alone || self.may_try(failure))
        });
        if !again {
            if failure.is_none() && ended.number > 0 {
                self.metrics.counters.retry_success.inc();
            }
            if self.retries.hedges() {
                let known = ended.facts.record();
                self.routed.request.facts.note(|record| *record = known);
            }
            // a try that the cluster does not take leaves things as they were
            let refused = ended.number > 0 && is_overflow(&result);
            return Some(self.last.take().filter(|_| refused).unwrap_or(result));
        }
        if self.is_alone() {
            self.schedule(true, ended.endpoint());
        }
        self.last = Some(result);
        None
    }

    /// Tells whether no try is under way or due.
    fn is_alone(&self) -> bool {
        self.under_way.is_empty() && self.next_at.is_none() && !self.due
    }

    /// Tells whether a failure may be tried again now, and takes that from the budget.
    fn may_try(&self, failure: Failure) -> bool {
        let message = &self.routed.request.message;
        let harmless =
            failure.is_unexecuted() || (message.kind() != Kind::Oneway && message.head().affinity() == Affinity::Any);
        if !self.retries.covers(failure) || !harmless {
            return false;
        }
        let counters = &self.metrics.counters;
        if self.begun >= self.retries.policy().attempts || self.hops >= MAX_HOPS {
            counters.retry_limit_exceeded.inc();
            return false;
        }
        if !self.retries.budget().withdraw(Instant::now().into_std()) {
            counters.retry_overflow.inc();
            return false;
        }
        true
    }

    /// Has the next try begin on another host than `endpoint`: in a while, or at once.
    fn schedule(&mut self, wait: bool, endpoint: Option<SocketAddress>) {
        self.begun += 1;
        self.metrics.counters.retry.inc();
        let request = &mut self.routed.request;
        request.retry = true;
        if let Some(endpoint) = endpoint {
            request.avoid(endpoint);
        }
        if request.message.head().is_mutable() {
            let hops = self.hops + self.begun;
            request.message.mutation_mut().set(RETRY_HOPS, hops.to_string());
        }
        let wait = wait.then(|| self.retries.back_off(self.begun, fastrand::u64(..)));
        self.next_at = Some(self.wheel.at(Instant::now() + wait.unwrap_or_default()));
    }
}

impl<S: Service<Routed>> Drop for Tries<S> {
    /// Where nobody waits any more, the request ends at the endpoint that it has waited for longest.
    fn drop(&mut self) {
        if !self.retries.hedges() {
            return;
        }
        let Some(endpoint) = self.under_way.first().and_then(Try::endpoint) else { return };
        let overdue = self.routed.request.facts.note(|record| {
            record.endpoint = Some(endpoint);
            record.overdue
        });
        self.under_way.iter().for_each(|one| one.facts.note(|record| record.overdue = overdue));
    }
}

/// How a look at a try ended.
enum Ended {
    With(Result<Response, BoxError>),
    Overdue,
}

impl<F> Try<F> {
    fn endpoint(&self) -> Option<SocketAddress> {
        self.facts.note(|record| record.endpoint.clone())
    }
}

impl<F: Future<Output = Result<Response, BoxError>>> Try<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Poll::Ready(result) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ended::With(result));
        }
        let Some(overdue) = &mut self.overdue else { return Poll::Pending };
        ready!(Pin::new(overdue).poll(cx));
        self.overdue = None;
        Poll::Ready(Ended::Overdue)
    }
}

impl<S: Service<Routed>> fmt::Debug for Tries<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tries").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl super::Request {
    /// Has the balancer choose another host than this one, where there is one.
    fn avoid(&mut self, endpoint: SocketAddress) {
        let avoided = Arc::make_mut(self.avoid.get_or_insert_default());
        if !avoided.contains(&endpoint) {
            avoided.push(endpoint);
        }
    }
}

/// Tries of proxies before this one beyond which it makes none of its own.
const MAX_HOPS: u32 = 3;
