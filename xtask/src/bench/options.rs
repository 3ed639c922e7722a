//! What `cargo xtask bench` is asked to measure.

use std::{collections::BTreeSet, str::FromStr};

use anyhow::{Context, Error, Result, bail};

use super::what::{Load, Protocol, Target};

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) targets: Vec<Target>,
    pub(crate) loads: Vec<Load>,
    /// None: nothing is timed.
    pub(crate) rounds: usize,
    pub(crate) measure_ms: u64,
    /// Whether user instructions are counted by cachegrind as well.
    pub(crate) cachegrind: bool,
    /// Whether the loads are driven over TLS as well.
    pub(crate) tls: bool,
    /// Whether the memory of thousands of idle clients is measured as well.
    pub(crate) crowds: bool,
    /// Whether the tables are kept under `benches/results/`.
    pub(crate) keep: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            protocols: Protocol::ALL.to_vec(),
            targets: Target::ALL.to_vec(),
            loads: list("1x1x128,64x1x128,8x32x128,16x1x16384,8x1x65536")?,
            rounds: 5,
            measure_ms: 450,
            cachegrind: false,
            tls: false,
            crowds: false,
            keep: true,
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--protocols" => options.protocols = list(value()?)?,
                "--targets" => options.targets = list(value()?)?,
                "--loads" => options.loads = list(value()?)?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--ms" => options.measure_ms = value()?.parse()?,
                "--cachegrind" => options.cachegrind = true,
                "--tls" => options.tls = true,
                "--crowds" => options.crowds = true,
                "--no-keep" => options.keep = false,
                _ => bail!("bench has no option {name}"),
            }
        }
        Ok(options)
    }

    /// The targets that are proxies of a protocol.
    pub(crate) fn proxies(&self) -> Vec<Target> {
        self.targets.iter().copied().filter(|target| target.is_proxy()).collect()
    }

    /// The payload sizes of all loads: a server has one.
    pub(crate) fn sizes(&self) -> BTreeSet<usize> {
        self.loads.iter().map(|load| load.size).collect()
    }
}

fn list<T: FromStr<Err = Error>>(text: &str) -> Result<Vec<T>> {
    text.split(',').map(str::parse).collect()
}
