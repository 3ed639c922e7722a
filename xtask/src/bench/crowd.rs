//! What thousands of clients cost that are connected and ask for nothing.

use std::fmt::Write;

use anyhow::Result;

use super::rig::{Crowd, Rig};

/// Measures every target of the rig once and renders the table.
pub(crate) fn table(rig: &Rig) -> Result<String> {
    let mut table = format!("\n## {}, {CLIENTS} clients, each quiet after one request\n\n{HEADER}\n", rig.protocol);
    for (target, crowd) in rig.crowds(CLIENTS)? {
        let Crowd { before_kib, after_kib, upstream_connections, errors } = crowd;
        let each = (after_kib - before_kib) / CLIENTS as f64;
        writeln!(
            table,
            "| {target} | {:.1} -> {:.1} MiB | {each:.1} KiB | {upstream_connections} | {errors} |",
            before_kib / 1024.0,
            after_kib / 1024.0,
        )?;
    }
    Ok(table)
}

const HEADER: &str = "| target | RSS | a client | upstream connections | errors |\n| --- | --- | --- | --- | --- |";
const CLIENTS: usize = 10_000;
/// Bytes of payload of the one request.
pub(crate) const SIZE: usize = 128;
