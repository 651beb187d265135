//! What `kubectl get` shows, and what a fresh object says of itself.

use serde_json::{Value, json};

use outbound_operator::api::{DeliveryReason, DestinationReason};

use crate::support::ControlPlane;
use crate::support::control_plane::Namespace;
use crate::support::manifest::manifest;

/// Characters that a line of `kubectl get` may have: two terminals side by side show it unbroken.
const WIDTH: usize = 120;

const DESTINATION: &str = "\
bucket: acme-inbound
region: eu-west-1
bucketOwner: \"111122223333\"
permissionMode: CrossAccount";

fn delivery(destination: &str) -> String {
    format!("destinationRef: {{name: {destination}}}\nsource: {{volume: {{path: a.csv}}}}")
}

#[test]
fn a_name_has_at_most_63_characters() {
    let namespace = ControlPlane::shared().namespace("schema");
    let (fits, long) = ("n".repeat(63), "n".repeat(64));
    for (kind, spec) in [
        ("OutboundDestination", DESTINATION),
        ("OutboundDelivery", &delivery("acme")),
    ] {
        namespace.apply(&manifest(kind, &fits, spec, "")).ok();
        let refusal = namespace.apply(&manifest(kind, &long, spec, "")).refusal();
        assert!(
            refusal.contains("the name is at most 63 characters"),
            "{refusal}"
        );
    }
    let refusal = namespace
        .apply(&manifest("OutboundDelivery", "acme", &delivery(&long), ""))
        .refusal();
    assert!(refusal.contains("spec.destinationRef.name"), "{refusal}");
}

#[test]
fn a_fresh_object_is_not_taken_for_one_that_was_looked_at() {
    let namespace = ControlPlane::shared().namespace("schema");
    namespace
        .apply(&manifest("OutboundDestination", "acme", DESTINATION, ""))
        .ok();
    namespace
        .apply(&manifest("OutboundDelivery", "acme", &delivery("acme"), ""))
        .ok();
    for kind in ["obdest", "obdel"] {
        let object = namespace.get(kind, "acme").unwrap();
        assert_eq!(
            object["status"],
            json!({"observedGeneration": -1, "conditions": []}),
            "{object:#}"
        );
        assert_eq!(object["metadata"]["generation"], 1);
    }
}

/// Sets a status as the operator would.
fn set_status(namespace: &Namespace<'_>, kind: &str, name: &str, reason: &str, more: Value) {
    let mut status = more;
    status["observedGeneration"] = json!(1);
    status["conditions"] = json!([{
        "type": "Ready", "status": "Unknown", "observedGeneration": 1, "reason": reason,
        "message": "what was tried, what came back, who must do what ".repeat(10),
        "lastTransitionTime": "2026-11-24T00:00:00Z",
    }]);
    let patch = json!({"status": status}).to_string();
    namespace
        .kubectl(&[
            "patch",
            kind,
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])
        .ok();
}

fn longest<'a>(words: impl Iterator<Item = &'a str>) -> &'a str {
    words.max_by_key(|word| word.len()).unwrap()
}

/// One object of each kind with that name, and with the longest words that its columns can show.
fn with_longest_words(name: &str) -> Namespace<'static> {
    let namespace = ControlPlane::shared().namespace("schema");
    namespace
        .apply(&manifest("OutboundDestination", name, DESTINATION, ""))
        .ok();
    namespace
        .apply(&manifest("OutboundDelivery", name, &delivery(name), ""))
        .ok();
    let reason = longest(DestinationReason::ALL.iter().map(|reason| reason.as_str()));
    set_status(&namespace, "obdest", name, reason, json!({}));
    let reason = longest(DeliveryReason::ALL.iter().map(|reason| reason.as_str()));
    let counts = json!({
        "bytesTotal": 1, "bytesDone": 0, "percent": 100, "filesTotal": 10_000, "objectsTotal": 10_000, "objectsDone": 10_000,
    });
    set_status(
        &namespace,
        "obdel",
        name,
        reason,
        json!({"phase": "Finalizing", "progress": counts}),
    );
    namespace
}

/// The columns' names, after a look at the length of every line. An age is at its longest (`3d12h`, `100d`)
/// two characters longer than that of an object made just now.
fn columns(listing: &str) -> Vec<Vec<&str>> {
    for line in listing.lines() {
        assert!(line.trim_end().chars().count() + 2 <= WIDTH, "{line}");
    }
    let headers = listing.lines().filter(|line| line.starts_with("NAME"));
    headers
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[test]
fn a_listing_says_whether_how_far_and_why_not_within_120_characters() {
    let namespace = with_longest_words(&"n".repeat(63));
    let destinations = namespace.kubectl(&["get", "obdest"]).ok();
    assert_eq!(
        columns(&destinations),
        [["NAME", "MODE", "READY", "REASON", "AGE"]]
    );
    let deliveries = namespace.kubectl(&["get", "obdel"]).ok();
    assert_eq!(
        columns(&deliveries),
        [["NAME", "PHASE", "DONE%", "REASON", "AGE"]]
    );
    for word in ["Unknown", "CrossAccount", "SignatureDoesNotMatch"] {
        assert!(destinations.contains(word), "{destinations}");
    }
    for word in ["Finalizing", "100", "CompletionUnconfirmed"] {
        assert!(deliveries.contains(word), "{deliveries}");
    }
}

#[test]
fn a_listing_of_both_kinds_fits_too() {
    // kubectl writes the kind's whole name before each object's: 33 characters more.
    let namespace = with_longest_words(&"n".repeat(30));
    let expected = [
        ["NAME", "MODE", "READY", "REASON", "AGE"],
        ["NAME", "PHASE", "DONE%", "REASON", "AGE"],
    ];
    assert_eq!(
        columns(&namespace.kubectl(&["get", "obdest,obdel"]).ok()),
        expected
    );
    assert_eq!(
        columns(&namespace.kubectl(&["get", "outbound"]).ok()).len(),
        2
    );
}

#[test]
fn a_wide_listing_adds_what_was_tried_and_who_must_act() {
    let namespace = with_longest_words("acme");
    let destination = namespace.kubectl(&["get", "obdest", "-o", "wide"]).ok();
    for word in [
        "BUCKET",
        "PREFIX",
        "VERIFIED",
        "MESSAGE",
        "acme-inbound",
        "who must do what",
    ] {
        assert!(destination.contains(word), "{destination}");
    }
    let delivery = namespace.kubectl(&["get", "obdel", "-o", "wide"]).ok();
    for word in [
        "DESTINATION",
        "OBJECTS",
        "OF",
        "MESSAGE",
        "10000",
        "who must do what",
    ] {
        assert!(delivery.contains(word), "{delivery}");
    }
}
