//! What became of every request, as clients and servers see it.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use super::ONCE;

/// Counts by request. A request is known by its text, which is another one for each and names its method.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    requests: Mutex<HashMap<String, Request>>,
    violations: Mutex<Vec<String>>,
    /// How often the proxy had to be started again.
    deaths: AtomicUsize,
    /// Whether the storm is over: what comes then is not counted.
    closed: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Request {
    executed: u32,
    end: Option<End>,
}

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its answer.
    Answered,
    /// With an error.
    Refused,
    /// With its connection.
    Closed,
    /// Not at all, for as long as the client cared to wait.
    Hung,
}

impl Ledger {
    pub(super) fn sent(&self, text: &str) {
        if !self.closed.load(Relaxed) {
            lock(&self.requests).insert(text.to_owned(), Request::default());
        }
    }

    pub(super) fn executed(&self, text: &str) {
        if let Some(request) = lock(&self.requests).get_mut(text) {
            request.executed += 1;
        }
    }

    /// Returns how many requests servers executed, each as often as they did.
    pub(super) fn executions(&self) -> u64 {
        lock(&self.requests).values().map(|request| u64::from(request.executed)).sum()
    }

    pub(super) fn ended(&self, text: &str, end: End) {
        let mut requests = lock(&self.requests);
        let Some(request) = requests.get_mut(text) else { return };
        if request.end.replace(end).is_some() {
            drop(requests);
            self.violated(format!("{text} ended twice"));
        }
    }

    pub(super) fn violated(&self, violation: String) {
        lock(&self.violations).push(violation);
    }

    pub(super) fn died(&self) {
        self.deaths.fetch_add(1, Relaxed);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let requests = lock(&self.requests);
        let count = |holds: &dyn Fn(&str, &Request) -> bool| {
            requests.iter().filter(|(text, request)| holds(text, request)).count()
        };
        let ended = |end| count(&|_, request| request.end == Some(end));
        Counts([
            requests.len(),
            ended(End::Answered),
            ended(End::Refused),
            ended(End::Closed),
            ended(End::Hung),
            count(&|text, request| text.starts_with(ONCE) && request.executed > 1),
            count(&|_, request| request.executed > 1),
            lock(&self.violations).len(),
            self.deaths.load(Relaxed),
        ])
    }

    /// Lists what must not be.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut violations = lock(&self.violations).clone();
        for (text, request) in lock(&self.requests).iter() {
            let wrong = match request.end {
                Some(End::Closed) => "ended with its connection",
                Some(End::Hung) => "never ended",
                None => "has no end",
                Some(End::Answered) if request.executed == 0 => "was answered and not executed",
                Some(_) if text.starts_with(ONCE) && request.executed > 1 => "was executed twice",
                Some(_) => continue,
            };
            violations.push(format!("{text} {wrong}"));
        }
        violations
    }
}

/// The counts of one storm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts([usize; Self::COLUMNS.len()]);

impl Counts {
    pub(super) const COLUMNS: [&'static str; 9] = [
        "requests",
        "answered",
        "refused",
        "connection lost",
        "hung",
        "once, executed twice",
        "executed again",
        "other violations",
        "proxy died",
    ];

    pub(super) fn requests(self) -> usize {
        self.0[0]
    }

    pub(super) fn refused(self) -> usize {
        self.0[2]
    }

    pub(super) fn row(self) -> String {
        self.0.map(|count| count.to_string()).join(" | ")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
