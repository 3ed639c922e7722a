//! Upstream's own test configurations, unmodified.

use std::path::{Path, PathBuf};

use crate::run;

/// The folder of upstream's configurations, beside the repository; without it the test is skipped.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/meta-protocol-proxy");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("AERAKI_FIXTURES").as_deref() != Ok("required"), "{} is required", folder.display());
    eprintln!("skipped: {} is absent", folder.display());
    None
}

#[test]
fn those_of_known_protocols_are_valid() {
    let Some(folder) = folder() else { return };
    for (file, unenforced) in [
        ("dubbo/test.yaml", &["istio_stats"][..]),
        ("global-ratelimit/test.yaml", &[]),
        ("local-ratelimit/test-full-match-condition.yaml", &[]),
        ("local-ratelimit/test-no-global-bucket-no-matched-condition.yaml", &[]),
        ("local-ratelimit/test-only-global-token.yaml", &[]),
        ("rds/test.yaml", &[]),
        ("thrift/test.yaml", &[]),
    ] {
        let path = folder.join(file).display().to_string();
        let (code, said) = run(&["--mode", "validate", "--allow-unenforced", "-c", &path]);
        assert_eq!(code, Some(0), "{file}: {said}");
        let lines = |part: &str| said.lines().filter(|line| line.contains(part)).collect::<Vec<_>>();
        assert_eq!(lines("accepted, but has no effect").len(), 1, "{file}: {said}");
        let named = lines("NOT ENFORCED");
        assert_eq!(named.len(), usize::from(!unenforced.is_empty()), "{file}: {said}");
        for filter in unenforced {
            assert!(
                named[0].contains(&format!("aeraki.meta_protocol.filters.{filter}: NOT ENFORCED")),
                "{file}: {said}"
            );
        }
    }
}

#[test]
fn an_unknown_protocol_is_one_line() {
    let Some(folder) = folder() else { return };
    let path = folder.join("brpc/test.yaml").display().to_string();
    let (code, said) = run(&["--mode", "validate", "-c", &path]);
    let expected = format!(
        "aeraki-proxy: {path}: listener \"listener_meta_protocol\": filter_chains[0].filters.typed_config.protocol.codec: \
         there is no codec \"aeraki.meta_protocol.codec.brpc\"; known are: "
    );
    assert!(code == Some(1) && said.starts_with(&expected) && said.lines().count() == 1, "{said}");
}

#[test]
fn filters_that_are_not_enforced_are_taken_only_on_request() {
    let Some(folder) = folder() else { return };
    let path = folder.join("dubbo/test.yaml").display().to_string();
    for mode in ["validate", "serve"] {
        let (code, said) = run(&["-c", &path, "--mode", mode]);
        let last = said.lines().last().expect("a reason");
        assert!(code == Some(1) && last.starts_with(&format!("aeraki-proxy: {path}: listener ")), "{said}");
        assert!(last.ends_with("NOT ENFORCED; --allow-unenforced takes it all the same"), "{said}");
    }
}
