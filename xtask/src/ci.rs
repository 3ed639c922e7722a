//! `cargo xtask ci`: the script that continuous integration runs.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::peers::install::workspace;

/// Runs `.ci/run`.
pub(crate) fn run() -> Result<()> {
    let status = Command::new("bash").arg(workspace().join(".ci/run")).status().context("bash")?;
    ensure!(status.success(), ".ci/run: {status}");
    Ok(())
}
