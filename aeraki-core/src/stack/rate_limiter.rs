//! The seam to a rate limit service: the stack asks, whoever knows gRPC answers.

use std::{fmt, time::Duration};

use super::{BoxError, BoxFuture};

/// Asks a rate limit service whether a request is over its limits.
///
/// `aeraki-xds` implements it over gRPC; tests and embedders may answer themselves.
pub trait RateLimiter: Send + Sync + fmt::Debug + 'static {
    /// Asks about one request. An answer that takes longer than `ask.timeout` is an error, as is everything else that
    /// keeps the service from answering.
    fn ask(&self, ask: RateLimitAsk) -> BoxFuture<Result<RateLimitAnswer, BoxError>>;
}

/// What a rate limit service is asked; `envoy.service.ratelimit.v3.RateLimitRequest`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimitAsk {
    /// The domain in the service's configuration.
    pub domain: String,
    /// Descriptors, each a list of keys and values.
    pub descriptors: Vec<Vec<(String, String)>>,
    /// How much the request counts; none: as much as the service counts for one request.
    pub hits_addend: Option<u32>,
    /// How long the answer may take.
    pub timeout: Duration,
}

impl RateLimitAsk {
    /// Makes a question about `descriptors`.
    #[must_use]
    pub const fn new(domain: String, descriptors: Vec<Vec<(String, String)>>, timeout: Duration) -> Self {
        Self { domain, descriptors, hits_addend: None, timeout }
    }

    /// Sets how much the request counts.
    #[must_use]
    pub const fn with_hits_addend(mut self, hits_addend: Option<u32>) -> Self {
        self.hits_addend = hits_addend;
        self
    }
}

/// What a rate limit service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimitAnswer {
    /// The request may pass; also the answer of a service that knows no limit for it.
    Ok,
    /// A limit is exhausted.
    OverLimit,
}
