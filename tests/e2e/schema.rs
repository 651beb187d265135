//! What `kubectl apply` refuses, and with which words; what it takes; what the kinds look like.
//!
//! No operator runs here: all of this is the apiserver's doing, with the CRDs that a user installs.
#![allow(clippy::too_many_lines, reason = "a table is as long as its cases")]

mod crds;
mod delivery;
mod destination;
mod listing;

use crate::support::ControlPlane;
use crate::support::manifest::manifest;

/// Applies one manifest for each case, all at once: each must be refused with the case's words.
fn refuses(kind: &str, base: &str, cases: &[(&str, &str)]) {
    let namespace = ControlPlane::shared().namespace("schema");
    let name = |number: usize| format!("case-{number}");
    let all: String = (0..cases.len())
        .map(|number| manifest(kind, &name(number), base, cases[number].0))
        .collect();
    let refusal = namespace.apply(&all).refusal();
    let mut wrong = Vec::new();
    for (number, (change, words)) in cases.iter().enumerate() {
        let about = format!("{:?} is invalid", name(number));
        match refusal.lines().find(|line| line.contains(&about)) {
            None => wrong.push(format!("{change:?} is not refused")),
            Some(line) if !line.contains(words) => {
                wrong.push(format!("{change:?} is refused without {words:?}: {line}"))
            }
            Some(_) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n\nall of it:\n{refusal}",
        wrong.join("\n")
    );
}

/// Applies one manifest for each case: each must be taken.
fn accepts(kind: &str, base: &str, cases: &[&str]) {
    let namespace = ControlPlane::shared().namespace("schema");
    let all: String = cases
        .iter()
        .enumerate()
        .map(|(number, change)| manifest(kind, &format!("case-{number}"), base, change))
        .collect();
    let output = namespace.apply(&all).ok();
    assert_eq!(output.lines().count(), cases.len(), "{output}");
}

/// Applies one manifest that must be refused before its rules are looked at, and so without its name.
fn refused(manifest: &str) -> String {
    ControlPlane::shared()
        .namespace("schema")
        .apply(manifest)
        .refusal()
}
