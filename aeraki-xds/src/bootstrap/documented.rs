//! Keeps `docs/clusters.md`, `docs/connections.md`, `docs/control-plane.md` and `docs/listeners.md` true: what they
//! show is read, and their tables know every field.

use std::collections::BTreeMap;

use super::*;

const TEXT: &str = include_str!("../../../docs/clusters.md");
const LISTENERS: &str = include_str!("../../../docs/listeners.md");

/// Returns the YAML blocks of a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").expect("a block ends").0).collect()
}

#[test]
fn every_documented_cluster_is_read_in_full() {
    let blocks = blocks(TEXT);
    for block in &blocks {
        let cluster: String = block.lines().map(|line| format!("    {line}\n")).collect();
        let yaml = format!("static_resources:\n  clusters:\n  -\n{cluster}");
        let read = Bootstrap::from_yaml(&yaml).unwrap_or_else(|error| panic!("{error}\n{block}"));
        assert_eq!(read.warnings, [], "{block}");
    }
    assert_eq!(blocks.len(), 14);
}

#[test]
fn every_documented_bootstrap_is_read_in_full() {
    let (connections, control_plane) =
        (include_str!("../../../docs/connections.md"), include_str!("../../../docs/control-plane.md"));
    for (page, count) in [(connections, 5), (control_plane, 1), (LISTENERS, 3)] {
        let blocks = blocks(page);
        for block in &blocks {
            let read = Bootstrap::from_yaml(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
            assert_eq!(read.warnings, [], "{block}");
        }
        assert_eq!(blocks.len(), count);
    }
}

#[test]
fn every_field_is_documented_and_what_has_no_effect_is_said_to_have_none() {
    let tables: Vec<_> = [TEXT, LISTENERS].iter().flat_map(|page| page.split("\n### `").skip(1)).collect();
    for table in &tables {
        let (message, rest) = table.split_once('`').expect("a name ends");
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let said: BTreeMap<&str, &str> =
            rows.map(|(field, rest)| (field, rest.split(" |").next().unwrap_or_default())).collect();
        let descriptor = json::descriptor(message).unwrap_or_else(|| panic!("{message} is unknown"));
        let fields: Vec<_> = descriptor.fields().collect();
        for field in &fields {
            let effect = said.get(field.name()).unwrap_or_else(|| panic!("{} is not documented", field.full_name()));
            let none = matches!(used::of(field), json::Use::None);
            assert_eq!(*effect == "no effect", none, "{}: {effect}", field.full_name());
            assert!(["honoured", "refused", "no effect"].contains(effect), "{}: {effect}", field.full_name());
        }
        assert_eq!(said.len(), fields.len(), "{message} has no such field");
    }
    assert_eq!(tables.len(), 30);
}
