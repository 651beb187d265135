//! A delivery whose destination can't be written to yet waits, and goes on by itself.

use serde_json::Value;

use super::{KIND, completes, conditions, deliver, request, table};
use crate::support::World;
use crate::support::world::{PREFIX, WRITE_ACTIONS, find_condition};

/// Waits until the delivery waits for its destination; returns the message.
async fn waits(world: &World, name: &str) -> String {
    let ready = world
        .reason(KIND, name, "Ready", "DestinationNotReady")
        .await;
    let delivery = world.get(KIND, name);
    assert_eq!(
        conditions(&delivery),
        ["Ready=Unknown", "Reconciling=True"],
        "{delivery:#}"
    );
    assert_eq!(delivery["status"]["phase"], "Pending");
    assert!(world.bucket.keys().is_empty());
    ready["message"].as_str().unwrap().to_owned()
}

fn patch(world: &World, name: &str, spec: &str) {
    let patch = format!("{{\"spec\": {spec}}}");
    world
        .namespace
        .kubectl(&["patch", "obdest", name, "--type=merge", "-p", &patch])
        .ok();
}

#[tokio::test]
async fn for_a_destination_that_is_created_later() {
    let world = World::start("waiting-missing").await;
    world.file("a.csv", table(1, 10_000));
    deliver(&world, "early", "a.csv", "");
    let message = waits(&world, "early").await;
    assert!(
        message.contains("acme") && message.contains("create it"),
        "{message}"
    );
    world.access_key_destination("acme", "").await;
    completes(&world, "early").await;
}

#[tokio::test]
async fn for_a_suspended_destination() {
    let world = World::start("waiting-suspended").await;
    world
        .access_key_destination("acme", "  suspend: true\n")
        .await;
    world.file("a.csv", table(1, 10_000));
    deliver(&world, "held", "a.csv", "");
    let message = waits(&world, "held").await;
    assert!(message.contains("suspend"), "{message}");
    patch(&world, "acme", "{\"suspend\": false}");
    completes(&world, "held").await;
}

#[tokio::test]
async fn for_access_that_is_granted_later() {
    let world = World::start("waiting-access").await;
    let user = world.access_key_destination("acme", "").await;
    world
        .bucket
        .grant(&world.s3.us(), PREFIX, &WRITE_ACTIONS)
        .await;
    // The first proof may have met the grant; this one doesn't.
    request(&world, "obdest", "acme", "without");
    world
        .eventually(
            crate::support::wait::PATIENCE,
            "it is denied",
            "obdest",
            "acme",
            |found| {
                let denied = find_condition(found, "Ready")?["status"] == "False";
                (denied && found["status"]["lastHandledRequest"] == "without").then_some(())
            },
        )
        .await;
    world.file("a.csv", table(1, 10_000));
    deliver(&world, "denied", "a.csv", "");
    let message = waits(&world, "denied").await;
    assert!(message.contains("AccessDenied"), "{message}");
    world.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    request(&world, "obdest", "acme", "with");
    completes(&world, "denied").await;
}

#[tokio::test]
async fn and_nobody_else_waits_with_it() {
    let world = World::start("waiting-alone").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(1, 10_000));
    let elsewhere = super::manifest("stuck", "a.csv", "").replace("acme", "missing");
    world.apply(&elsewhere);
    world
        .reason(KIND, "stuck", "Ready", "DestinationNotReady")
        .await;
    deliver(&world, "served", "a.csv", "");
    completes(&world, "served").await;
    let stuck: Value = world.get(KIND, "stuck");
    assert_eq!(conditions(&stuck), ["Ready=Unknown", "Reconciling=True"]);
}
