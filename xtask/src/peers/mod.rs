//! Other software on this machine: installed, started, bounded in time, and ended with the recipe.

pub(crate) mod admin;
pub(crate) mod certificates;
pub(crate) mod install;
pub(crate) mod mesh;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod redis;

/// Tells whether what this machine lacks fails a run, instead of being skipped with its reason.
pub(crate) fn are_required() -> bool {
    std::env::var("AERAKI_PEERS").is_ok_and(|value| value == "required")
}
