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

/// What a pod has by default from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(30);

/// A world whose store stops answering in the middle of an upload.
async fn hangs(topic: &str) -> (World, Wire) {
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 2);
    let (world, wire) = slow::world(topic, Some(8 << 20), few).await;
    world.file("2.csv", large_table(2, LARGE));
    world.cross_account_destination("acme", "").await;
    deliver(&world, "ended", "2.csv", "");
    half_done(&world, "ended").await;
    wire.speed(Some(0));
    (world, wire)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_store_does_not_keep_it_from_ending_well() {
    let (mut world, wire) = hangs("shutdown-hangs").await;
    let told = Instant::now();
    let status = world.operator.terminate();
    assert_eq!(status.code(), Some(0), "{}", world.operator.log_tail());
    assert!(told.elapsed() < GRACE, "{:?}", told.elapsed());

    wire.speed(None);
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
    assert!(
        told.elapsed() < Duration::from_secs(3),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(world.operator.ended().unwrap().code(), Some(1));

    wire.speed(None);
    world.operator.restart();
    let delivery = completes(&world, "ended").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
}
