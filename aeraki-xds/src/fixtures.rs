//! Configurations of upstream, beside the repository.

use std::path::{Path, PathBuf};

/// Finds a folder of them; without it a test is skipped, or fails where `AERAKI_FIXTURES=required`.
pub(crate) fn fixtures(of: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures").join(of);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("AERAKI_FIXTURES").as_deref() != Ok("required"), "{} is required", folder.display());
    eprintln!("skipped: {} is absent", folder.display());
    None
}
