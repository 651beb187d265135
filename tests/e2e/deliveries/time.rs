//! How long a delivery may work, and how long it is kept.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::slow::{self, Wire, half_done, told_to_stop};
use super::{
    KIND, assert_same, completes, conditions, deliver, delivered, fails, joined, large_table,
    nothing_internal_is_left, request, table,
};
use crate::support::wait::{PATIENCE, eventually, until};
use crate::support::world::find_condition;
use crate::support::{OperatorConfig, World};

/// Eight parts.
const LARGE: usize = 40 << 20;

/// A world whose wire lets one part of the large file through.
async fn world(topic: &str) -> (World, Wire) {
    let one = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 1);
    let (world, wire) = slow::world(topic, one).await;
    wire.hold_parts("2.csv", 1);
    world.file("2.csv", large_table(2, LARGE));
    world.cross_account_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    (world, wire)
}

fn patch(world: &World, name: &str, spec: &str) {
    let patch = format!("{{\"spec\": {spec}}}");
    world
        .namespace
        .kubectl(&["patch", KIND, name, "--type=merge", "-p", &patch])
        .ok();
}

fn set_modified(file: &Path, time: SystemTime) {
    let file = File::options().write(true).open(file).unwrap();
    file.set_modified(time).unwrap();
}

fn active_seconds(delivery: &Value) -> u64 {
    delivery["status"]["activeSeconds"]
        .as_u64()
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_works_for_too_long_fails_and_leaves_no_upload() {
    let (world, wire) = world("time-deadline").await;
    let more = "  receipt: {md5: false}\n  activeDeadlineSeconds: 4\n";
    deliver(&world, "late", "2.csv", more);
    told_to_stop(&world).await;
    wire.open();
    let message = fails(&world, "late", "DeadlineExceeded").await;
    assert!(message.contains("activeDeadlineSeconds, 4 s"), "{message}");
    let late = world.get(KIND, "late");
    assert!(active_seconds(&late) >= 4, "{late:#}");
    assert!(world.bucket.keys().is_empty());

    // Allowed more and asked again, its time starts anew.
    patch(&world, "late", "{\"activeDeadlineSeconds\": 100}");
    request(&world, KIND, "late", "again");
    let delivery = completes(&world, "late").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
    nothing_internal_is_left(&world, "late").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_is_set_on_a_running_delivery_holds() {
    let (world, wire) = world("time-set").await;
    deliver(&world, "late", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "late").await;
    patch(&world, "late", "{\"activeDeadlineSeconds\": 1}");
    told_to_stop(&world).await;
    wire.open();
    fails(&world, "late", "DeadlineExceeded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_counts_over_restarts_and_not_while_suspended() {
    let (mut world, wire) = world("time-counts").await;
    let start = Instant::now();
    let more = "  receipt: {md5: false}\n  activeDeadlineSeconds: 1000\n";
    deliver(&world, "counted", "2.csv", more);
    let what = "it has worked for a second";
    world
        .eventually(PATIENCE, what, KIND, "counted", |delivery| {
            (active_seconds(delivery) >= 1).then_some(())
        })
        .await;
    patch(&world, "counted", "{\"suspend\": true}");
    told_to_stop(&world).await;
    wire.open();
    world.reason(KIND, "counted", "Ready", "Suspended").await;
    let held = Instant::now();
    let before = active_seconds(&world.get(KIND, "counted"));
    assert!(before >= 1, "{:#}", world.get(KIND, "counted"));
    world.operator.kill9();
    world.operator.restart();
    until("it was held for a while", || {
        held.elapsed() > Duration::from_secs(5)
    })
    .await;
    assert_eq!(active_seconds(&world.get(KIND, "counted")), before);

    let held = held.elapsed();
    patch(&world, "counted", "{\"suspend\": false}");
    let delivery = completes(&world, "counted").await;
    let active = active_seconds(&delivery);
    let most = (start.elapsed() - held).as_secs() + 1;
    assert!(
        active >= before && active <= most,
        "{before} {active} {most}"
    );
}

#[tokio::test]
async fn waiting_and_suspension_are_no_attempts_and_no_work() {
    let world = World::start("time-waiting").await;
    let start = Instant::now();
    let file = world.file("a.csv", table(1, 10_000));
    let more = "  backoffLimit: 0\n  activeDeadlineSeconds: 1000\n  suspend: true\n";
    let path = "{path: \"a.csv\"}";
    let young =
        super::manifest("patient", "a.csv", more).replace(path, "{path: a.csv, minAge: 4s}");
    world.apply(&young);
    world.reason(KIND, "patient", "Ready", "Suspended").await;
    patch(&world, "patient", "{\"suspend\": false}");
    world
        .reason(KIND, "patient", "Ready", "DestinationNotReady")
        .await;
    // However long that takes, the file is young.
    let later = SystemTime::now() + Duration::from_secs(3600);
    set_modified(&file, later);
    world.access_key_destination("acme", "").await;
    world
        .reason(KIND, "patient", "Ready", "WaitingForSource")
        .await;
    let waited = Instant::now();
    let waiting = world.get(KIND, "patient");
    assert_eq!(
        conditions(&waiting),
        ["Ready=Unknown", "Reconciling=True"],
        "{waiting:#}"
    );
    assert!(waiting["status"]["attempts"].is_null(), "{waiting:#}");
    until("it waited for a while", || {
        waited.elapsed() > Duration::from_secs(4)
    })
    .await;
    let waited = waited.elapsed();
    set_modified(&file, SystemTime::now());
    // It comes back to the file when that was to be old enough, or when it is asked.
    request(&world, KIND, "patient", "now");
    let delivery = completes(&world, "patient").await;
    let most = (start.elapsed() - waited).as_secs() + 1;
    assert!(active_seconds(&delivery) <= most, "{most} {delivery:#}");
    delivered(&world.bucket, &delivery);
}

/// Waits until the delivery and its ledger are gone.
async fn is_gone(world: &World, name: &str) {
    eventually(PATIENCE, "the delivery is gone", async || {
        let ledgers = world
            .namespace
            .kubectl(&["get", "outboundledgers", "-o", "name"])
            .ok();
        match world.namespace.get(KIND, name) {
            None if ledgers.is_empty() => Ok(()),
            found => Err(format!("{found:?} {ledgers}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_finished_delivery_goes_when_its_time_is_over_and_what_was_delivered_stays() {
    let world = World::start("time-ttl").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(1, 10_000));
    deliver(&world, "brief", "a.csv", "  ttlSecondsAfterFinished: 0\n");
    is_gone(&world, "brief").await;
    assert_eq!(
        world.bucket.keys(),
        ["audience/a.csv", "audience/brief.info"]
    );
    assert_eq!(world.bucket.uploads().await, []);

    // A failed one too, and not before.
    deliver(&world, "failed", "none.csv", "");
    let failed = world.condition(KIND, "failed", "Failed", "True").await;
    let end: jiff::Timestamp = failed["lastTransitionTime"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    patch(&world, "failed", "{\"ttlSecondsAfterFinished\": 3}");
    is_gone(&world, "failed").await;
    assert!(jiff::Timestamp::now().duration_since(end).as_secs() >= 3);

    // The time may be set on one that is done.
    deliver(&world, "kept", "a.csv", "  key: kept.csv\n");
    completes(&world, "kept").await;
    nothing_internal_is_left(&world, "kept").await;
    let complete = world.get(KIND, "kept");
    assert!(find_condition(&complete, "Complete").is_some());
    patch(&world, "kept", "{\"ttlSecondsAfterFinished\": 1}");
    is_gone(&world, "kept").await;
    assert!(
        world
            .bucket
            .keys()
            .contains(&"audience/kept.csv".to_owned())
    );
}
