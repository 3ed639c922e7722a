//! Real clients and servers through the proxy, beside the same calls without it and through Envoy.
//!
//! A peer that cannot be had is skipped with its reason, or fails the run where `AERAKI_PEERS=required`.

use anyhow::{Result, bail, ensure};

use self::{report::Report, way::Target};
use crate::peers::are_required;

pub(crate) mod backend;
mod balance;
mod dubbo;
mod envoy;
pub(crate) mod frames;
mod goodbye;
mod ratelimit;
mod redirect;
mod report;
mod thrift;
mod tls;
mod way;

/// Runs the suites named in `arguments`, or all of them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Options { suites, targets } = Options::parse(arguments)?;
    let mut report = Report::new(are_required());
    for (name, suite) in suites {
        report.begin(name);
        if let Err(error) = suite(&mut report, &targets) {
            report.abort(&error);
        }
    }
    report.finish()
}

type Suite = fn(&mut Report, &[Target]) -> Result<()>;

struct Options {
    suites: Vec<(&'static str, Suite)>,
    targets: Vec<Target>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { suites: Vec::new(), targets: Target::ALL.to_vec() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--targets" => options.targets = parse_targets(arguments.next())?,
                "all" => options.suites.extend(SUITES),
                name => match SUITES.iter().find(|suite| suite.0 == name) {
                    Some(suite) => options.suites.push(*suite),
                    None => bail!("no suite is named {name:?}"),
                },
            }
        }
        if options.suites.is_empty() {
            options.suites.extend(SUITES);
        }
        Ok(options)
    }
}

fn parse_targets(list: Option<&String>) -> Result<Vec<Target>> {
    let names = list.map_or("", String::as_str).split(',');
    let targets = names.map(str::parse).collect::<Result<Vec<_>>>()?;
    ensure!(targets.contains(&Target::Direct), "--targets needs `direct`: the other rows are compared with it");
    Ok(targets)
}

const SUITES: &[(&str, Suite)] = &[
    ("envoy", envoy::run),
    ("dubbo", dubbo::run),
    ("thrift", thrift::run),
    ("ratelimit", ratelimit::run),
    ("tls", tls::run),
    ("goodbye", goodbye::run),
    ("balance", balance::run),
    ("redirect", redirect::run),
];
