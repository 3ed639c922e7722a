//! Recipes of this repository, run as `cargo xtask NAME`.

#![expect(clippy::print_stdout, reason = "a recipe reports on standard output")]

mod bench;
mod chaos;
mod ci;
mod fuzz;
mod instructions;
mod interop;
mod peers;
mod proto;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (recipe, rest) = arguments.split_first().map_or(("help", [].as_slice()), |(name, rest)| (name.as_str(), rest));
    match recipe {
        "bench" => bench::run(rest),
        "chaos" => chaos::run(rest),
        "ci" => ci::run(),
        "fuzz-smoke" => fuzz::run(),
        "instructions" => instructions::run(rest),
        "interop" => interop::run(rest),
        "proto" => proto::run(rest),
        "help" => {
            println!("{HELP}");
            Ok(())
        }
        unknown => bail!("no recipe {unknown:?}\n{HELP}"),
    }
}

const HELP: &str = "\
cargo xtask RECIPE

  proto [--check]   generate aeraki-xds/src/proto (--check: only compare with what is committed)
  ci                everything that must hold before a change lands: the script .ci/run
  fuzz-smoke        every fuzz target for a moment; without cargo-fuzz and a nightly, their corpora
  instructions [--bless]
                    what codecs, route tables and the stack cost, counted; fails at 3 % more than is committed
  interop [SUITE...] [--targets direct,envoy,ours]
                    real clients and servers through the proxy, beside stock Envoy
  chaos [--seconds N] [--protocols dubbo,thrift]
        [--targets envoy,ours,ours-changing,ours-tls,ours-cut,ours-cut-checked]
                    servers that misbehave under load: every request has one end, and nobody gets another's answer
  bench [--protocols dubbo,thrift] [--targets direct,relay,framed,envoy-tcp,envoy,ours,ours-concurrent]
        [--loads 64x1x128,...] [--rounds N] [--ms N] [--cachegrind] [--tls] [--crowds] [--no-keep]
                    what a request costs, and an idle client; tables kept under benches/results/";
