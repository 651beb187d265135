//! A customer takes a right away while a delivery is under way, and gives it back.

use super::slow::{self, half_done};
use super::{
    KIND, assert_same, completes, count, deliver, joined, large_table, nothing_internal_is_left,
};
use crate::support::OperatorConfig;
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, WRITE_ACTIONS};

/// Eight parts.
const LARGE: usize = 40 << 20;

const KEY: &str = "audience/2.csv";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_is_lost_in_mid_delivery_is_waited_for_and_costs_what_was_in_flight() {
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 2);
    let (world, wire) = slow::world("access-lost", few).await;
    world.file("2.csv", large_table(2, LARGE));
    world.cross_account_destination("acme", "").await;
    wire.hold_parts("2.csv", 1);
    deliver(&world, "lost", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "lost").await;

    let us = world.s3.us();
    world.bucket.grant(&us, "elsewhere/", &WRITE_ACTIONS).await;
    eventually(PATIENCE, "the store knows of it", async || {
        let put = world.s3.client(&us).put_object();
        let put = put.bucket(world.bucket.name()).key("audience/probe.csv");
        match put.send().await {
            Err(_) => Ok(()),
            Ok(_) => Err("still allowed"),
        }
    })
    .await;
    wire.refuse_parts();
    wire.open();
    world.condition("obdest", "acme", "Ready", "False").await;
    let refused = wire.relent();
    assert!((1..=2).contains(&refused.len()), "{refused:#?}");
    let waiting = world.get(KIND, "lost");
    let reconciling = crate::support::world::find_condition(&waiting, "Reconciling");
    assert_eq!(reconciling.unwrap()["status"], "True", "{waiting:#}");

    let actions = [&WRITE_ACTIONS[..], &["s3:PutObjectAcl"]].concat();
    world.bucket.grant(&us, PREFIX, &actions).await;
    world.request("obdest", "acme", "repaired").await;
    let delivery = completes(&world, "lost").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
    // The upload went on where it stood.
    assert_eq!(count(&world.bucket, "CreateMultipartUpload", KEY), 1);
    assert_eq!(count(&world.bucket, "UploadPart", KEY), 8);
    nothing_internal_is_left(&world, "lost").await;
}
