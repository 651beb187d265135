//! The metrics after what was done, and what must never be in them.

use serde_json::json;

use super::{DELIVERY, DESTINATION, PART, deliver, lines, reaches, ungranted_destination, world};
use crate::support::World;
use crate::support::proxy::{At, Deed, Fault, Kind};
use crate::support::wait::until;
use crate::support::world::PREFIX;

fn series(world: &World, series: &str) -> f64 {
    world
        .operator
        .metric(series)
        .unwrap_or_else(|| panic!("{series} in\n{:?}", world.operator.ask("/metrics")))
}

/// The first part is refused once for want of patience, and a later one loses its answer.
fn faults() -> Vec<Fault> {
    let fault = |kind, deed| Fault {
        at: At {
            kind,
            n: 1,
            times: 1,
        },
        deed,
    };
    vec![
        fault(Kind::FirstPart, Deed::Answer(503)),
        fault(Kind::LastPart, Deed::LoseAnswer),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_and_its_retries_are_counted_and_nobody_is_named() {
    let (mut world, _proxy) = world("metrics", (3, faults()), |config| config).await;
    let bytes = 2 * PART + 1000;
    world.file("hostile-path/evil-file.csv", lines(bytes));
    world.cross_account_destination("acme", "").await;
    // As hostile as a name may be, for who takes it for a label.
    ungranted_destination(&world, "outbound-leader-1-eof.le.inf", PREFIX);
    deliver(&world, "evil-delivery.total", "hostile-path/*.csv");
    world
        .condition(DELIVERY, "evil-delivery.total", "Complete", "True")
        .await;

    assert_eq!(series(&world, "outbound_leader"), 1.0);
    assert_eq!(series(&world, "outbound_sent_bytes_total"), bytes as f64);
    assert_eq!(series(&world, "outbound_sent_parts_total"), 3.0);
    assert_eq!(series(&world, "outbound_delivered_objects_total"), 1.0);
    let retries = |reason: &str| {
        series(
            &world,
            &format!("outbound_retries_total{{reason=\"{reason}\"}}"),
        )
    };
    assert_eq!(retries("Throttled"), 1.0);
    assert_eq!(retries("Unanswered"), 1.0);
    for never in ["Damaged", "Conflict", "Source", "Restarted"] {
        assert_eq!(retries(never), 0.0, "{never}");
    }
    let finished = "outbound_deliveries_finished_total{reason=\"Delivered\"}";
    assert_eq!(series(&world, finished), 1.0);
    let complete = "outbound_deliveries{phase=\"Complete\",reason=\"Delivered\"}";
    assert_eq!(reaches(&world.operator, complete, 1.0).await, 1.0);
    let ready = "outbound_destinations{ready=\"True\",reason=\"Verified\"}";
    assert_eq!(reaches(&world.operator, ready, 2.0).await, 2.0);
    let proofs = "outbound_destination_verifications_total{reason=\"Verified\"}";
    assert!(series(&world, proofs) >= 1.0);
    let age = series(&world, "outbound_destination_oldest_verification_seconds");
    assert!((0.0..600.0).contains(&age) && age > 0.0, "{age}");
    let limit = series(&world, "outbound_part_buffer_limit_bytes");
    assert_eq!(limit, f64::from(64 << 20));
    let buffers = series(&world, "outbound_part_buffer_bytes");
    assert!(buffers > 0.0 && buffers <= limit, "{buffers}");
    for kind in ["OutboundDelivery", "OutboundDestination"] {
        let count = format!("outbound_reconcile_duration_seconds_count{{kind=\"{kind}\"}}");
        assert!(series(&world, &count) >= 1.0);
        let errors = format!("outbound_reconcile_errors_total{{kind=\"{kind}\"}}");
        assert_eq!(series(&world, &errors), 0.0);
    }
    assert_eq!(series(&world, "outbound_uploads_left_total"), 0.0);

    let (_, text) = world.operator.ask("/metrics").unwrap();
    for theirs in [
        world.namespace.name(),
        world.bucket.name(),
        "acme",
        "hostile",
        "evil",
        "eof.le.inf",
        "audience",
    ] {
        assert!(!text.contains(theirs), "{theirs} in\n{text}");
    }
    assert!(
        text.ends_with("# EOF\n") && text.lines().count() < 250,
        "{text}"
    );

    // What was counted is of this process; what is the case outlives it.
    world.operator.restart();
    assert_eq!(reaches(&world.operator, complete, 1.0).await, 1.0);
    assert_eq!(series(&world, finished), 0.0);
    assert_eq!(series(&world, "outbound_sent_bytes_total"), 0.0);
    // Each kind is listed in its own time.
    assert_eq!(reaches(&world.operator, ready, 2.0).await, 2.0);
    assert!(series(&world, "outbound_destination_oldest_verification_seconds") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_delivery_counts_what_it_sends_itself() {
    let (mut world, proxy) = world("metrics-resume", (4, Vec::new()), |config| config).await;
    proxy.hold(|asked| asked.part.is_some_and(|part| part > 2) && asked.subject.ends_with(".csv"));
    let bytes = 4 * PART;
    world.file("2.csv", lines(bytes));
    world.cross_account_destination("acme", "").await;
    deliver(&world, "resumed", "2.csv");
    let sent = "outbound_sent_bytes_total";
    assert_eq!(
        reaches(&world.operator, sent, 2.0 * PART as f64).await,
        2.0 * PART as f64
    );
    assert_eq!(reaches(&world.operator, "outbound_runs", 1.0).await, 1.0);
    // The operator counts what it read back, so the status says so by then.
    let uploading = "outbound_deliveries{phase=\"Uploading\",reason=\"Uploading\"}";
    assert_eq!(reaches(&world.operator, uploading, 1.0).await, 1.0);
    let phase = world.get(DELIVERY, "resumed")["status"]["phase"].clone();
    assert_eq!(phase, json!("Uploading"));
    world.operator.kill9();
    world.operator.restart();
    // What the dead process had on the wire is gone by then.
    until("the store was asked for its parts", || {
        let records = proxy.records();
        records.iter().any(|record| record.kind == Kind::ListParts)
    })
    .await;
    proxy.hold(|_| false);
    world
        .condition(DELIVERY, "resumed", "Complete", "True")
        .await;
    assert_eq!(series(&world, sent), 2.0 * PART as f64);
    assert_eq!(series(&world, "outbound_delivered_objects_total"), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_proof_is_counted_by_its_reason() {
    let (world, _proxy) = world("metrics-proof", (1, Vec::new()), |config| config).await;
    ungranted_destination(&world, "acme", PREFIX);
    world.condition(DESTINATION, "acme", "Ready", "False").await;
    let proofs = "outbound_destination_verifications_total{reason=\"AccessDenied\"}";
    reaches(&world.operator, proofs, 1.0).await;
    let not_ready = "outbound_destinations{ready=\"False\",reason=\"AccessDenied\"}";
    assert_eq!(reaches(&world.operator, not_ready, 1.0).await, 1.0);
    let verified = "outbound_destination_verifications_total{reason=\"Verified\"}";
    assert_eq!(series(&world, verified), 0.0);
    let age = "outbound_destination_oldest_verification_seconds";
    assert_eq!(series(&world, age), 0.0);
    deliver(&world, "waits", "nothing.csv");
    let waiting = "outbound_deliveries{phase=\"Pending\",reason=\"DestinationNotReady\"}";
    assert_eq!(reaches(&world.operator, waiting, 1.0).await, 1.0);
}
