//! What the engine meets on its way, as users see it: Events, and the condition's message.

use super::slow::{self, Wire, half_done};
use super::{
    KIND, assert_same, completes, count, deliver, joined, large_table, nothing_internal_is_left,
};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, find_condition};
use crate::support::{OperatorConfig, World};

/// Eight parts.
const LARGE: usize = 40 << 20;

const KEY: &str = "audience/2.csv";

/// A world whose operator ended in the middle of an upload: in order, so that no part is in flight, because this
/// server doesn't bear an Abort beside a part.
async fn terminated(topic: &str) -> (World, Wire) {
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 2);
    let (mut world, wire) = slow::world(topic, few).await;
    wire.hold_parts("2.csv", 1);
    world.file("2.csv", large_table(2, LARGE));
    world.cross_account_destination("acme", "").await;
    deliver(&world, "told", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "told").await;
    slow::terminate(&mut world, &wire).await;
    (world, wire)
}

/// Waits for an Event of that reason; returns its line for people.
async fn event(world: &World, reason: &str) -> String {
    eventually(PATIENCE, "there is an Event", async || {
        let selector = format!("--field-selector=reason={reason}");
        let path = "jsonpath={.items[*].message}";
        let notes = world
            .namespace
            .kubectl(&["get", "events", &selector, "-o", path])
            .ok();
        if notes.is_empty() {
            Err(world.operator.log_tail())
        } else {
            Ok(notes)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lists_no_parts_costs_the_objects_in_flight_and_is_said() {
    let (mut world, wire) = terminated("notices-list").await;
    let least = ["s3:PutObject", "s3:PutObjectAcl", "s3:AbortMultipartUpload"];
    world.bucket.grant(&world.s3.us(), PREFIX, &least).await;
    let before = count(&world.bucket, "UploadPart", KEY);
    wire.hold_parts("2.csv", 1);
    world.operator.restart();
    let note = event(&world, "PartsNotListed").await;
    assert!(
        note.contains(KEY) && note.contains("s3:ListMultipartUploadParts"),
        "{note}"
    );
    let what = "the condition says so";
    let message = world
        .eventually(PATIENCE, what, KIND, "told", |delivery| {
            let ready = find_condition(delivery, "Ready")?["message"].as_str()?;
            ready
                .contains("refuses ListParts")
                .then(|| ready.to_owned())
        })
        .await;
    assert!(message.contains("AccessDenied"), "{message}");
    wire.open();
    let delivery = completes(&world, "told").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
    let sent = count(&world.bucket, "UploadPart", KEY) - before;
    assert_eq!(sent, 8, "all of the object in flight, and no more");
    nothing_internal_is_left(&world, "told").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_vanished_starts_again_and_is_said() {
    let (mut world, _wire) = terminated("notices-gone").await;
    let [open] = &world.bucket.uploads().await[..] else {
        panic!("one upload")
    };
    let customer = world.s3.client(&world.s3.customer());
    let abort = customer
        .abort_multipart_upload()
        .bucket(world.bucket.name());
    abort
        .key(&open.key)
        .upload_id(&open.id)
        .send()
        .await
        .unwrap();
    world.operator.restart();
    let note = event(&world, "ObjectRestarted").await;
    assert!(
        note.contains(KEY) && note.contains("NoSuchUpload"),
        "{note}"
    );
    let delivery = completes(&world, "told").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
    nothing_internal_is_left(&world, "told").await;
}
