//! What users do to a delivery that is under way: hold it, delete it, edit its destination.

use super::slow::{self, Wire, half_done, objects_done, told_to_stop};
use super::{
    KIND, assert_same, completes, conditions, deliver, joined, large_table,
    nothing_internal_is_left, table,
};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::find_condition;
use crate::support::{ControlPlane, OperatorConfig, S3Server, World};

/// Eight parts.
const LARGE: usize = 40 << 20;

fn one_part_at_a_time(config: OperatorConfig) -> OperatorConfig {
    config.with("transfer.maxConcurrentParts", 1)
}

/// A world with a small file and a large one, of which the wire lets one part through.
async fn world(topic: &str) -> (World, Wire) {
    let (world, wire) = slow::world(topic, one_part_at_a_time).await;
    wire.hold_parts("2.csv", 1);
    world.file("1.csv", table(1, 10_000));
    world.file("2.csv", large_table(2, LARGE));
    (world, wire)
}

fn patch(world: &World, kind: &str, name: &str, spec: &str) {
    let patch = format!("{{\"spec\": {spec}}}");
    world
        .namespace
        .kubectl(&["patch", kind, name, "--type=merge", "-p", &patch])
        .ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_delivery_stands_still_and_goes_on_when_told() {
    let (world, wire) = world("life-suspend").await;
    world.cross_account_destination("acme", "").await;
    deliver(&world, "held", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "held").await;
    patch(&world, KIND, "held", "{\"suspend\": true}");
    told_to_stop(&world).await;
    wire.open();
    world.reason(KIND, "held", "Ready", "Suspended").await;
    let held = world.get(KIND, "held");
    assert_eq!(conditions(&held), ["Ready=Unknown"], "{held:#}");
    assert_eq!(held["status"]["phase"], "Suspended");
    assert_eq!(
        held["status"]["observedGeneration"],
        held["metadata"]["generation"]
    );
    let progress = &held["status"]["progress"];
    assert!(
        progress["bytesDone"].as_u64() < progress["bytesTotal"].as_u64(),
        "{progress}"
    );
    assert_eq!(world.bucket.uploads().await.len(), 1, "uploads stay open");

    // Another passes meanwhile, and the held one does not move.
    deliver(&world, "other", "1.csv", "");
    completes(&world, "other").await;
    assert_eq!(
        world.bucket.keys(),
        ["audience/1.csv", "audience/other.info"]
    );
    assert_eq!(
        world.get(KIND, "held")["metadata"],
        held["metadata"],
        "no write while suspended"
    );

    patch(&world, KIND, "held", "{\"suspend\": false}");
    let delivery = completes(&world, "held").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
    nothing_internal_is_left(&world, "held").await;
}

#[tokio::test]
async fn a_delivery_suspended_from_the_start_does_nothing_until_it_may() {
    let world = World::start("life-suspended").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(1, 10_000));
    deliver(&world, "held", "a.csv", "  suspend: true\n");
    world.reason(KIND, "held", "Ready", "Suspended").await;
    deliver(&world, "other", "a.csv", "  key: other.csv\n");
    completes(&world, "other").await;
    assert_eq!(
        world.bucket.keys(),
        ["audience/other.csv", "audience/other.info"]
    );
    assert_eq!(conditions(&world.get(KIND, "held")), ["Ready=Unknown"]);
    patch(&world, KIND, "held", "{\"suspend\": false}");
    completes(&world, "held").await;
}

/// Asks for the deletion, and waits for nothing.
fn delete(world: &World, name: &str) {
    let arguments = ["delete", KIND, name, "--wait=false"];
    world.namespace.kubectl(&arguments).ok();
}

/// Waits for the end of the deletion, which must come in the time that is promised.
fn is_deleted_in_time(world: &World, name: &str) {
    let arguments = ["wait", "--for=delete", KIND, name, "--timeout=60s"];
    let output = world.namespace.kubectl(&arguments);
    assert!(
        output.success,
        "{}\n{}",
        output.stderr,
        world.operator.log_tail()
    );
}

async fn no_ledger_is_left(world: &World) {
    eventually(PATIENCE, "the ledger is collected", async || {
        let ledgers = world
            .namespace
            .kubectl(&["get", "outboundledgers", "-o", "name"])
            .ok();
        if ledgers.is_empty() {
            Ok(())
        } else {
            Err(ledgers)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_in_flight_aborts_uploads_and_leaves_what_was_delivered() {
    let (world, wire) = world("life-delete").await;
    world.cross_account_destination("acme", "").await;
    wire.hold_object("2.csv");
    deliver(&world, "gone", "*.csv", "  receipt: {md5: false}\n");
    objects_done(&world, "gone", 1).await;
    wire.hold_parts("2.csv", 1);
    eventually(PATIENCE, "the large one is open", async || {
        let open = world.bucket.uploads().await.len();
        if open == 1 { Ok(()) } else { Err(open) }
    })
    .await;
    delete(&world, "gone");
    told_to_stop(&world).await;
    wire.open();
    is_deleted_in_time(&world, "gone");
    assert_eq!(world.bucket.uploads().await, []);
    assert_eq!(world.bucket.files()["audience/1.csv"], table(1, 10_000));
    assert_eq!(world.bucket.keys(), ["audience/1.csv"]);
    no_ledger_is_left(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_with_a_delivery_in_flight() {
    let (world, wire) = world("life-namespace").await;
    slow::access_key_destination(&world, &wire).await;
    deliver(&world, "gone", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "gone").await;
    let name = world.namespace.name().to_owned();
    let control_plane = ControlPlane::shared();
    let arguments = ["delete", "namespace", &name, "--wait=false"];
    control_plane.kubectl(&arguments).ok();
    told_to_stop(&world).await;
    wire.open();
    let arguments = ["wait", "--for=delete", "namespace", &name, "--timeout=60s"];
    let output = control_plane.kubectl(&arguments);
    assert!(
        output.success,
        "{}\n{}",
        output.stderr,
        world.operator.log_tail()
    );
    assert_eq!(world.bucket.uploads().await, []);
    assert!(world.bucket.keys().is_empty());
}

/// Whether that object is being deleted.
async fn is_going(world: &World, kind: &str, what: &str) {
    eventually(PATIENCE, what, async || {
        let path = "jsonpath={.items[*].metadata.deletionTimestamp}";
        let times = world.namespace.kubectl(&["get", kind, "-o", path]).ok();
        if times.is_empty() {
            Err("not yet")
        } else {
            Ok(())
        }
    })
    .await;
}

/// The operator is killed in mid-delivery, and its namespace deleted: what nothing holds is gone, and then the next
/// operator starts. Returns once the namespace is gone, which must be in time.
async fn killed_while_the_namespace_goes(world: &mut World, wire: &Wire) {
    deliver(world, "gone", "2.csv", "  receipt: {md5: false}\n");
    half_done(world, "gone").await;
    world.operator.kill9();
    let name = world.namespace.name().to_owned();
    let control_plane = ControlPlane::shared();
    let arguments = ["delete", "namespace", &name, "--wait=false"];
    control_plane.kubectl(&arguments).ok();
    is_going(world, "outboundledgers", "the ledger is to go").await;
    is_going(world, KIND, "the delivery is to go").await;
    eventually(PATIENCE, "what nothing holds is gone", async || {
        let arguments = ["get", "obdest,secrets", "-o", "name"];
        match world.namespace.kubectl(&arguments).ok().as_str() {
            "" => Ok(()),
            found => Err(found.to_owned()),
        }
    })
    .await;
    assert_eq!(world.bucket.uploads().await.len(), 1);
    wire.open();
    world.operator.restart();
    let arguments = ["wait", "--for=delete", "namespace", &name, "--timeout=60s"];
    let output = control_plane.kubectl(&arguments);
    let log = world.operator.log_tail();
    assert!(output.success, "{}\n{log}", output.stderr);
    assert!(world.bucket.keys().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_without_uploads_though_the_operator_was_killed_meanwhile() {
    let (mut world, wire) = world("life-namespace-kill").await;
    world.cross_account_destination("acme", "").await;
    killed_while_the_namespace_goes(&mut world, &wire).await;
    let log = world.operator.log_tail();
    assert_eq!(world.bucket.uploads().await, [], "{log}");
}

/// What a Secret held is kept in memory alone, and that is gone with the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_though_nobody_has_the_key_any_more_and_the_log_names_the_upload() {
    let (mut world, wire) = world("life-namespace-key").await;
    slow::access_key_destination(&world, &wire).await;
    killed_while_the_namespace_goes(&mut world, &wire).await;
    let log = world.operator.log();
    assert!(
        log.contains("lifecycle rule for incomplete uploads"),
        "{log}"
    );
    assert!(log.contains(world.bucket.name()), "{log}");
}

/// With `kubectl delete --cascade=foreground` the ledger is to go before its delivery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_outlives_its_delivery_and_never_for_ever() {
    let (mut world, wire) = world("life-foreground").await;
    world.cross_account_destination("acme", "").await;
    deliver(&world, "gone", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "gone").await;
    world.operator.kill9();
    let foreground = ["--cascade=foreground", "--wait=false"];
    let arguments = [&["delete", KIND, "gone"], &foreground[..]].concat();
    world.namespace.kubectl(&arguments).ok();
    is_going(&world, "outboundledgers", "the ledger is to go").await;
    wire.open();
    world.operator.restart();
    is_deleted_in_time(&world, "gone");
    assert_eq!(world.bucket.uploads().await, []);
    no_ledger_is_left(&world).await;

    // Somebody takes the delivery's finalizer away by hand: the next operator lets the ledger go.
    wire.hold_parts("2.csv", 1);
    deliver(&world, "forced", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "forced").await;
    world.operator.kill9();
    let none = r#"{"metadata": {"finalizers": null}}"#;
    let patch = ["patch", KIND, "forced", "--type=merge", "-p", none];
    world.namespace.kubectl(&patch).ok();
    delete(&world, "forced");
    is_going(&world, "outboundledgers", "the ledger is to go").await;
    wire.open();
    world.operator.restart();
    no_ledger_is_left(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_ends_in_time_when_the_store_is_gone() {
    let server = S3Server::start();
    let wire = Wire::to(&server).await;
    wire.hold_parts("2.csv", 1);
    let world = World::start_with("life-gone", &server, |config| {
        one_part_at_a_time(wire.configure(config).with("transfer.partSize", "5Mi"))
    })
    .await;
    world.file("2.csv", large_table(2, LARGE));
    world.cross_account_destination("acme", "").await;
    deliver(&world, "gone", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "gone").await;
    server.stop();
    drop(wire);
    delete(&world, "gone");
    is_deleted_in_time(&world, "gone");
    no_ledger_is_left(&world).await;
    names_what_had_to_stay(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_ends_in_time_when_the_store_does_not_answer() {
    let (world, wire) = world("life-hangs").await;
    world.cross_account_destination("acme", "").await;
    deliver(&world, "gone", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "gone").await;
    wire.stand_still();
    delete(&world, "gone");
    is_deleted_in_time(&world, "gone");
    assert_eq!(
        world.bucket.uploads().await.len(),
        1,
        "nobody could abort it"
    );
    names_what_had_to_stay(&world).await;
}

/// An Event and the log name the upload that stayed.
async fn names_what_had_to_stay(world: &World) {
    eventually(PATIENCE, "an Event names the upload", async || {
        let selector = "--field-selector=reason=UploadsLeft";
        let events = world
            .namespace
            .kubectl(&["get", "events", selector, "-o", "json"])
            .ok();
        if events.contains("left behind") {
            Ok(())
        } else {
            Err(events)
        }
    })
    .await;
    assert!(
        world
            .operator
            .log()
            .contains("lifecycle rule for incomplete uploads")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_destination_stalls_a_delivery_until_it_is_edited_back() {
    let (world, wire) = world("life-edited").await;
    world.cross_account_destination("acme", "").await;
    deliver(&world, "stays", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "stays").await;
    patch(
        &world,
        "obdest",
        "acme",
        "{\"prefix\": \"audience/other/\"}",
    );
    told_to_stop(&world).await;
    wire.open();
    let stalled = world
        .reason(KIND, "stays", "Stalled", "DestinationChanged")
        .await;
    let message = stalled["message"].as_str().unwrap();
    assert!(message.contains("change it back"), "{message}");
    let found = world.get(KIND, "stays");
    assert_eq!(
        conditions(&found),
        ["Ready=False", "Stalled=True"],
        "{found:#}"
    );
    assert!(find_condition(&found, "Failed").is_none());

    world.condition("obdest", "acme", "Ready", "True").await;
    patch(&world, "obdest", "acme", "{\"prefix\": \"audience/\"}");
    let delivery = completes(&world, "stays").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
    assert_eq!(
        world.bucket.keys(),
        ["audience/2.csv", "audience/stays.info"]
    );
    nothing_internal_is_left(&world, "stays").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_destination_holds_a_delivery_in_flight() {
    let (world, wire) = world("life-destination").await;
    world.cross_account_destination("acme", "").await;
    deliver(&world, "held", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "held").await;
    patch(&world, "obdest", "acme", "{\"suspend\": true}");
    told_to_stop(&world).await;
    wire.open();
    world
        .reason(KIND, "held", "Ready", "DestinationNotReady")
        .await;
    assert_eq!(
        conditions(&world.get(KIND, "held")),
        ["Ready=Unknown", "Reconciling=True"]
    );
    assert!(world.bucket.keys().is_empty());
    patch(
        &world,
        "obdest",
        "acme",
        "{\"suspend\": false, \"splitSize\": \"1M\"}",
    );
    // The plan was made; a size that is changed later doesn't change it.
    let delivery = completes(&world, "held").await;
    assert_same(
        &world.bucket.files()["audience/2.csv"],
        &large_table(2, LARGE),
    );
    assert_eq!(delivery["status"]["progress"]["objectsTotal"], 1);
}

#[tokio::test]
async fn a_complete_delivery_is_never_written_again() {
    let world = World::start("life-complete").await;
    world.access_key_destination("acme", "").await;
    let file = world.file("a.csv", table(1, 10_000));
    deliver(&world, "done", "a.csv", "");
    completes(&world, "done").await;
    nothing_internal_is_left(&world, "done").await;
    let done = world.get(KIND, "done");

    std::fs::write(file, "another\n").unwrap();
    patch(&world, "obdest", "acme", "{\"splitSize\": \"1k\"}");
    world.condition("obdest", "acme", "Ready", "True").await;
    deliver(&world, "next", "a.csv", "  key: next.csv\n");
    completes(&world, "next").await;
    patch(
        &world,
        "obdest",
        "acme",
        "{\"prefix\": \"audience/other/\"}",
    );
    world.condition("obdest", "acme", "Ready", "True").await;
    nothing_internal_is_left(&world, "next").await;
    assert_eq!(world.get(KIND, "done"), done);
    assert_eq!(world.bucket.files()["audience/a.csv"], table(1, 10_000));
}
