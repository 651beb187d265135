//! The log: whose each line is, what never stands in one, and how seldom there is one.

use serde_json::Value;

use super::{DELIVERY, DESTINATION, PART, deliver, lines, reaches, world};
use crate::support::World;
use crate::support::proxy::{At, Deed, Fault, Kind, Refusal};
use crate::support::wait::until;

/// Lines of these modules are about one object.
const ABOUT_AN_OBJECT: [&str; 3] = [
    "outbound_operator::controllers::delivery",
    "outbound_operator::controllers::destination",
    "outbound_operator::transfer",
];

fn entries(world: &World) -> Vec<Value> {
    let log = world.operator.log();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(parse).collect()
}

fn is_about_an_object(entry: &Value) -> bool {
    let target = entry["target"].as_str().unwrap_or_default();
    ABOUT_AN_OBJECT
        .iter()
        .any(|module| target.starts_with(module))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_names_its_object_and_a_steady_one_has_none() {
    let fault = |kind| Fault {
        at: At {
            kind,
            n: 1,
            times: 1,
        },
        deed: Deed::Answer(503),
    };
    let faults = vec![fault(Kind::MiddlePart), fault(Kind::LastPart)];
    let (world, _proxy) = world("logs", (3, faults), |config| {
        config.with("log.format", "Json")
    })
    .await;
    world.file("2.csv", lines(2 * PART + 1));
    world.cross_account_destination("acme", "").await;
    deliver(&world, "logged", "2.csv");
    world
        .condition(DELIVERY, "logged", "Complete", "True")
        .await;
    until("the end is logged", || {
        world.operator.log().contains("\"reason\":\"Delivered\"")
    })
    .await;

    let entries = entries(&world);
    let about: Vec<&Value> = entries
        .iter()
        .filter(|entry| is_about_an_object(entry))
        .collect();
    for entry in &about {
        assert_eq!(entry["namespace"], world.namespace.name(), "{entry}");
        assert_eq!(entry["generation"], 1, "{entry}");
        let of = (entry["kind"].as_str(), entry["name"].as_str());
        let known = [
            (Some("OutboundDelivery"), Some("logged")),
            (Some("OutboundDestination"), Some("acme")),
        ];
        assert!(known.contains(&of), "{entry}");
        // A field that is there twice is no JSON that everybody reads alike.
        for field in [
            "kind",
            "namespace",
            "name",
            "generation",
            "message",
            "target",
        ] {
            let log = world.operator.log();
            let quoted = format!("\"{field}\":");
            assert!(
                log.lines().all(|line| line.matches(&quoted).count() <= 1),
                "{field}"
            );
        }
    }
    let retried = about
        .iter()
        .filter(|entry| entry["message"] == "trying again")
        .count();
    assert_eq!(
        retried,
        2,
        "also what a part's own task says: {}",
        world.operator.log()
    );
    let of = |kind: &str| {
        about
            .iter()
            .any(|entry| entry["kind"] == kind && entry["level"] == "INFO")
    };
    assert!(of("OutboundDelivery") && of("OutboundDestination"));

    // The same again: proofs and looks that find nothing new.
    let told = |world: &World| {
        let all = self::entries(world);
        let info = all.into_iter().filter(|entry| entry["level"] != "DEBUG");
        info.map(|entry| entry.to_string()).collect::<Vec<_>>()
    };
    let before = told(&world);
    let proofs = "outbound_destination_verifications_total{reason=\"Verified\"}";
    for round in ["one", "two"] {
        let so_far = world.operator.metric(proofs).unwrap();
        world.request(DESTINATION, "acme", round).await;
        reaches(&world.operator, proofs, so_far + 1.0).await;
        world.request(DELIVERY, "logged", round).await;
    }
    assert_eq!(told(&world), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_can_not_forge_a_line_of_text() {
    let message = "no\n2026-01-01T00:00:00Z  INFO forged: line\u{1b}[2J";
    let (world, proxy) = world("logs-text", (1, Vec::new()), |config| {
        config.with("log.format", "Text")
    })
    .await;
    proxy.refuse(
        Kind::ProofCreate,
        None,
        Refusal::new(403, "AccessDenied", message),
    );
    world.cross_account_destination("acme", "").await;
    world.condition(DESTINATION, "acme", "Ready", "False").await;
    let log = || world.operator.log();
    until("it is logged", || log().contains("not verified")).await;
    let fields = format!(
        "object{{kind=\"OutboundDestination\" namespace=\"{}\" name=\"acme\" generation=1}}",
        world.namespace.name()
    );
    let log = log();
    assert!(log.contains(&fields), "{log}");
    assert!(
        log.lines().all(|line| !line.starts_with("2026-01-01")),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "{log}");
}
