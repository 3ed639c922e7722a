//! The ways from a client to a server: directly, through Envoy, through our proxy.

use std::{fmt, process::Command, str::FromStr};

use anyhow::{Context, Error, Result};

use crate::peers::{
    process::{Process, free_port},
    proxy::{Config, Routes, Software},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Direct,
    Envoy,
    Ours,
}

impl Target {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Envoy, Self::Ours];

    fn software(self) -> Option<Software> {
        match self {
            Self::Direct => None,
            Self::Envoy => Some(Software::Envoy),
            Self::Ours => Some(Software::Ours),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Envoy => "envoy",
            Self::Ours => "ours",
        })
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|target| target.to_string() == name).with_context(|| format!("no target {name:?}"))
    }
}

/// One way, open until it is dropped: a listening port for each backend.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) target: Target,
    pub(crate) ports: Vec<u16>,
    _proxy: Option<Process>,
}

impl Way {
    /// Opens the ways of all `targets` to `backends`, ports of 127.0.0.1.
    pub(crate) fn open_all(name: &str, targets: &[Target], routes: Routes<'_>, backends: &[u16]) -> Result<Vec<Self>> {
        targets.iter().map(|&target| Self::open(name, target, routes, backends)).collect()
    }

    fn open(name: &str, target: Target, routes: Routes<'_>, backends: &[u16]) -> Result<Self> {
        let Some(software) = target.software() else {
            return Ok(Self { target, ports: backends.to_vec(), _proxy: None });
        };
        let servers = backends.chunks(1);
        let listeners = servers.map(|server| Ok((free_port()?, server))).collect::<Result<Vec<_>>>()?;
        let config = Config {
            software,
            routes,
            listeners: &listeners,
            concurrent: false,
            rate_limit: None,
            fails_on_request: true,
        };
        let proxy = config.start(&format!("{name}-{target}"), Command::new(software.binary("dev")?))?;
        Ok(Self { target, ports: listeners.iter().map(|(port, _)| *port).collect(), _proxy: Some(proxy) })
    }
}
