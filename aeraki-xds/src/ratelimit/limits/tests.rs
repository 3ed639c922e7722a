use super::*;
use crate::fixtures::fixtures;

fn parse(text: &str) -> Result<Limits, LimitsError> {
    Limits::parse([("limits.yaml", text)])
}

fn refusal(text: &str) -> String {
    parse(text).expect_err("is refused").to_string()
}

/// The requests per unit of what is found, if anything is.
fn rate(limits: &Limits, domain: &str, entries: &[(&str, &str)]) -> Option<u32> {
    let entries: Vec<_> =
        entries.iter().map(|(key, value)| Entry { key: (*key).to_owned(), value: (*value).to_owned() }).collect();
    limits.find(domain, &entries).and_then(|(limit, _)| limit.rate).map(|rate| rate.requests_per_unit)
}

#[test]
fn the_most_specific_descriptor_of_a_level_is_followed() {
    let limits = parse(
        "
domain: shop
descriptors:
  - key: user
    rate_limit: { unit: day, requests_per_unit: 1 }
  - key: user
    value: a*
    rate_limit: { unit: day, requests_per_unit: 2 }
  - key: user
    value: an*
    rate_limit: { unit: day, requests_per_unit: 3 }
  - key: user
    value: ann
    descriptors:
      - key: method
        rate_limit: { unit: day, requests_per_unit: 4 }
  - key: status
    value: 404
    rate_limit: { unit: SECOND, requests_per_unit: 5 }
",
    )
    .expect("is valid");
    let shop = |entries: &[_]| rate(&limits, "shop", entries);
    assert_eq!(shop(&[("user", "bob")]), Some(1));
    assert_eq!(shop(&[("user", "")]), Some(1));
    assert_eq!(shop(&[("user", "anna")]), Some(2), "the first pattern of the file");
    assert_eq!(shop(&[("user", "ann")]), None, "has no limit itself, and nothing else is looked at");
    assert_eq!(shop(&[("user", "ann"), ("method", "get")]), Some(4));
    assert_eq!(shop(&[("user", "bob"), ("method", "get")]), None, "more entries than levels");
    assert_eq!(shop(&[("status", "404")]), Some(5), "a number is a text where a text is expected");
    assert_eq!(shop(&[]), None);
    assert_eq!(rate(&limits, "other", &[("user", "bob")]), None);
}

#[test]
fn all_that_the_software_of_envoy_takes_is_taken() {
    let text = "
domain: everything
descriptors:
  - key: a
    value: files/*
    share_threshold: true
    value_to_metric: true
    detailed_metric: true
    metadata: { owner: { team: edge }, tags: [1, two] }
    rate_limit:
      name: files
      unit: week
      requests_per_unit: 10
      replaces: [{ name: other }]
  - key: b
    quota_mode: true
    shadow_mode: false
    rate_limit: { unlimited: true }
    descriptors:
  - key: c
    value:
    rate_limit:
";
    let limits = parse(text).expect("is valid");
    let entries = [Entry { key: "a".to_owned(), value: "files/x".to_owned() }];
    let (limit, counted) = limits.find("everything", &entries).expect("is limited");
    assert_eq!(counted, [("a", "files/*")], "all files share one counter");
    assert_eq!((limit.name.as_str(), limit.replaces.as_slice()), ("files", ["other".to_owned()].as_slice()));
    assert_eq!(limit.rate, Some(Rate { requests_per_unit: 10, unit: Unit::Week }));
    assert_eq!(rate(&limits, "everything", &[("c", "x")]), None);
    assert!(parse("domain: empty").expect("a domain without limits").has_domain("empty"));
}

#[test]
fn what_is_wrong_is_named_with_file_and_field() {
    let rule = |rule: &str| refusal(&format!("domain: d\ndescriptors:\n  - {{ {rule} }}\n"));
    let limit = |limit: &str| rule(&format!("key: k, rate_limit: {{ {limit} }}"));
    for (said, start) in [
        (refusal("descriptors: []"), "limits.yaml: missing field `domain`"),
        (refusal("domain: ''"), "limits.yaml: domain: must not be empty"),
        (
            refusal("domain: d\nlimit: 1"),
            "limits.yaml: limit: unknown field `limit`, expected one of domain, descriptors at line 2",
        ),
        (refusal("domain: [d"), "limits.yaml: "),
        (refusal("domain: d\n---\ndomain: e"), "limits.yaml: "),
        (rule("key: ''"), "limits.yaml: descriptors[0].key: must not be empty"),
        (rule("kee: k"), "limits.yaml: descriptors[0].kee: unknown field `kee`"),
        (
            rule("key: k, share_threshold: true, value: v"),
            "limits.yaml: descriptors[0].share_threshold: needs a value with a *",
        ),
        (limit("requests_per_unit: 1"), "limits.yaml: descriptors[0].rate_limit.unit: must be set, unless unlimited"),
        (limit("unit: day"), "limits.yaml: descriptors[0].rate_limit.requests_per_unit: must be set, unless unlimited"),
        (limit("unit: day, requests_per_unit: -1"), "limits.yaml: descriptors[0].rate_limit.requests_per_unit: "),
        (
            limit("unit: decade, requests_per_unit: 1"),
            "limits.yaml: descriptors[0].rate_limit.unit: unknown unit \"decade\"",
        ),
        (
            limit("unit: day, unlimited: true"),
            "limits.yaml: descriptors[0].rate_limit.unit: must not be set when unlimited",
        ),
        (
            limit("unlimited: true, replaces: [{ name: '' }]"),
            "limits.yaml: descriptors[0].rate_limit.replaces[0].name: must not be empty",
        ),
        (
            limit("unlimited: true, name: n, replaces: [{ name: n }]"),
            "limits.yaml: descriptors[0].rate_limit.replaces[0].name: must not be the name",
        ),
    ] {
        assert!(said.starts_with(start), "{said:?} should start with {start:?}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_domain_or_descriptor_that_is_there_already_is_refused() {
    let twice = |second: &str| {
        refusal(&format!(
            "domain: d\ndescriptors:\n  - key: a\n    descriptors: [{{ key: k, value: v }}, {second}]\n  - key: k\n"
        ))
    };
    assert_eq!(
        twice("{ key: k, value: v }"),
        "limits.yaml: descriptors[0].descriptors[1].key: \"k\" with value \"v\" is there already"
    );
    assert_eq!(
        twice("{ key: k }, { key: k }"),
        "limits.yaml: descriptors[0].descriptors[2].key: \"k\" with no value is there already"
    );
    assert_eq!(
        twice("{ key: k, value: v* }, { key: k, value: v* }"),
        "limits.yaml: descriptors[0].descriptors[2].key: \"k\" with value \"v*\" is there already"
    );
    let error = Limits::parse([("a.yaml", "domain: d"), ("b.yaml", "domain: d")]).expect_err("is refused");
    assert_eq!(error.to_string(), "b.yaml: domain: \"d\" is defined in another file already");
    assert_eq!((error.file(), error.field()), ("b.yaml", "domain"));
}

#[test]
fn a_folder_is_read_without_what_is_hidden() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("is written");
    let said = Limits::read([dir.path()]).expect_err("nothing is there").to_string();
    assert_eq!(said, format!("{}: holds no .yaml or .yml file", dir.path().display()));
    write("a.yaml", "domain: a");
    write("b.yml", "domain: b");
    write(".hidden.yaml", "not a domain");
    write("notes.txt", "not a domain");
    fs::create_dir(dir.path().join("folder.yaml")).expect("is made");
    let limits = Limits::read([dir.path()]).expect("is valid");
    assert!(limits.has_domain("a") && limits.has_domain("b"));
    assert_eq!(Limits::read([dir.path().join("a.yaml"), dir.path().join("b.yml")]), Ok(limits));
    let absent = dir.path().join("absent.yaml");
    let said = Limits::read([&absent]).expect_err("is absent").to_string();
    assert!(said.starts_with(&format!("{}: No such file", absent.display())), "{said}");
}

#[test]
fn a_config_map_holds_files() {
    let config_map =
        |data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: limits }}\ndata:\n{data}");
    let limits = parse(&config_map("  a.yaml: |\n    domain: a\n  b.yaml: |\n    domain: b\n")).expect("is valid");
    assert!(limits.has_domain("a") && limits.has_domain("b"));
    let said = refusal(&config_map("  a.yaml: |\n    domain: a\n    limits: []\n"));
    assert!(said.starts_with("limits.yaml: data[\"a.yaml\"]: limits: unknown field"), "{said}");
}

#[test]
fn configurations_of_upstream_load_unmodified() {
    let Some(folder) = fixtures("aeraki") else { return };
    for (demo, requests) in
        [("e2e-metaprotocol-dubbo", 5), ("demo-metaprotocol-dubbo", 10), ("demo-metaprotocol-thrift", 10)]
    {
        let file = folder.join(demo).join("rate-limit-config.yaml");
        let limits = Limits::read([file]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rate(&limits, "production", &[("method", "sayHello")]), Some(requests), "{demo}");
        assert_eq!(rate(&limits, "production", &[("method", "sayGoodbye")]), None);
    }
}
