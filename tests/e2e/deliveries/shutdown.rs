//! The operator is told to end while its store doesn't answer.

use std::time::{Duration, Instant};

use super::slow::{self, Wire, half_done};
use super::{
    assert_same, completes, count, deliver, joined, large_table, nothing_internal_is_left,
};
use crate::support::wait::until;
use crate::support::{OperatorConfig, World};

/// Eight parts.
const LARGE: usize = 40 << 20;

/// How long what is in flight may take to land.
const LANDING: Duration = Duration::from_secs(20);

/// A world whose store stops answering in the middle of an upload.
async fn hangs(topic: &str) -> (World, Wire) {
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 2);
    let (world, wire) = slow::world(topic, few).await;
    wire.hold_parts("2.csv", 1);
    world.file("2.csv", large_table(2, LARGE));
    world.cross_account_destination("acme", "").await;
    deliver(&world, "ended", "2.csv", "");
    half_done(&world, "ended").await;
    wire.stand_still();
    (world, wire)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_store_does_not_keep_it_from_ending_well() {
    let (mut world, wire) = hangs("shutdown-hangs").await;
    // Within a pod's default grace, or it would be killed.
    let status = world.operator.terminate();
    assert_eq!(status.code(), Some(0), "{}", world.operator.log_tail());

    wire.open();
    world.operator.restart();
    let delivery = completes(&world, "ended").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
    nothing_internal_is_left(&world, "ended").await;
    let sent = count(&world.bucket, "UploadPart", "audience/2.csv");
    assert!(
        (8..=10).contains(&sent),
        "{sent} parts: only those in flight are sent again"
    );
    assert_eq!(
        count(&world.bucket, "CreateMultipartUpload", "audience/2.csv"),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let (mut world, wire) = hangs("shutdown-twice").await;
    world.operator.signal("TERM");
    until("it heard", || {
        world.operator.log().contains("finishing what is in flight")
    })
    .await;
    assert!(world.operator.ended().is_none());
    let told = Instant::now();
    world.operator.signal("TERM");
    until("it has ended", || world.operator.ended().is_some()).await;
    assert!(told.elapsed() < LANDING / 2, "{:?}", told.elapsed());
    assert_eq!(world.operator.ended().unwrap().code(), Some(1));

    wire.open();
    world.operator.restart();
    let delivery = completes(&world, "ended").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
}
