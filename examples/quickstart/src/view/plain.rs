//! Lines on standard output.

#![expect(clippy::print_stdout, reason = "printing is what this module is for")]

use crate::monitor::Row;

pub(crate) fn line(text: &str) {
    println!("{text}");
}

pub(crate) fn rows(rows: &[Row]) {
    for row in rows {
        let shares: Vec<String> = row
            .shares
            .iter()
            .map(|share| format!("{} {:.1} % (weight {:.1} %)", share.version, share.seen, share.promised))
            .collect();
        println!(
            "{:<22} {:>6.0}/s  {}  p50 {:.2} ms  p99 {:.2} ms  errors {}{}",
            row.name,
            row.rate,
            shares.join("  "),
            row.p50.as_secs_f64() * 1e3,
            row.p99.as_secs_f64() * 1e3,
            row.errors,
            if row.route.is_empty() { String::new() } else { format!("  route {}", row.route) },
        );
    }
}
