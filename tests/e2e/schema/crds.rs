//! The CRDs as a whole: generated, cheap to evaluate, and telling what applies. That each field is described and bounded
//! the types' own tests say.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::ControlPlane;
use crate::support::process::{Output, Scratch, unique};

/// The names of our CRDs.
const CRDS: [&str; 3] = [
    "outbounddestinations.outbound.dev",
    "outbounddeliveries.outbound.dev",
    "outboundledgers.outbound.dev",
];

fn program(arguments: &[&str]) -> String {
    Output::of(
        Command::new(env!("CARGO_BIN_EXE_outbound-operator")).args(arguments),
        None,
    )
    .ok()
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let mut files: Vec<_> = entries
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                read(&path),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn crds_in_the_repository_are_the_generated_ones() {
    let scratch = Scratch::new("crds");
    program(&["crds", "--output", scratch.path().to_str().unwrap()]);
    let repository = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds"));
    assert_eq!(repository.len(), CRDS.len());
    for (generated, kept) in files(scratch.path()).into_iter().zip(repository) {
        assert_eq!(
            generated, kept,
            "run `outbound-operator crds --output crds`"
        );
    }
}

#[test]
fn what_is_printed_is_what_is_written() {
    let printed = program(&["crds"]);
    for (name, text) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")) {
        let document = text.split_once('\n').unwrap().1;
        assert!(printed.contains(&format!("---\n{document}")), "{name}");
    }
    let dry_run = ["apply", "--dry-run=server", "-f", "-"];
    ControlPlane::shared().kubectl_with(&dry_run, &printed).ok();
}

/// The schema as the apiserver has it.
fn schema(name: &str) -> Value {
    let text = ControlPlane::shared()
        .kubectl(&["get", "crd", name, "-o", "json"])
        .ok();
    let crd: Value = serde_json::from_str(&text).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn an_optional_choice_says_what_applies_without_it() {
    for name in &CRDS[..2] {
        let root = schema(name);
        let spec = &root["properties"]["spec"]["properties"];
        let parts = [spec, &spec["split"]["properties"]];
        for (field, property) in parts.iter().filter_map(|part| part.as_object()).flatten() {
            if property.get("enum").is_some() && field != "permissionMode" {
                let description = property["description"].as_str().unwrap().to_lowercase();
                assert!(
                    description.contains("absent"),
                    "{name} {field}: {description}"
                );
            }
        }
    }
}

/// A ledger with a file of that size and those times.
fn ledger(name: &str, size: i64, (mtime, ctime): (i64, i64)) -> String {
    let ledger = json!({
        "apiVersion": "outbound.dev/v1alpha1",
        "kind": "OutboundLedger",
        "metadata": {"name": name},
        "spec": {
            "deliveryUid": "uid", "shard": 0, "shards": 1,
            "sources": [{"index": 0, "path": "a", "size": size, "mtimeNs": mtime, "ctimeNs": ctime}],
            "objects": [{"sequence": 1, "offset": size, "length": size, "bytes": size, "key": "a"}],
        },
    });
    ledger.to_string()
}

#[test]
fn the_apiserver_takes_what_lies_at_a_ledgers_bounds_and_nothing_beyond() {
    const FARTHEST: i64 = i64::MAX - 1023;
    const LARGEST: i64 = 10_000_000_000_000_000;
    let namespace = ControlPlane::shared().namespace("ledger");
    for (name, size, times) in [
        ("today", 1, (1_795_000_000_000_000_001, 0)),
        ("farthest", LARGEST, (-FARTHEST, FARTHEST)),
    ] {
        namespace.apply(&ledger(name, size, times)).ok();
    }
    for (size, times, field) in [
        (LARGEST + 1, (0, 0), "spec.sources[0].size"),
        (1, (i64::MAX, 0), "spec.sources[0].mtimeNs"),
        (1, (0, i64::MIN), "spec.sources[0].ctimeNs"),
    ] {
        let refusal = namespace.apply(&ledger("beyond", size, times)).refusal();
        assert!(refusal.contains(field), "{refusal}");
    }
}

/// Asks the apiserver whether it would take a CRD that holds up to `times` objects of ours in a map. Its
/// estimate of a rule's cost, and that of the sum, grow with the number: so two of them fit exactly when
/// one costs at most half of the budget. A map and not a list, as rules on `oldSelf` need keys.
fn costs(name: &str, times: u32) -> Output {
    let mut object = schema(name);
    object["x-kubernetes-embedded-resource"] = json!(true);
    let group = format!("{}.test", unique("cost"));
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("costs.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Cost", "plural": "costs"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {
                    "type": "object", "maxProperties": times, "additionalProperties": object,
                }},
            }}}],
        },
    });
    let dry_run = ["create", "--dry-run=server", "-f", "-"];
    ControlPlane::shared().kubectl_with(&dry_run, &crd.to_string())
}

#[test]
fn no_crd_costs_over_half_of_the_apiservers_budget() {
    for name in CRDS {
        costs(name, 2).ok();
    }
}

#[test]
fn the_look_at_the_cost_can_fail() {
    for name in &CRDS[..2] {
        let refusal = costs(name, 1_000_000).refusal();
        assert!(
            refusal.contains("estimated rule cost exceeds budget"),
            "{refusal}"
        );
        assert!(
            refusal.contains("total") || refusal.contains("contributed to estimated"),
            "{refusal}"
        );
    }
}
