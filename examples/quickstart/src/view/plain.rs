//! Lines on standard output.

use std::io::{self, Write};

use crate::monitor::{Row, Share};

pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

pub(crate) fn rows(rows: &[Row]) -> io::Result<()> {
    rows.iter().try_for_each(|row| line(&text(row)))
}

fn text(row: &Row) -> String {
    let shares = row
        .shares
        .iter()
        .map(|Share { version, seen, promised }| format!("{version} {seen:.1} % (weight {promised:.1} %)"));
    let mut text = format!(
        "{:<18} {:>6.0}/s  {}  p50 {:.2} ms  p99 {:.2} ms  errors {}",
        row.name,
        row.rate,
        shares.collect::<Vec<_>>().join("  "),
        row.p50.as_secs_f64() * 1e3,
        row.p99.as_secs_f64() * 1e3,
        row.errors,
    );
    if let Some(error) = &row.last_error {
        text += &format!(" (the last: {error})");
    }
    if !row.route.is_empty() {
        text += &format!("  route {}", row.route);
    }
    text
}
