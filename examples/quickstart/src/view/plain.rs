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
    let seen = if row.answers == 0 {
        "no answers".to_owned()
    } else {
        let [p50, p99] = [row.p50, row.p99].map(|latency| latency.as_secs_f64() * 1e3);
        format!("{}  p50 {p50:.2} ms  p99 {p99:.2} ms", shares.collect::<Vec<_>>().join("  "))
    };
    let mut text = format!("{:<18} {:>6.0}/s  {seen}  errors {}", row.name, row.rate, row.errors);
    if let Some(error) = &row.last_error {
        text += &format!(" (the last: {error})");
    }
    if !row.route.is_empty() {
        text += &format!("  route {}", row.route);
    }
    text
}
