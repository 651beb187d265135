//! What `kubectl apply` refuses, and with which words; what it takes; what the kinds look like.
//!
//! No operator runs here: all of this is the apiserver's doing, with the CRDs that a user installs. What the
//! commands say of a manifest without a cluster is held against the same tables.
#![allow(clippy::too_many_lines, reason = "a table is as long as its cases")]

mod crds;
mod delivery;
mod destination;
mod differential;
mod listing;

use outbound_operator::manifest;

use crate::support::ControlPlane;
use crate::support::manifest::manifest as written;

/// Applies one manifest for each case, all at once: each must be refused with the case's words.
fn refuses(kind: &str, base: &str, cases: &[(&str, &str)]) {
    let namespace = ControlPlane::shared().namespace("schema");
    let name = |number: usize| format!("case-{number}");
    let all: String = (0..cases.len())
        .map(|number| written(kind, &name(number), base, cases[number].0))
        .collect();
    let refusal = namespace.apply(&all).refusal();
    let offline = manifest::read("table", &all, None).expect_err("refused without a cluster too");
    let offline = offline.to_string();
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
        let about = format!("table, document {}, ", number + 1);
        let mut said = offline.lines().filter(|line| line.starts_with(&about));
        if !said.any(|line| line.contains(words)) {
            wrong.push(format!(
                "{change:?} is not refused with {words:?} without a cluster"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n\nall of it:\n{refusal}\n\nwithout a cluster:\n{offline}",
        wrong.join("\n")
    );
}

/// Applies one manifest for each case: each must be taken.
fn accepts(kind: &str, base: &str, cases: &[&str]) {
    let namespace = ControlPlane::shared().namespace("schema");
    let all: String = cases
        .iter()
        .enumerate()
        .map(|(number, change)| written(kind, &format!("case-{number}"), base, change))
        .collect();
    let read = manifest::read("table", &all, None).expect("taken without a cluster too");
    assert_eq!(read.destinations.len() + read.deliveries.len(), cases.len());
    let output = namespace.apply(&all).ok();
    assert_eq!(output.lines().count(), cases.len(), "{output}");
}

/// Applies one manifest that must be refused before its rules are looked at, and so without its name.
fn refused(text: &str) -> String {
    let offline = manifest::read("table", text, None).expect_err("refused without a cluster too");
    let offline = offline.to_string();
    let refusal = ControlPlane::shared()
        .namespace("schema")
        .apply(text)
        .refusal();
    let unknown = refusal.split("unknown field ").skip(1);
    for field in unknown.filter_map(|rest| rest.split('"').nth(1)) {
        let words = format!("{field}: unknown field {field:?}");
        assert!(offline.contains(&words), "{words}: {offline}");
    }
    refusal
}
