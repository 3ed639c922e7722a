//! What a request must pass before it goes on: one seam for authorization, limits, faults and filters of embedders.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aeraki_codec::LocalReply;
use aeraki_route::config::FilterOrder;
use pin_project_lite::pin_project;
use smallvec::SmallVec;
use tower_layer::Layer;
use tower_service::Service;

use super::{BoxError, BoxFuture, Request, Response};

/// Judges requests, and may see their answers; one instance serves many connections at a time.
///
/// `R` is what travels at this place of the stack: a [`Request`], or a [`Routed`](super::Routed) one below the route.
pub trait Gate<R = Request>: Send + Sync + fmt::Debug + 'static {
    /// Judges a request; called once for each.
    fn admit(&self, request: &mut R) -> Admission;
}

/// What a [`Gate`] decided.
#[non_exhaustive]
pub enum Admission {
    /// The request goes on.
    Pass,
    /// The request ends with this reply.
    Refuse(LocalReply),
    /// The request goes on or ends once this is known.
    Wait(BoxFuture<Result<(), LocalReply>>),
    /// The request goes on, and its answer is looked at.
    Watch(Box<dyn Watch>),
}

/// Looks at the answer of a request; dropped when the request has ended, also where no answer came.
pub trait Watch: Send {
    /// Sees the answer and may change it.
    fn answered(&mut self, response: &mut Response) {
        let _ = response;
    }

    /// Sees why a request failed below the gate, or was refused by a later one.
    fn failed(&mut self, error: &BoxError) {
        let _ = error;
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("Pass"),
            Self::Refuse(reply) => f.debug_tuple("Refuse").field(reply).finish(),
            Self::Wait(_) => f.write_str("Wait"),
            Self::Watch(_) => f.write_str("Watch"),
        }
    }
}

/// Lets requests through gates, in order; costs a comparison where there are none.
#[derive(Debug)]
pub struct GateLayer<R = Request> {
    gates: Arc<[Arc<dyn Gate<R>>]>,
    order: FilterOrder,
}

impl<R> GateLayer<R> {
    /// Makes the layer; answers pass the gates in the same order as requests.
    #[must_use]
    pub fn new(gates: impl IntoIterator<Item = Arc<dyn Gate<R>>>) -> Self {
        Self { gates: gates.into_iter().collect(), order: FilterOrder::AsListed }
    }

    /// Sets the order in which answers pass the gates.
    #[must_use]
    pub const fn with_response_order(mut self, order: FilterOrder) -> Self {
        self.order = order;
        self
    }
}

impl<R> Clone for GateLayer<R> {
    fn clone(&self) -> Self {
        Self { gates: Arc::clone(&self.gates), order: self.order }
    }
}

impl<R: 'static, S> Layer<S> for GateLayer<R> {
    type Service = Gated<S, R>;

    fn layer(&self, inner: S) -> Gated<S, R> {
        Gated { inner, gates: Arc::clone(&self.gates), order: self.order }
    }
}

/// See [`GateLayer`].
#[derive(Debug)]
pub struct Gated<S, R = Request> {
    inner: S,
    gates: Arc<[Arc<dyn Gate<R>>]>,
    order: FilterOrder,
}

impl<S: Clone, R> Clone for Gated<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), gates: Arc::clone(&self.gates), order: self.order }
    }
}

impl<S, R> Service<R> for Gated<S, R>
where
    S: Service<R, Response = Response, Error = BoxError> + Clone,
    R: 'static,
{
    type Response = Response;
    type Error = BoxError;
    type Future = GatedFuture<S, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: R) -> Self::Future {
        let mut watches = Watches::new(self.order);
        let mut next = 0;
        let stage = match advance(&self.gates, &mut next, &mut request, &mut watches) {
            Ok(None) => Stage::Called { inner: self.inner.call(request) },
            Ok(Some(wait)) => {
                // the instance that is ready waits with the request; the next request asks another one
                let other = self.inner.clone();
                let service = mem::replace(&mut self.inner, other);
                let gates = Arc::clone(&self.gates);
                Stage::Waiting { waiting: Some(Box::new(Waiting { wait, service, request, gates, next })) }
            }
            Err(reply) => Stage::Refused { reply: Some(reply) },
        };
        GatedFuture { stage, watches }
    }
}

/// A decision that takes time.
type Wait = BoxFuture<Result<(), LocalReply>>;

/// Lets a request through the gates from `next` on, until one must be waited for.
#[inline]
fn advance<R: 'static>(
    gates: &[Arc<dyn Gate<R>>],
    next: &mut usize,
    request: &mut R,
    watches: &mut Watches,
) -> Result<Option<Wait>, LocalReply> {
    while let Some(gate) = gates.get(*next) {
        *next += 1;
        match gate.admit(request) {
            Admission::Pass => {}
            Admission::Refuse(reply) => return Err(reply),
            Admission::Wait(wait) => return Ok(Some(wait)),
            Admission::Watch(watch) => watches.all.push(watch),
        }
    }
    Ok(None)
}

/// Those who look at an answer, in the order in which they admitted the request.
struct Watches {
    all: SmallVec<[Box<dyn Watch>; 2]>,
    order: FilterOrder,
}

impl Watches {
    fn new(order: FilterOrder) -> Self {
        Self { all: SmallVec::new(), order }
    }

    fn ended(&mut self, result: &mut Result<Response, BoxError>) {
        let see = |watch: &mut Box<dyn Watch>| match result {
            Ok(response) => watch.answered(response),
            Err(error) => watch.failed(error),
        };
        if self.order == FilterOrder::Reversed {
            self.all.iter_mut().rev().for_each(see);
        } else {
            self.all.iter_mut().for_each(see);
        }
    }
}

/// A request at a gate that takes its time.
struct Waiting<S, R> {
    wait: Wait,
    service: S,
    request: R,
    gates: Arc<[Arc<dyn Gate<R>>]>,
    next: usize,
}

impl<S, R: 'static> Waiting<S, R> {
    fn advance(&mut self, watches: &mut Watches) -> Result<Option<Wait>, LocalReply> {
        advance(&self.gates, &mut self.next, &mut self.request, watches)
    }
}

pin_project! {
    /// The future of [`Gated`].
    pub struct GatedFuture<S, R> where S: Service<R> {
        #[pin]
        stage: Stage<S, R>,
        watches: Watches,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, R> where S: Service<R> {
        Called { #[pin] inner: S::Future },
        Waiting { waiting: Option<Box<Waiting<S, R>>> },
        Refused { reply: Option<LocalReply> },
    }
}

impl<S, R> Future for GatedFuture<S, R>
where
    S: Service<R, Response = Response, Error = BoxError>,
    R: 'static,
{
    type Output = Result<Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.stage.as_mut().project() {
                StageProj::Called { inner } => {
                    let mut result = ready!(inner.poll(cx));
                    this.watches.ended(&mut result);
                    return Poll::Ready(result);
                }
                StageProj::Refused { reply } => {
                    let Some(reply) = reply.take() else { return Poll::Pending };
                    let mut result = Err(reply.into());
                    this.watches.ended(&mut result);
                    return Poll::Ready(result);
                }
                StageProj::Waiting { waiting } => {
                    let Some(at) = waiting else { return Poll::Pending };
                    let admitted = ready!(at.wait.as_mut().poll(cx));
                    match admitted.and_then(|()| at.advance(this.watches)) {
                        Ok(Some(wait)) => {
                            at.wait = wait;
                            continue;
                        }
                        Ok(None) => match waiting.take() {
                            Some(at) => {
                                let Waiting { mut service, request, .. } = *at;
                                Stage::Called { inner: service.call(request) }
                            }
                            None => return Poll::Pending,
                        },
                        Err(reply) => Stage::Refused { reply: Some(reply) },
                    }
                }
            };
            this.stage.set(next);
        }
    }
}

impl<S: Service<R>, R> fmt::Debug for GatedFuture<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatedFuture").finish_non_exhaustive()
    }
}
