//! The operator ends, in whatever way, and another begins where it stood.

use std::collections::BTreeMap;

use super::slow::{self, objects_done};
use super::{
    KIND, PART, assert_same, check_complete, completes, count, deliver, delivered, joined,
    large_table, nothing_internal_is_left, nothing_is_left_in_the_cluster, succeeded, table,
};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::{OperatorConfig, World};

/// Bytes in the largest object: three parts.
const SIZE: usize = 12_000_000;

const MORE: &str = "  split: {size: 12M}\n";

async fn world(topic: &str) -> (World, slow::Wire) {
    // Three of four parts may be under way to one destination: the one part each of two objects that is held leaves a
    // place for the parts that aren't.
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 4);
    let (world, wire) = slow::world(topic, few).await;
    world.file("1.csv", table(1, 1_000_000));
    world.file("2.csv", large_table(2, 40_000_000));
    world.cross_account_destination("acme", "").await;
    (world, wire)
}

fn source() -> Vec<u8> {
    [table(1, 1_000_000), large_table(2, 40_000_000)].concat()
}

const KEYS: [&str; 5] = ["1.csv", "2-001.csv", "2-002.csv", "2-003.csv", "2-004.csv"];

/// All is there, once, and no more was sent than what was under way at an end.
async fn all_is_there_once(world: &World, name: &str, before: &[BTreeMap<String, usize>]) {
    let delivery = completes(world, name).await;
    let objects = delivered(&world.bucket, &delivery);
    assert_eq!(
        objects.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(),
        KEYS
    );
    assert_same(&joined(&world.bucket, &delivery), &source());
    assert_eq!(world.bucket.keys().len(), KEYS.len() + 1);
    nothing_is_left_in_the_cluster(world, name).await;
    nothing_known_is_left(world, before.len()).await;

    let parts = succeeded(&world.bucket, "UploadPart");
    let keys = world.bucket.keys();
    for key in &keys {
        assert_eq!(
            count(&world.bucket, "CompleteMultipartUpload", key),
            1,
            "{key}"
        );
        let needed = world.bucket.files()[key].len().div_ceil(PART).max(1);
        let sent = parts[key];
        // Each end may cost one more beginning of an object, and a finished one costs nothing.
        assert!(
            sent >= needed && sent <= needed * (before.len() + 1),
            "{key}: {sent} parts"
        );
        for seen in before.iter().filter_map(|seen| seen.get(key)) {
            assert_eq!(*seen, sent, "{key} was finished and is sent again");
        }
    }
}

/// An upload whose id the operator never got to write down can't be aborted by it: there may be one for
/// each object under way (four) at each end by force, and nothing is in it.
async fn nothing_known_is_left(world: &World, ends: usize) {
    let left = world.bucket.uploads().await;
    assert!(left.len() <= 4 * ends, "{left:?}");
    let customer = world.s3.client(&world.s3.customer());
    for upload in left {
        let parts = customer
            .list_parts()
            .bucket(world.bucket.name())
            .key(&upload.key)
            .upload_id(&upload.id)
            .send()
            .await
            .unwrap();
        assert_eq!(parts.parts(), [], "{upload:?}");
    }
}

/// The parts of the objects that are finished now.
fn finished(world: &World) -> BTreeMap<String, usize> {
    let completed = succeeded(&world.bucket, "CompleteMultipartUpload");
    let parts = succeeded(&world.bucket, "UploadPart").into_iter();
    parts
        .filter(|(key, _)| completed.contains_key(key))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_mid_delivery_it_ends_the_same() {
    let (mut world, wire) = world("restart-kill").await;
    wire.hold_object("2-");
    deliver(&world, "killed", "*.csv", MORE);
    objects_done(&world, "killed", 1).await;
    world.operator.kill9();
    let mut before = vec![finished(&world)];
    assert!(
        !before[0].is_empty() && before[0].len() < KEYS.len(),
        "{before:?}"
    );

    // Once more, while objects of many parts are under way: all but the first lack their last part.
    wire.hold(|asked| !asked.subject.contains("2-001") && asked.part == Some(3));
    world.operator.restart();
    objects_done(&world, "killed", before[0].len() as u64 + 1).await;
    world.operator.kill9();
    before.push(finished(&world));

    wire.open();
    world.operator.restart();
    all_is_there_once(&world, "killed", &before).await;
    const { assert!(SIZE > 2 * PART) };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_plans_it_ends_the_same() {
    let (mut world, wire) = world("restart-plan").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    wire.hold_object(".csv");
    deliver(&world, "killed", "*.csv", MORE);
    eventually(PATIENCE, "a ledger is there", async || {
        let ledgers = world
            .namespace
            .kubectl(&["get", "outboundledgers", "-o", "name"])
            .ok();
        if ledgers.is_empty() {
            Err("none")
        } else {
            Ok(())
        }
    })
    .await;
    world.operator.kill9();
    let before = [finished(&world)];
    wire.open();
    world.operator.restart();
    all_is_there_once(&world, "killed", &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_in_mid_delivery_it_ends_well_and_the_next_one_goes_on() {
    let (mut world, wire) = world("restart-term").await;
    wire.hold_object("2-");
    deliver(&world, "ended", "*.csv", MORE);
    objects_done(&world, "ended", 1).await;
    // Another is in the middle.
    wire.hold_parts("2-", 1);
    eventually(PATIENCE, "a part of another is there", async || {
        let sent = succeeded(&world.bucket, "UploadPart");
        if sent.keys().any(|key| key.contains("/2-")) {
            Ok(())
        } else {
            Err(format!("{sent:?}"))
        }
    })
    .await;
    slow::terminate(&mut world, &wire).await;
    // Nothing was cut off, so everything is known.
    let ended = world.bucket.uploads().await;
    let before = [finished(&world)];
    wire.open();
    world.operator.restart();
    all_is_there_once(&world, "ended", &before).await;
    assert_eq!(
        world.bucket.uploads().await,
        [],
        "{ended:?} were open at the end"
    );
}

#[tokio::test]
async fn after_completion_a_new_operator_writes_nothing() {
    let mut world = World::start("restart-complete").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(1, 250_000));
    deliver(&world, "done", "a.csv", "  split: {size: 100k}\n");
    completes(&world, "done").await;
    nothing_internal_is_left(&world, "done").await;
    let done = world.get(KIND, "done");
    let of_delivery = |world: &World| {
        let requests = world.bucket.requests().into_iter();
        requests
            .filter(|it| it.key.contains("/a-") || it.key.contains("done.info"))
            .count()
    };
    let requests = of_delivery(&world);
    assert_eq!(
        world.operator.terminate().code(),
        Some(0),
        "{}",
        world.operator.log_tail()
    );

    world.operator.restart();
    // It has looked at all once it has served another.
    world.file("b.csv", "1\n");
    deliver(&world, "next", "b.csv", "");
    completes(&world, "next").await;
    assert_eq!(world.get(KIND, "done"), done);
    assert_eq!(of_delivery(&world), requests);
    check_complete(&world.get(KIND, "done"));
}

#[tokio::test]
async fn a_new_operator_serves_what_was_declared_while_none_ran() {
    let mut world = World::start("restart-declared").await;
    world.access_key_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    world.file("a.csv", "1\n");
    // Again and again, as the watches of the two kinds begin in any order.
    for round in 0..10 {
        world.operator.kill9();
        let name = format!("declared-{round}");
        deliver(&world, &name, "a.csv", "  key: \"{delivery}.csv\"\n");
        world.operator.restart();
        completes(&world, &name).await;
    }
    assert_eq!(world.bucket.keys().len(), 20);
}
