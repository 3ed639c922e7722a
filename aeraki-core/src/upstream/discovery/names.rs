//! The names of a cluster's endpoints, each looked up again and again by itself.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use aeraki_route::config::{Address, Cluster, Discovery, Dns, Endpoint, SocketAddress};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{Resolved, Resolver};
use crate::{
    sync::lock,
    upstream::{
        directory::Directory,
        members::{Found, Members},
    },
};

/// The last good answers for the names of a cluster, by host. They outlast its configuration, and all workers have the
/// same.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Answers(Mutex<HashMap<Arc<str>, Vec<IpAddr>>>);

/// The endpoints of a cluster in which names are looked up, and where they were last found.
#[derive(Debug)]
pub(in crate::upstream) struct Names {
    all: Vec<Name>,
    dns: Dns,
    /// Whether a name is one endpoint, however many addresses it has.
    first_only: bool,
    /// The endpoints of the configuration before: better than nothing while there are names of which nothing is known.
    before: Option<Arc<Members>>,
}

impl Names {
    /// Makes them of a cluster in which names are looked up; none of another one.
    pub(in crate::upstream) fn of(config: &Cluster, answers: &Answers, before: Option<&Arc<Members>>) -> Option<Self> {
        let (dns, first_only) = match config.discovery {
            Discovery::StrictDns(dns) => (dns, false),
            Discovery::LogicalDns(dns) => (dns, true),
            _ => return None,
        };
        let all: Vec<_> = config.endpoints.iter().map(|endpoint| Name::new(endpoint, answers)).collect();
        let hosts: BTreeSet<_> = all.iter().filter_map(Name::host).collect();
        lock(&answers.0).retain(|host, _| hosts.contains(host));
        let mut names = Self { all, dns, first_only, before: before.cloned() };
        names.settle();
        Some(names)
    }

    /// Lists the endpoints as far as they are known.
    pub(in crate::upstream) fn found(&self) -> impl Iterator<Item = Found<'_>> {
        let most = if self.first_only { 1 } else { usize::MAX };
        let now = self.all.iter().flat_map(move |name| name.found.iter().take(most).map(|at| (at, &name.endpoint)));
        now.chain(self.before.iter().flat_map(|before| before.found()))
    }

    /// Tells whether something is known of every name, if only that it cannot be found.
    pub(in crate::upstream) fn are_known(&self) -> bool {
        self.all.iter().all(|name| name.asked || !name.found.is_empty())
    }

    /// Lets go what was there before once everything is known.
    fn settle(&mut self) {
        if self.are_known() {
            self.before = None;
        }
    }

    /// Takes the answer to a question. Returns whether endpoints are other ones now, and when to ask again.
    fn take(&mut self, place: usize, answer: io::Result<Resolved>, directory: &Directory) -> (bool, Duration) {
        let Some(name) = self.all.get_mut(place) else { return (false, self.dns.refresh) };
        name.asked = true;
        match answer {
            Ok(Resolved { mut addresses, ttl }) => {
                if !self.first_only {
                    // name servers turn their answers round, which means nothing
                    addresses.sort_unstable();
                    addresses.dedup();
                }
                let ttl = ttl.filter(|_| self.dns.respect_ttl).map(|ttl| ttl.max(SHORTEST));
                let is_new = name.found(addresses, &directory.shared.usage.answers, self.first_only);
                name.tell(Ok(()), &directory.shared.name);
                (is_new, ttl.unwrap_or(self.dns.refresh))
            }
            Err(error) => {
                name.tell(Err(error), &directory.shared.name);
                (false, self.dns.refresh)
            }
        }
    }
}

/// Looks the names up until it is aborted, and puts every answer in force as it comes: nobody waits for a name whose
/// server is silent, but those for whom there is no other endpoint.
pub(super) async fn look_up(mut names: Names, directory: Arc<Directory>) {
    let (resolver, places) = (Arc::clone(&directory.context().resolver), Semaphore::new(AT_ONCE));
    let ask = |question| ask(question, &*resolver, &places);
    let hosts = names.all.iter().enumerate().filter_map(|(place, name)| Some((place, Arc::clone(name.host()?))));
    let mut asking: FuturesUnordered<_> =
        hosts.map(|(place, host)| ask(Question { place, host, after: None })).collect();
    while let Some(first) = asking.next().await {
        let (was_known, mut changed, mut next) = (names.are_known(), false, Some(first));
        // what has come meanwhile is put in force together
        while let Some((question, answer)) = next {
            let (is_new, wait) = names.take(question.place, answer, &directory);
            changed |= is_new;
            asking.push(ask(Question { after: Some(wait), ..question }));
            next = asking.next().now_or_never().flatten();
        }
        names.settle();
        let known = names.are_known();
        if changed || known != was_known {
            directory.replace(names.found(), known);
        }
    }
}

/// Which name to look up, and after which time.
struct Question {
    place: usize,
    host: Arc<str>,
    after: Option<Duration>,
}

async fn ask(question: Question, resolver: &dyn Resolver, places: &Semaphore) -> (Question, io::Result<Resolved>) {
    if let Some(wait) = question.after {
        sleep(wait).await;
    }
    let _place = places.acquire().await;
    let answer = timeout(LONGEST, resolver.resolve(Arc::clone(&question.host))).await;
    let answer = answer.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "there is no answer")));
    let answer = answer.and_then(|resolved| match resolved.addresses.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the answer has no address")),
        false => Ok(resolved),
    });
    (question, answer)
}

/// One configured endpoint and where it was last found.
#[derive(Debug)]
struct Name {
    endpoint: Endpoint,
    /// The host to look up, and the port there; none: the address is known.
    name: Option<(Arc<str>, u16)>,
    /// Where the last good answer says that it is, or the address that is known.
    found: Vec<SocketAddress>,
    /// Whether nobody has to wait for a first answer.
    asked: bool,
    /// Whether the last look-up failed.
    fails: bool,
}

impl Name {
    fn new(endpoint: &Endpoint, answers: &Answers) -> Self {
        let (name, found) = match &endpoint.address {
            Address::Socket(address) => (None, vec![address.clone()]),
            Address::Name { host, port } => {
                let found = lock(&answers.0).get(host.as_str()).map(|found| at_port(found, *port));
                (Some((host.as_str().into(), *port)), found.unwrap_or_default())
            }
            // a kind of address that is not known yet is never found
            _ => (None, Vec::new()),
        };
        Self { endpoint: endpoint.clone(), asked: name.is_none(), name, found, fails: false }
    }

    fn host(&self) -> Option<&Arc<str>> {
        self.name.as_ref().map(|(host, _)| host)
    }

    /// Takes a good answer. Returns whether endpoints are other ones now, of which a name may be `first_only`.
    fn found(&mut self, addresses: Vec<IpAddr>, answers: &Answers, first_only: bool) -> bool {
        let Some((host, port)) = &self.name else { return false };
        let found = at_port(&addresses, *port);
        let is_new = if first_only { found.first() != self.found.first() } else { found != self.found };
        if is_new {
            lock(&answers.0).insert(Arc::clone(host), addresses);
            self.found = found;
        }
        is_new
    }

    /// Tells in the log when look-ups begin to fail, and when they succeed again.
    fn tell(&mut self, outcome: io::Result<()>, cluster: &str) {
        let (failed, endpoint) = (self.fails, &self.endpoint.address);
        self.fails = outcome.is_err();
        match outcome {
            Err(error) if !failed => {
                tracing::warn!(cluster, %endpoint, %error, "cannot resolve; the last answer stays in force");
            }
            Ok(()) if failed => tracing::info!(cluster, %endpoint, "can be resolved again"),
            _ => {}
        }
    }
}

fn at_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddress> {
    addresses.iter().map(|ip| SocketAddr::new(*ip, port).into()).collect()
}

/// Names are not looked up more often than this, whatever their time to live.
const SHORTEST: Duration = Duration::from_secs(1);
/// A look-up is given up after this time, whatever the resolver does.
const LONGEST: Duration = Duration::from_secs(10);
/// So many names of a cluster are looked up at a time.
const AT_ONCE: usize = 64;
