//! Which of several clusters takes a message or a connection, and which endpoint of it.

use std::{net::IpAddr, sync::Arc};

use aeraki_codec::Attributes;

use crate::{
    config::{Destination, RouteAction},
    placement::{Placement, Placements},
};

/// Where the messages of a route go, or the connections that are passed on as they are.
#[derive(Debug)]
pub struct Targets {
    clusters: Clusters,
    placements: Option<Box<Placements>>,
}

#[derive(Debug)]
enum Clusters {
    One(Arc<str>),
    /// Each with the end of its interval; the intervals are consecutive from 0, in the order of the configuration.
    Weighted(Box<[(u32, Arc<str>)]>),
}

impl Targets {
    /// Compiles the destination of a [valid](crate::config::RouteConfig::validate) action and how it places what it
    /// gets.
    pub fn new(action: &RouteAction) -> Self {
        Self::with_names(action, |name| name.into())
    }

    /// As [`new`](Self::new), with the names of clusters as `name` makes them.
    pub(crate) fn with_names(action: &RouteAction, mut name: impl FnMut(&str) -> Arc<str>) -> Self {
        let clusters = match &action.destination {
            Destination::Cluster(cluster) => Clusters::One(name(cluster)),
            Destination::Weighted(clusters) => {
                let mut end = 0;
                let shares = clusters.iter().filter(|cluster| cluster.weight > 0).map(|cluster| {
                    end += cluster.weight;
                    (end, name(&cluster.name))
                });
                Clusters::Weighted(shares.collect())
            }
        };
        Self { clusters, placements: Placements::compile(action) }
    }

    /// Picks a cluster in proportion to the weights; `draw` is a uniformly random number.
    #[inline]
    pub fn pick(&self, draw: u64) -> &Arc<str> {
        match &self.clusters {
            Clusters::One(name) => name,
            Clusters::Weighted(shares) => &shares[position(shares, draw)].1,
        }
    }

    /// Tells which endpoint of the cluster that was [picked](Self::pick) by `draw` is wanted for what has these
    /// attributes and comes from `source`; none, the usual case: it does not matter.
    #[inline]
    pub fn place<A: Attributes + ?Sized>(&self, attributes: &A, source: IpAddr, draw: u64) -> Option<Placement> {
        let placements = self.placements.as_ref()?;
        let cluster = match &self.clusters {
            Clusters::One(_) => 0,
            Clusters::Weighted(shares) => position(shares, draw),
        };
        Some(placements.of(attributes, source, cluster))
    }

    /// Lists the clusters, each with its weight.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = (&Arc<str>, u32)> {
        let (one, weighted) = match &self.clusters {
            Clusters::One(name) => (Some((name, 1)), &[][..]),
            Clusters::Weighted(shares) => (None, &shares[..]),
        };
        let mut start = 0;
        one.into_iter().chain(weighted.iter().map(move |(end, name)| (name, end - std::mem::replace(&mut start, *end))))
    }

    /// Lists the attributes that are looked at.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.placements.iter().flat_map(|placements| placements.keys())
    }
}

fn position(shares: &[(u32, Arc<str>)], draw: u64) -> usize {
    let total = shares.last().map_or(1, |(end, _)| u64::from(*end));
    let point = draw % total;
    shares.partition_point(|(end, _)| u64::from(*end) <= point)
}
