//! What a request costs in our proxy, beside a bare relay and stock Envoy, in one interleaved run.
//!
//! Generator and server share one core, the proxies the other; only one proxy has traffic at a time. Rounds go A B C, C
//! B A. Ratios are taken within a round, and the median of them is reported.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use self::{options::Options, rig::Rig, tls::Tls};
use crate::peers::install::workspace;

mod count;
mod crowd;
mod options;
mod rig;
mod sample;
mod table;
mod tls;
mod what;

/// Measures what `arguments` ask for, prints the tables and keeps them under `benches/results/`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let mut document = heading(&options)?;
    println!("{document}");
    let mut errors = 0.0;
    for &protocol in &options.protocols {
        for size in options.sizes() {
            let timed: &[_] = if options.rounds > 0 { &options.targets } else { &[] };
            errors += loads(&Rig::start(protocol, size, timed, None)?, size, &options, &mut document)?;
            if options.tls && options.rounds > 0 {
                let rig = Rig::start(protocol, size, &options.proxies(), Some(Tls::new()?))?;
                errors += loads(&rig, size, &options, &mut document)?;
            }
        }
        if options.crowds {
            let rig = Rig::start(protocol, crowd::SIZE, &options.proxies(), None)?;
            show(&mut document, &crowd::table(&rig)?);
        }
    }
    keep(&document, &options)?;
    ensure!(errors == 0.0, "{errors} requests failed: the rows with errors are void");
    Ok(())
}

/// Measures all loads of a size, and returns how many requests failed.
fn loads(rig: &Rig, size: usize, options: &Options, document: &mut String) -> Result<f64> {
    let mut errors = 0.0;
    for &load in options.loads.iter().filter(|load| load.size == size) {
        if options.rounds > 0 {
            let table = rig.measure(load, options)?;
            errors += table.errors();
            show(document, &table.to_string());
        }
        if options.cachegrind && !rig.is_secured() {
            show(document, &count::table(rig, load, &options.targets)?);
        }
    }
    Ok(errors)
}

fn show(document: &mut String, table: &str) {
    println!("{table}");
    document.push_str(table);
}

fn heading(options: &Options) -> Result<String> {
    let rounds = format!("{} rounds of {} ms", options.rounds, options.measure_ms);
    let machine = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = machine.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = machine.matches("model name").count();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    Ok(format!(
        "# Whole proxy, {} at {}\n\n{rounds}; {cores} x {model}; one worker in every proxy\n",
        output("date", &["-u", "+%F"])?,
        output("git", &["rev-parse", "--short", "HEAD"])?,
    ))
}

fn keep(document: &str, options: &Options) -> Result<()> {
    if !options.keep {
        return Ok(());
    }
    let name = format!("{}-{}.md", output("date", &["-u", "+%F"])?, output("git", &["rev-parse", "--short", "HEAD"])?);
    let folder = workspace().join("benches/results");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(&name), document)?;
    println!("kept as benches/results/{name}");
    Ok(())
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(workspace()).output()?;
    ensure!(output.status.success(), "{program} failed");
    Ok(String::from_utf8(output.stdout).context("output is text")?.trim().to_owned())
}
