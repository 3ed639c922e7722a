//! What happens to a message whose route is known.

use std::{collections::HashSet, sync::Arc, time::Duration};

use aeraki_codec::{Attributes, Mutation};
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use xxhash_rust::xxh64::Xxh64;

use crate::config::{self, Destination, Mirror, MutationEntry, MutationValue};

/// A compiled route: everything about it that does not depend on how it was found.
#[derive(Debug)]
pub struct Route {
    index: usize,
    name: Arc<str>,
    clusters: Clusters,
    hash_policy: Box<[Box<str>]>,
    mirrors: Box<[Mirror]>,
    request_mutation: Arc<Mutation>,
    response_mutation: Arc<Mutation>,
    timeout: Option<Duration>,
}

#[derive(Debug)]
enum Clusters {
    One(Arc<str>),
    /// Each with the end of its interval; the intervals are consecutive from 0, in the order of the configuration.
    Weighted(Box<[(u32, Arc<str>)]>),
}

impl Route {
    /// Returns the position of the route in its configuration.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns the name of the route; may be empty.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Picks a cluster in proportion to the weights; `draw` is a uniformly random number, drawn once per message.
    #[inline]
    pub fn pick(&self, draw: u64) -> &Arc<str> {
        match &self.clusters {
            Clusters::One(name) => name,
            Clusters::Weighted(shares) => {
                let total = shares.last().map_or(1, |(end, _)| u64::from(*end));
                let point = draw % total;
                let position = shares.partition_point(|(end, _)| u64::from(*end) <= point);
                &shares[position].1
            }
        }
    }

    /// Lists the clusters that [`pick`](Self::pick) chooses from, each with its weight.
    pub fn clusters(&self) -> impl Iterator<Item = (&Arc<str>, u32)> {
        let (one, weighted) = match &self.clusters {
            Clusters::One(name) => (Some((name, 1)), &[][..]),
            Clusters::Weighted(shares) => (None, &shares[..]),
        };
        let mut start = 0;
        one.into_iter().chain(weighted.iter().map(move |(end, name)| (name, end - std::mem::replace(&mut start, *end))))
    }

    /// Hashes the values of the hash policy's keys; `None` if the route has no policy or the message none of its keys.
    ///
    /// The order of the keys does not matter: the values are sorted bytewise, and XXH64 with seed 0 runs over the length
    /// (64 bits, little endian) and the bytes of each. Upstream hashes the values without their lengths, so that `"ab"`
    /// and `"c"` equal `"a"` and `"bc"` there; hashes therefore differ from upstream's.
    pub fn hash<A: Attributes + ?Sized>(&self, attributes: &A) -> Option<u64> {
        let mut values: SmallVec<[&[u8]; 8]> = self.hash_policy.iter().filter_map(|key| attributes.attr(key)).collect();
        if values.is_empty() {
            return None;
        }
        values.sort_unstable();
        let mut hasher = Xxh64::new(0);
        for value in values {
            hasher.update(&(value.len() as u64).to_le_bytes());
            hasher.update(value);
        }
        Some(hasher.digest())
    }

    /// Lists the keys of the hash policy.
    pub fn hash_keys(&self) -> impl Iterator<Item = &str> {
        self.hash_policy.iter().map(|key| &**key)
    }

    /// Returns the clusters that get a copy, each drawn for on its own.
    pub fn mirrors(&self) -> &[Mirror] {
        &self.mirrors
    }

    /// Returns the changes of the request, ready to be attached to it.
    pub fn request_mutation(&self) -> &Arc<Mutation> {
        &self.request_mutation
    }

    /// Returns the changes of the response, ready to be attached to it.
    pub fn response_mutation(&self) -> &Arc<Mutation> {
        &self.response_mutation
    }

    /// Returns how long a response may take from the moment the whole request is here; `None`: no limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// Compiles the routes of one table, which share names and empty mutations.
#[derive(Default)]
pub(crate) struct ActionCompiler {
    names: HashSet<Arc<str>, RandomState>,
    unchanged: Arc<Mutation>,
}

impl ActionCompiler {
    /// Compiles the route at `index`, which has been validated.
    pub(crate) fn compile(&mut self, index: usize, route: &config::Route) -> Route {
        Route {
            index,
            name: route.name.as_str().into(),
            clusters: self.clusters(&route.action.destination),
            hash_policy: route.action.hash_policy.iter().map(|key| key.as_str().into()).collect(),
            mirrors: route.action.mirrors.as_slice().into(),
            request_mutation: self.mutation(&route.request_mutation),
            response_mutation: self.mutation(&route.response_mutation),
            timeout: route.action.timeout,
        }
    }

    fn clusters(&mut self, destination: &Destination) -> Clusters {
        match destination {
            Destination::Cluster(name) => Clusters::One(self.name(name)),
            Destination::Weighted(clusters) => {
                let mut end = 0;
                let shares = clusters.iter().filter(|cluster| cluster.weight > 0).map(|cluster| {
                    end += cluster.weight;
                    (end, self.name(&cluster.name))
                });
                Clusters::Weighted(shares.collect())
            }
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    fn mutation(&self, entries: &[MutationEntry]) -> Arc<Mutation> {
        if entries.is_empty() {
            return Arc::clone(&self.unchanged);
        }
        let mut mutation = Mutation::new();
        for entry in entries {
            match entry {
                MutationEntry::Set { key, value: MutationValue::Text(value) } => mutation.set(key.clone(), value.clone()),
                MutationEntry::Remove { key } => mutation.remove(key.clone()),
                _ => continue,
            };
        }
        Arc::new(mutation)
    }
}
