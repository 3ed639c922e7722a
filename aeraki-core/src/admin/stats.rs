//! Which numbers somebody asks for.

use regex_automata::meta::{Config, Regex};

use super::query::Query;
use crate::observe::Samples;

/// Keeps the numbers that match `filter` anywhere in their dotted name and, with `usedonly`, are not zero.
pub(super) fn wanted(mut samples: Samples, query: &Query) -> Result<Samples, String> {
    let filter = query.get("filter").map(compile).transpose()?;
    let used_only = query.get("usedonly").is_some();
    if filter.is_some() || used_only {
        samples.retain(|name, value| {
            filter.as_ref().is_none_or(|filter| filter.is_match(name)) && !(used_only && value.is_zero())
        });
    }
    Ok(samples)
}

/// Compiles an expression that cannot take long: a worker waits for it.
fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > LONGEST {
        return Err(format!("filter: must not exceed {LONGEST} bytes"));
    }
    let config = Config::new()
        .nfa_size_limit(Some(PROGRAM_BYTES))
        .onepass_size_limit(Some(PROGRAM_BYTES))
        .hybrid_cache_capacity(CACHE_BYTES);
    Regex::builder().configure(config).build(pattern).map_err(|error| match error.syntax_error() {
        Some(error) => format!("filter: {error}"),
        None => format!("filter: takes more than {PROGRAM_BYTES} bytes when compiled"),
    })
}

/// Bytes that an expression may have.
const LONGEST: usize = 256;
/// Bytes that a compiled expression may take.
const PROGRAM_BYTES: usize = 1 << 16;
/// Bytes that looking may take.
const CACHE_BYTES: usize = 1 << 20;
