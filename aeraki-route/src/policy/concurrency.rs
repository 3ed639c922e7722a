//! How many requests may be under way: a fixed bound, and one that follows the latency.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    config::{AdaptiveConcurrency, ConfigError, Shed},
    places::{Place, Places},
    sync::lock,
};

/// Counts the requests under way and refuses further ones at its bound.
#[derive(Debug)]
pub struct Concurrency {
    active: Places,
    bound: AtomicU32,
    gradient: Option<Mutex<Gradient>>,
}

impl Concurrency {
    /// Makes a count with the bounds of a configuration; the adaptive one starts at its lowest value.
    ///
    /// # Errors
    ///
    /// Names the field and the reason: no bound at all, a bound or time of zero, a range that is none.
    pub fn new(config: &Shed) -> Result<Self, ConfigError> {
        config.check().map_err(|error| error.of("shedding", ""))?;
        let fixed = config.max_requests.unwrap_or(u32::MAX);
        let gradient = config.adaptive.map(|adaptive| Gradient::new(adaptive, fixed));
        let bound = gradient.as_ref().map_or(fixed, Gradient::bound);
        Ok(Self { active: Places::default(), bound: AtomicU32::new(bound), gradient: gradient.map(Mutex::new) })
    }

    /// Takes a request on, unless the bound is reached.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Underway> {
        let place = self.active.take(self.bound())?;
        Some(Underway { concurrency: Arc::clone(self), _place: place })
    }

    /// Returns how many requests may be under way now.
    pub fn bound(&self) -> u32 {
        self.bound.load(Relaxed)
    }

    /// Returns how many requests are under way.
    pub fn active(&self) -> u32 {
        self.active.taken()
    }
}

/// A request that a [`Concurrency`] has taken on; ends when dropped.
#[derive(Debug)]
pub struct Underway {
    concurrency: Arc<Concurrency>,
    _place: Place,
}

impl Underway {
    /// Tells how long the server took to answer, until `now`.
    pub fn took(&self, latency: Duration, now: Instant) {
        self.tell(now, |gradient| Some(latency).filter(|latency| gradient.is_measured(*latency, now)));
    }

    /// Tells how long an answer was waited for in vain until `now`. That says nothing where nobody knows yet how long
    /// the server takes at best, nor where it takes longer than that: a caller's patience is not the server's speed.
    pub fn waited(&self, latency: Duration, now: Instant) {
        self.tell(now, |gradient| Some(latency).filter(|latency| gradient.exceeds_best(*latency)));
    }

    fn tell(&self, now: Instant, latency: impl FnOnce(&Gradient) -> Option<Duration>) {
        let concurrency = &*self.concurrency;
        let Some(gradient) = &concurrency.gradient else { return };
        let mut gradient = lock(gradient);
        if let Some(latency) = latency(&gradient)
            && gradient.sample(latency, concurrency.active(), now)
        {
            concurrency.bound.store(gradient.bound(), Relaxed);
        }
    }
}

/// The gradient controller of Envoy's adaptive concurrency: the bound grows by its square root while the latency stays
/// near the best one, and shrinks in proportion to how far it rises above.
#[derive(Debug)]
struct Gradient {
    config: AdaptiveConcurrency,
    /// The configured bound that the adaptive one may not exceed.
    fixed: u32,
    bound: f64,
    /// The latency that counts as the best, in seconds; none while it is measured.
    baseline: Option<f64>,
    /// When the best latency is to be measured anew.
    remeasure_at: Option<Instant>,
    /// When its present measurement began: what began under the load before it says nothing. None for the first one.
    measured_from: Option<Instant>,
    /// Latencies since the last change, in seconds, and when that was.
    samples: Vec<f64>,
    since: Option<Instant>,
    /// The most requests under way since the last change.
    busiest: u32,
}

impl Gradient {
    fn new(config: AdaptiveConcurrency, fixed: u32) -> Self {
        let bound = f64::from(config.min_requests);
        let (samples, since) = (Vec::new(), None);
        let (baseline, remeasure_at, measured_from) = (None, None, None);
        Self { config, fixed, bound, baseline, remeasure_at, measured_from, samples, since, busiest: 0 }
    }

    fn bound(&self) -> u32 {
        // a float that is out of range saturates
        (self.bound as u32).clamp(self.config.min_requests, self.config.max_requests.max(1)).min(self.fixed)
    }

    /// Tells whether a request that took so long began after the measurement, where there is one at present; nothing is
    /// before the first one, which has no beginning.
    fn is_measured(&self, latency: Duration, now: Instant) -> bool {
        self.baseline.is_some() || now.checked_sub(latency) >= self.measured_from
    }

    fn exceeds_best(&self, latency: Duration) -> bool {
        self.baseline.is_some_and(|best| latency.as_secs_f64() > best)
    }

    /// Takes a latency in, and tells whether the bound may have changed.
    fn sample(&mut self, latency: Duration, active: u32, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        self.busiest = self.busiest.max(active);
        if self.samples.len() < MOST_SAMPLES {
            self.samples.push(latency.as_secs_f64());
        }
        if self.baseline.is_none() {
            return self.samples.len() >= BASELINE_SAMPLES && self.measure(now);
        }
        if self.remeasure_at.is_some_and(|at| now >= at) {
            self.baseline = None;
            self.measured_from = Some(now);
            self.bound = f64::from(self.config.min_requests);
            self.begin(now);
            return true;
        }
        now.saturating_duration_since(since) >= self.config.update_interval && self.update(now)
    }

    /// Ends the measurement of the best latency.
    fn measure(&mut self, now: Instant) -> bool {
        self.baseline = Some(self.typical());
        self.remeasure_at = now.checked_add(self.config.baseline_interval);
        self.begin(now);
        false
    }

    fn update(&mut self, now: Instant) -> bool {
        let tolerated = self.baseline.unwrap_or_default() * (1.0 + f64::from(self.config.buffer_percent) / 100.0);
        let gradient = (tolerated / self.typical().max(f64::EPSILON)).clamp(0.5, 2.0);
        let shrunk = self.bound * gradient.min(1.0);
        // a bound that nobody comes near says nothing, and does not grow
        let used = f64::from(self.busiest) * 2.0 >= self.bound;
        let grown = if gradient >= 1.0 && used { self.bound + self.bound.sqrt() } else { shrunk };
        self.bound = grown.clamp(f64::from(self.config.min_requests), f64::from(self.config.max_requests));
        self.begin(now);
        true
    }

    /// Returns the latency that nine in ten requests do not exceed.
    fn typical(&mut self) -> f64 {
        let place = self.samples.len() * 9 / 10;
        if place >= self.samples.len() {
            return 0.0;
        }
        *self.samples.select_nth_unstable_by(place, f64::total_cmp).1
    }

    fn begin(&mut self, now: Instant) {
        self.samples.clear();
        self.since = Some(now);
        self.busiest = 0;
    }
}

/// Answers by which the best latency is measured.
const BASELINE_SAMPLES: usize = 50;
/// Latencies that are kept between two changes of the bound.
const MOST_SAMPLES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(shed: &Shed) -> Arc<Concurrency> {
        Arc::new(Concurrency::new(shed).expect("valid"))
    }

    #[test]
    fn a_fixed_bound_is_never_exceeded() {
        let concurrency = compile(&Shed::at(2));
        let (first, _second) = (concurrency.enter(), concurrency.enter());
        assert!(first.is_some() && concurrency.enter().is_none());
        drop(first);
        let third = concurrency.enter();
        assert!(third.is_some() && concurrency.enter().is_none());
        assert_eq!(concurrency.active(), 2);
    }

    /// Runs a server that takes 10 ms for up to `capacity` requests and longer in proportion above; returns the bound
    /// after `seconds`.
    fn settle(concurrency: &Arc<Concurrency>, capacity: u32, seconds: u64, now: &mut Instant) -> u32 {
        let end = *now + Duration::from_secs(seconds);
        while *now < end {
            let under_way: Vec<_> = (0..500).map_while(|_| concurrency.enter()).collect();
            let active = under_way.len() as u32;
            let latency = Duration::from_millis(10) * active.max(capacity) / capacity;
            *now += latency;
            under_way.iter().for_each(|one| one.took(latency, *now));
        }
        concurrency.bound()
    }

    #[test]
    fn the_bound_follows_what_the_server_can_do() {
        let adaptive = AdaptiveConcurrency::default().with_range(3, 400);
        let shed = Shed::default().with_adaptive(adaptive);
        let concurrency = compile(&shed);
        let mut now = Instant::now();
        assert_eq!(concurrency.bound(), 3);
        let wide = settle(&concurrency, 100, 20, &mut now);
        assert!((100..=160).contains(&wide), "{wide}: near what 100 requests at a time and the buffer allow");
        let narrow = settle(&concurrency, 20, 20, &mut now);
        assert!((20..=45).contains(&narrow), "{narrow}: the server became slower");
    }

    #[test]
    fn a_server_that_never_answers_narrows_the_bound() {
        let shed = Shed::default().with_adaptive(AdaptiveConcurrency::default().with_range(3, 400));
        let concurrency = compile(&shed);
        let mut now = Instant::now();
        let wide = settle(&concurrency, 100, 20, &mut now);
        for _ in 0..20 {
            let under_way: Vec<_> = (0..500).map_while(|_| concurrency.enter()).collect();
            now += Duration::from_secs(1);
            under_way.iter().for_each(|one| one.waited(Duration::from_secs(1), now));
        }
        assert!(wide > 90 && concurrency.bound() < 10, "{wide} then {}", concurrency.bound());
    }

    #[test]
    fn callers_without_patience_say_nothing() {
        let shed = Shed::default().with_adaptive(AdaptiveConcurrency::default().with_range(3, 400));
        let concurrency = compile(&shed);
        let mut now = Instant::now();
        let give_up = |concurrency: &Arc<Concurrency>, now: &mut Instant| {
            for _ in 0..1000 {
                *now += Duration::from_millis(1);
                concurrency.enter().expect("alone").waited(Duration::from_millis(1), *now);
            }
        };
        give_up(&concurrency, &mut now);
        let settled = settle(&concurrency, 100, 20, &mut now);
        assert!((100..=160).contains(&settled), "{settled}: 10 ms are the best, not 1 ms");
        give_up(&concurrency, &mut now);
        assert_eq!(concurrency.bound(), settled);
    }

    #[test]
    fn a_new_measurement_leaves_out_what_began_before_it() {
        let shed = Shed::default().with_adaptive(AdaptiveConcurrency::default().with_range(3, 400));
        let concurrency = compile(&shed);
        let mut now = Instant::now();
        settle(&concurrency, 100, 59, &mut now);
        let long_ago: Vec<_> = (0..100).map_while(|_| concurrency.enter()).collect();
        now += Duration::from_secs(5);
        long_ago[0].took(Duration::from_millis(10), now);
        assert_eq!(concurrency.bound(), 3, "measured anew");
        long_ago.iter().for_each(|one| one.took(Duration::from_secs(5), now + Duration::from_millis(1)));
        drop(long_ago);
        now += Duration::from_millis(1);
        let settled = settle(&concurrency, 100, 20, &mut now);
        assert!((100..=160).contains(&settled), "{settled}: 10 ms are the best, not 5 s");
        let narrow = settle(&concurrency, 20, 20, &mut now);
        assert!((20..=45).contains(&narrow), "{narrow}");
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        let shed = Shed::default().with_adaptive(AdaptiveConcurrency::default().with_range(5, 4));
        let text = Concurrency::new(&shed).expect_err("wrong").to_string();
        assert_eq!(text, "shedding \"\": adaptive.maxRequests: must not be below the least number");
    }
}
