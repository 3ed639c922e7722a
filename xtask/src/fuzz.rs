//! `cargo xtask fuzz-smoke`: every fuzz target for a moment.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::peers::install::workspace;

/// Runs every fuzz target for a few seconds where cargo-fuzz and a nightly compiler are installed; otherwise replays
/// the corpora with the compiler that is there.
pub(crate) fn run() -> Result<()> {
    let codec = workspace().join("aeraki-codec");
    let mut probe = Command::new("cargo");
    probe.args(["+nightly", "fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("cargo-fuzz or a nightly compiler is not installed: the corpora are replayed instead");
        return command(Command::new("cargo").args([
            "test",
            "-p",
            "aeraki-codec",
            "--test",
            "dubbo",
            "--test",
            "thrift",
        ]));
    }
    for entry in codec.join("fuzz/fuzz_targets").read_dir()? {
        let file = entry?.path();
        let target = file.file_stem().and_then(|name| name.to_str()).context("a name in UTF-8")?;
        let limit = format!("-max_total_time={SECONDS}");
        command(Command::new("cargo").current_dir(&codec).args(["+nightly", "fuzz", "run", target, "--", &limit]))?;
    }
    Ok(())
}

fn command(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

const SECONDS: u32 = 10;
