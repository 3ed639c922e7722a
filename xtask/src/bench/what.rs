//! What can be measured: protocols, targets and loads, by the names that the recipe takes and prints.

use std::{fmt, str::FromStr};

use anyhow::{Context, Error, Result, bail};

use crate::peers::proxy::Routes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Dubbo,
    Thrift,
}

impl Protocol {
    pub(crate) const ALL: [Self; 2] = [Self::Dubbo, Self::Thrift];

    pub(crate) fn routes(self) -> Routes<'static> {
        match self {
            Self::Dubbo => Routes::Dubbo(&["org.example.EchoService"]),
            Self::Thrift => Routes::Thrift { methods: &["echo"], services: &[] },
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dubbo => "dubbo",
            Self::Thrift => "thrift",
        })
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|it| it.to_string() == name).with_context(|| format!("no protocol {name:?}"))
    }
}

/// What stands between generator and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing.
    Direct,
    /// Tokio's `copy_bidirectional`: what ratios are taken against.
    Relay,
    /// A relay that finds frames, routes and rewrites ids.
    Framed,
    /// Envoy's `tcp_proxy`, which looks at no frame: what bulk is held against.
    EnvoyTcp,
    /// Envoy's own filter for the protocol.
    Envoy,
    Ours,
    /// Ours, the cluster declared to work on several requests of a connection at a time; Thrift only.
    OursConcurrent,
}

impl Target {
    pub(crate) const ALL: [Self; 7] =
        [Self::Direct, Self::Relay, Self::Framed, Self::EnvoyTcp, Self::Envoy, Self::Ours, Self::OursConcurrent];

    /// Whether the target differs from another one for this protocol.
    pub(crate) fn applies(self, protocol: Protocol) -> bool {
        self != Self::OursConcurrent || protocol == Protocol::Thrift
    }

    /// Whether it is a proxy of the protocol, which ends TLS and gathers many clients.
    pub(crate) const fn is_proxy(self) -> bool {
        matches!(self, Self::Envoy | Self::Ours | Self::OursConcurrent)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Framed => "framed",
            Self::EnvoyTcp => "envoy-tcp",
            Self::Envoy => "envoy",
            Self::Ours => "ours",
            Self::OursConcurrent => "ours-concurrent",
        })
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|it| it.to_string() == name).with_context(|| format!("no target {name:?}"))
    }
}

/// A closed loop: connections x requests in flight on each x bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) size: usize,
}

impl Load {
    /// Requests in flight on all connections.
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    pub(crate) fn in_flight(self) -> f64 {
        (self.connections * self.depth) as f64
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.connections, self.depth, self.size)
    }
}

impl FromStr for Load {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split('x').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
        match numbers[..] {
            [connections, depth, size] => Ok(Self { connections, depth, size }),
            _ => bail!("a load is CONNECTIONSxDEPTHxBYTES, not {text:?}"),
        }
    }
}
