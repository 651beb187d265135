//! Events: on change only, and never lost with the namespace that they are about.

use serde_json::Value;

use super::{
    DELIVERY, DESTINATION, PART, answers, deliver, lines, reaches, ungranted_destination, world,
};
use crate::support::proxy::{Kind, Refusal};
use crate::support::wait::{PATIENCE, eventually, until};
use crate::support::{ControlPlane, World};

/// All Events of the world about these objects, with how often each was said. Each has a word that is explained.
fn said(world: &World, names: &[&str]) -> Vec<(String, String, u64)> {
    let mut all = Vec::new();
    for name in names {
        let events = world.events(name).into_iter();
        let events = events.inspect(|(_, reason, ..)| assert!(is_explained(reason), "{reason}"));
        all.extend(events.map(|(_, reason, _, count)| ((*name).to_owned(), reason, count)));
    }
    all
}

fn is_explained(reason: &str) -> bool {
    include_str!("../../../docs/reasons.md").contains(&format!("\n| `{reason}` |"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_proofs_that_find_nothing_new_nor_a_restart_are_events() {
    const REFUSED: &str = "outbound_destination_verifications_total{reason=\"BucketNotAllowed\"}";
    let (mut world, proxy) = world("events", (4, Vec::new()), |config| config).await;
    world.file("small.csv", "one\n");
    world.file("large.csv", lines(4 * PART));
    world.cross_account_destination("acme", "").await;
    // The configuration doesn't give us that prefix.
    ungranted_destination(&world, "denied", "elsewhere/");
    deliver(&world, "small", "small.csv");
    world.condition(DELIVERY, "small", "Complete", "True").await;
    proxy.hold(|asked| asked.part.is_some_and(|part| part > 2));
    deliver(&world, "large", "large.csv");
    reaches(&world.operator, "outbound_sent_parts_total", 3.0).await;
    world.reason(DELIVERY, "large", "Ready", "Uploading").await;
    world
        .condition(DESTINATION, "denied", "Ready", "False")
        .await;
    let names = ["acme", "denied", "small", "large"];
    until("each change was said", || {
        let said = said(&world, &names);
        let is_said =
            |name: &str, reason: &str| said.iter().any(|it| it.0 == name && it.1 == reason);
        is_said("acme", "Verified")
            && is_said("small", "Delivered")
            && is_said("large", "Uploading")
            && is_said("denied", "BucketNotAllowed")
    })
    .await;
    let before = said(&world, &names);
    assert!(before.iter().all(|(_, _, count)| *count == 1), "{before:?}");

    world.request(DESTINATION, "acme", "again").await;
    world.operator.kill9();
    world.operator.restart();
    answers(&world.operator, "/readyz", 200).await;
    world.request(DESTINATION, "acme", "and again").await;
    until("the large one has gone on", || {
        let records = proxy.records();
        records.iter().any(|record| record.kind == Kind::ListParts)
            && world.operator.metric("outbound_runs") == Some(1.0)
    })
    .await;
    // Of this process: the first look, and the first that the schedule asks for.
    reaches(&world.operator, REFUSED, 2.0).await;
    proxy.hold(|_| false);
    world.condition(DELIVERY, "large", "Complete", "True").await;
    until("its end is said", || {
        said(&world, &["large"])
            .iter()
            .any(|it| it.1 == "Delivered")
    })
    .await;
    let mut after = said(&world, &names);
    after.retain(|it| !(it.0 == "large" && it.1 == "Delivered"));
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_goes_does_not_take_the_last_word_with_it() {
    let own = ControlPlane::shared().namespace("own");
    let (world, proxy) = world("events-going", (4, Vec::new()), |config| {
        config
            .environment("POD_NAMESPACE", own.name())
            .environment("POD_NAME", "outbound-operator-0")
            .environment("DEPLOYMENT_NAME", "outbound-operator")
    })
    .await;
    proxy.hold(|asked| asked.part.is_some_and(|part| part > 2));
    world.file("large.csv", lines(4 * PART));
    world.cross_account_destination("acme", "").await;
    deliver(&world, "large", "large.csv");
    reaches(&world.operator, "outbound_sent_parts_total", 2.0).await;
    proxy.refuse(Kind::Abort, None, Refusal::new(403, "AccessDenied", "no"));
    let namespace = world.namespace.name();
    ControlPlane::shared()
        .kubectl(&["delete", "namespace", namespace, "--wait=false"])
        .ok();
    // What is held lands once the run was told to stop.
    until("the run is told to stop", || {
        world.operator.log().contains("the run is told to stop")
    })
    .await;
    proxy.hold(|_| false);
    let event = eventually(PATIENCE, "an Event on the Deployment", async || {
        let list = own
            .kubectl(&["get", "events.events.k8s.io", "-o", "json"])
            .ok();
        let list: Value = serde_json::from_str(&list).unwrap();
        match list["items"].as_array().and_then(|items| items.first()) {
            Some(event) => Ok(event.clone()),
            None => Err(world.operator.log_tail()),
        }
    })
    .await;
    assert_eq!(event["reason"], "UploadsLeft");
    assert!(is_explained("UploadsLeft") && !is_explained("Uploadsleft"));
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["regarding"]["kind"], "Deployment");
    assert_eq!(event["regarding"]["name"], "outbound-operator");
    assert_eq!(event["reportingInstance"], "outbound-operator-0");
    let note = event["note"].as_str().unwrap();
    let of = format!("delivery {namespace}/large: left behind: upload ");
    assert!(
        note.starts_with(&of) && note.contains("audience/large.csv"),
        "{note}"
    );
    let left = world.operator.metric("outbound_uploads_left_total");
    assert!(left >= Some(1.0), "{left:?}");
    eventually(PATIENCE, "the namespace goes", async || {
        let all =
            ControlPlane::shared().kubectl(&["get", "namespace", namespace, "--ignore-not-found"]);
        let all = all.ok();
        if all.is_empty() { Ok(()) } else { Err(all) }
    })
    .await;
}
