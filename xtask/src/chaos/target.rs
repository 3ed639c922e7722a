//! What is put through a storm, and what happens to it besides what servers do.

use anyhow::{Context, Result};

use super::links::{Links, Side};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Envoy,
    Ours,
    /// Ours, while its servers come and go and one process of it takes over from another.
    Changing,
    /// Ours, in TLS on both sides, while its certificates are replaced.
    Tls,
    /// Ours, while links to its servers are cut, which it finds out by what becomes of requests.
    Cut,
    /// Ours, while links to its servers are cut, which it asks whether they are well.
    CutChecked,
}

impl Target {
    pub(super) const ALL: [Self; 6] = [Self::Envoy, Self::Ours, Self::Changing, Self::Tls, Self::Cut, Self::CutChecked];

    pub(super) fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|target| target.name() == name);
        found.with_context(|| format!("no target is named {name:?}"))
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Ours => "ours",
            Self::Changing => "ours-changing",
            Self::Tls => "ours-tls",
            Self::Cut => "ours-cut",
            Self::CutChecked => "ours-cut-checked",
        }
    }

    /// Tells whether there are links to cut.
    pub(super) fn has_links(self) -> bool {
        matches!(self, Self::Cut | Self::CutChecked)
    }

    /// Lists what happens to the proxy, one after the other and again from the start, after every round of
    /// misbehaviour.
    pub(super) const fn changes(self) -> &'static [Change] {
        match self {
            Self::Envoy | Self::Ours => &[],
            Self::Changing => &[Change::LoseServer, Change::Process, Change::GainServer],
            Self::Tls => &[Change::Nothing, Change::Certificates],
            Self::Cut | Self::CutChecked => CUTS,
        }
    }
}

/// What becomes of a proxy that serves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Nothing,
    /// The first server is no longer one of its cluster.
    LoseServer,
    /// It is again.
    GainServer,
    /// Another process takes over.
    Process,
    Certificates,
    /// Links are cut at one side.
    Cut(&'static [usize], Side),
    Mend,
}

impl Change {
    /// Does to links what is to be done to them.
    pub(super) fn carry_out(self, links: &Links) -> Result<()> {
        match self {
            Self::Cut(cut, side) => cut.iter().try_for_each(|link| links.set(*link, side, false)),
            Self::Mend => links.mend(),
            _ => Ok(()),
        }
    }
}

/// A cut is longer than a route waits for an answer.
const CUTS: &[Change] = &[
    Change::Cut(&[0], Side::Servers),
    Change::Nothing,
    Change::Nothing,
    Change::Mend,
    Change::Nothing,
    Change::Cut(&[1], Side::Proxy),
    Change::Nothing,
    Change::Nothing,
    Change::Mend,
    Change::Cut(&[0, 1], Side::Servers),
    Change::Nothing,
    Change::Nothing,
    Change::Mend,
];
