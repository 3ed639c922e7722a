//! Limits by buckets of tokens.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use aeraki_codec::Attributes;
use lru::LruCache;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Bucket;
use crate::{
    compile::Matcher,
    config::{ConfigError, LocalRateLimit, error::FieldError},
    sync::lock,
};

/// Limits messages: the first condition that matches names the bucket, else the common one does.
#[derive(Debug)]
pub struct LocalLimit {
    config: Arc<LocalRateLimit>,
    matcher: Arc<Matcher>,
    shared: Buckets,
    keyed: Option<Keyed>,
    counts: Arc<LimitCounts>,
}

/// Buckets by the value of an attribute, the least recently used of which are forgotten.
///
/// The values come from clients and may be long, so their hashes stand for them, which nobody outside can foresee.
#[derive(Debug)]
struct Keyed {
    seed: u64,
    buckets: Mutex<LruCache<u128, Buckets>>,
}

/// What became of messages at a [`LocalLimit`], and at those that were made of it for single connections.
#[derive(Debug, Default)]
pub struct LimitCounts {
    ok: AtomicU64,
    limited: AtomicU64,
    forgotten: AtomicU64,
}

impl LimitCounts {
    /// Returns how many messages had a token, or needed none.
    pub fn ok(&self) -> u64 {
        self.ok.load(Relaxed)
    }

    /// Returns how many messages had no token.
    pub fn limited(&self) -> u64 {
        self.limited.load(Relaxed)
    }

    /// Returns how many values of an attribute were forgotten because too many others came.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Relaxed)
    }
}

/// One bucket for each condition, and the common one behind them.
#[derive(Debug)]
struct Buckets(Box<[Option<Bucket>]>);

impl LocalLimit {
    /// Compiles a limit, whose buckets are full.
    ///
    /// # Errors
    ///
    /// Names the field and the reason: a size, interval or number out of its range, a malformed regular expression.
    pub fn compile(config: &LocalRateLimit) -> Result<Arc<Self>, ConfigError> {
        let built = config.check().and_then(|()| Self::build(config));
        built.map_err(|error| error.of("local rate limit", &config.stat_prefix))
    }

    /// Makes a limit of the same configuration whose buckets are full, and which counts together with this one.
    #[must_use]
    pub fn renewed(&self) -> Arc<Self> {
        Arc::new(Self::new(Arc::clone(&self.config), Arc::clone(&self.matcher), Arc::clone(&self.counts)))
    }

    /// Compiles a limit that has been checked.
    fn build(config: &LocalRateLimit) -> Result<Arc<Self>, FieldError> {
        let rules = config.conditions.iter().map(|condition| condition.matches.as_slice());
        let matcher = Matcher::compile(rules, |index| format!("localRateLimit.conditions[{index}]"))?;
        Ok(Arc::new(Self::new(Arc::new(config.clone()), Arc::new(matcher), Arc::default())))
    }

    fn new(config: Arc<LocalRateLimit>, matcher: Arc<Matcher>, counts: Arc<LimitCounts>) -> Self {
        let keyed = config.keyed.as_ref().map(|keyed| Keyed::new(keyed.max_keys));
        Self { shared: Buckets::new(&config), matcher, keyed, counts, config }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &LocalRateLimit {
        &self.config
    }

    /// Tells whether a message may pass, and takes its token.
    pub fn admits<A: Attributes + ?Sized>(&self, message: &A, now: Instant) -> bool {
        let admitted = self.takes(message, now);
        let count = if admitted { &self.counts.ok } else { &self.counts.limited };
        count.fetch_add(1, Relaxed);
        admitted
    }

    fn takes<A: Attributes + ?Sized>(&self, message: &A, now: Instant) -> bool {
        let place = self.matcher.find(message).unwrap_or(self.config.conditions.len());
        if self.shared.get(place).is_none() {
            return true;
        }
        let key = self.config.keyed.as_ref().and_then(|keyed| message.attr(&keyed.attribute));
        let (Some(keyed), Some(key)) = (&self.keyed, key) else { return self.shared.take(place, now) };
        let key = xxh3_128_with_seed(key, keyed.seed);
        let mut known = lock(&keyed.buckets);
        if let Some(buckets) = known.get(&key) {
            return buckets.take(place, now);
        }
        let buckets = Buckets::new(&self.config);
        let admitted = buckets.take(place, now);
        if known.push(key, buckets).is_some() {
            self.counts.forgotten.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Returns what became of messages so far.
    pub fn counts(&self) -> &LimitCounts {
        &self.counts
    }

    /// Lists the keys that the limit looks at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.matcher.keys().chain(self.config.keyed.iter().map(|keyed| keyed.attribute.as_str()))
    }
}

impl Keyed {
    fn new(max_keys: u32) -> Self {
        let most = usize::try_from(max_keys).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
        // grows with the values that are seen, not with those that may be
        let mut cache = LruCache::unbounded();
        cache.resize(most);
        Self { seed: RandomState::new().hash_one(max_keys), buckets: Mutex::new(cache) }
    }
}

/// Compiles the limits of one table. Equal limits of the same statistics prefix are one, which several routes share and
/// which goes on where a table replaces another.
#[derive(Debug, Default)]
pub(crate) struct LimitCompiler {
    known: HashMap<String, Vec<Arc<LocalLimit>>, foldhash::fast::RandomState>,
}

impl LimitCompiler {
    /// Makes a compiler that goes on with the limits of another table.
    pub(crate) fn after<'a>(previous: impl Iterator<Item = &'a Arc<LocalLimit>>) -> Self {
        let mut compiler = Self::default();
        previous.for_each(|limit| compiler.remember(limit));
        compiler
    }

    /// Compiles a limit that has been checked.
    pub(crate) fn compile(&mut self, config: &LocalRateLimit) -> Result<Arc<LocalLimit>, FieldError> {
        let mut known = self.known.get(&config.stat_prefix).into_iter().flatten();
        if let Some(same) = known.find(|known| *known.config == *config) {
            return Ok(Arc::clone(same));
        }
        let limit = LocalLimit::build(config)?;
        self.remember(&limit);
        Ok(limit)
    }

    fn remember(&mut self, limit: &Arc<LocalLimit>) {
        let known = self.known.entry(limit.config.stat_prefix.clone()).or_default();
        if !known.iter().any(|known| Arc::ptr_eq(known, limit)) {
            known.push(Arc::clone(limit));
        }
    }
}

impl Buckets {
    fn new(config: &LocalRateLimit) -> Self {
        let conditions = config.conditions.iter().map(|condition| Some(condition.bucket));
        Self(conditions.chain([config.bucket]).map(|bucket| bucket.map(Bucket::new)).collect())
    }

    fn get(&self, place: usize) -> Option<&Bucket> {
        self.0.get(place)?.as_ref()
    }

    fn take(&self, place: usize, now: Instant) -> bool {
        self.get(place).is_none_or(|bucket| bucket.take(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{AttributeMatch, KeyedBuckets, LimitCondition, TokenBucket};

    fn bucket(tokens: u32) -> TokenBucket {
        TokenBucket::new(tokens, 1, Duration::from_secs(1))
    }

    fn compile(config: LocalRateLimit) -> Arc<LocalLimit> {
        LocalLimit::compile(&config).expect("valid")
    }

    /// How many of ten messages pass at once.
    fn passed(limit: &LocalLimit, message: &[(&str, &str)]) -> usize {
        let now = Instant::now();
        (0..10).filter(|_| limit.admits(message, now)).count()
    }

    #[test]
    fn the_first_condition_that_matches_decides_alone() {
        let hello = LimitCondition::new([AttributeMatch::exact("method", "hello")], bucket(2));
        let any = LimitCondition::new([AttributeMatch::prefix("method", "he")], bucket(3));
        let config = LocalRateLimit::new("t").with_condition(hello).with_condition(any);
        let limit = compile(config.clone().with_bucket(bucket(4)));
        let counts = ["hello", "help", "bye"].map(|method| passed(&limit, &[("method", method)]));
        assert_eq!(counts, [2, 3, 4], "no message falls through to another bucket");
        assert_eq!(passed(&compile(config), &[("method", "bye")]), 10, "nothing limits what no condition matches");
    }

    #[test]
    fn every_caller_has_its_own_bucket_and_the_least_recent_is_forgotten() {
        let keyed = KeyedBuckets::new("user").with_max_keys(2);
        let limit = compile(LocalRateLimit::new("t").with_bucket(bucket(3)).with_keyed(keyed));
        assert_eq!(["a", "b"].map(|user| passed(&limit, &[("user", user)])), [3, 3]);
        assert_eq!(passed(&limit, &[("method", "hello")]), 3, "without the attribute: a bucket for all");
        let counts = limit.counts();
        assert_eq!((passed(&limit, &[("user", "a")]), counts.forgotten()), (0, 0));
        assert_eq!((passed(&limit, &[("user", "c")]), counts.forgotten()), (3, 1));
        assert_eq!((passed(&limit, &[("user", "a")]), counts.forgotten()), (0, 1), "a was used after b");
        assert_eq!((passed(&limit, &[("user", "b")]), counts.forgotten()), (3, 2));
        assert_eq!((counts.ok(), counts.limited()), (15, 55));
    }

    #[test]
    fn an_equal_limit_goes_on_and_another_begins_anew() {
        let config = LocalRateLimit::new("t").with_bucket(bucket(3));
        let limit = compile(config.clone());
        assert_eq!(passed(&limit, &[]), 3);
        let mut compiler = LimitCompiler::after([&limit].into_iter());
        let mut passes = |config: &LocalRateLimit| passed(&compiler.compile(config).expect("valid"), &[]);
        assert_eq!(passes(&config), 0);
        let other = config.with_bucket(bucket(2));
        assert_eq!((passes(&other), passes(&other)), (2, 0), "equal limits of one table are one");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |config: LocalRateLimit| LocalLimit::compile(&config).expect_err("wrong").to_string();
        let config = || LocalRateLimit::new("t");
        assert_eq!(refused(config()), "local rate limit \"t\": bucket: is required where there are no conditions");
        let zero = TokenBucket::new(1, 1, Duration::ZERO);
        let text = "local rate limit \"t\": bucket.fillInterval: must lie between 1 microsecond and 365 days";
        assert_eq!(refused(config().with_bucket(zero)), text);
        let condition = LimitCondition::new([AttributeMatch::regex("m", "(")], bucket(1));
        assert!(refused(config().with_condition(condition)).contains("conditions[0].matches[0] (key \"m\").value"));
        let keyed = KeyedBuckets::new("user").with_max_keys(0);
        assert!(refused(config().with_bucket(bucket(1)).with_keyed(keyed)).contains("keyed.maxKeys: must lie between"));
        let keyed = config().with_bucket(bucket(1)).with_keyed(KeyedBuckets::new("user").with_max_keys(101));
        assert!(LocalLimit::compile(&keyed).is_ok());
        let text = "keyed.maxKeys: must not be above 100 where each connection has its own buckets";
        assert!(refused(keyed.with_scope(crate::config::LimitScope::Connection)).ends_with(text));
    }
}
