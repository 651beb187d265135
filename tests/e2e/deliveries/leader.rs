//! Two operators and one Lease: one works, and the other goes on where it ended, in whatever way.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::slow::{self, Wire, half_done};
use super::{
    KIND, assert_same, completes, count, deliver, joined, large_table, nothing_internal_is_left,
};
use crate::support::wait::{PATIENCE, eventually, until};
use crate::support::{Operator, OperatorConfig, World};

/// Eight parts.
const LARGE: usize = 40 << 20;

const KEY: &str = "audience/2.csv";

/// How long a Lease that isn't renewed holds, as the operator asks for it.
const LEASE: SignedDuration = SignedDuration::from_secs(15);

/// The namespace that the configuration watches: its Lease is there, too.
fn elected(config: OperatorConfig) -> OperatorConfig {
    let document: Value = serde_json::from_str(&config.render()).unwrap();
    let namespace = &document["watch"]["namespaces"][0];
    let lease = json!({"enabled": true, "leaseName": "operator", "namespace": namespace});
    config
        .with("leaderElection", lease)
        .with("transfer.maxConcurrentParts", 2)
}

/// Two operators, the first of which leads, and a large delivery that it is in the middle of.
async fn in_mid_upload(topic: &str) -> (World, Operator, Wire) {
    let first = |config| elected(config).environment("HOSTNAME", "first");
    let (world, wire) = slow::world(topic, first).await;
    wire.hold_parts("2.csv", 1);
    leads(&world, "first").await;
    let second = world
        .operator
        .config()
        .clone()
        .environment("HOSTNAME", "second");
    let second = Operator::start(second);
    world.file("2.csv", large_table(2, LARGE));
    world.cross_account_destination("acme", "").await;
    deliver(&world, "handed", "2.csv", "");
    half_done(&world, "handed").await;
    assert_eq!(holder(&world), "first");
    (world, second, wire)
}

/// Who holds the Lease; nobody when it is released.
fn holder(world: &World) -> String {
    let lease = world.namespace.get("lease", "operator").unwrap_or_default();
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    holder.split('_').next().unwrap_or_default().to_owned()
}

fn lease_time(world: &World, field: &str) -> Timestamp {
    let lease = world.namespace.get("lease", "operator").expect("a Lease");
    lease["spec"][field].as_str().unwrap().parse().unwrap()
}

async fn leads(world: &World, name: &str) {
    eventually(PATIENCE, "it leads", async || {
        let holder = holder(world);
        if holder == name { Ok(()) } else { Err(holder) }
    })
    .await;
}

/// All is there, byte for byte, made by one upload; returns how many parts were sent.
async fn all_is_there(world: &World) -> usize {
    let delivery = completes(world, "handed").await;
    assert_same(&joined(&world.bucket, &delivery), &large_table(2, LARGE));
    nothing_internal_is_left(world, "handed").await;
    assert_eq!(world.bucket.keys(), [KEY, "audience/handed.info"]);
    for key in world.bucket.keys() {
        assert_eq!(
            count(&world.bucket, "CreateMultipartUpload", &key),
            1,
            "{key}"
        );
        assert_eq!(
            count(&world.bucket, "CompleteMultipartUpload", &key),
            1,
            "{key}"
        );
    }
    count(&world.bucket, "UploadPart", KEY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_told_to_end_hands_over_at_once_and_in_mid_upload() {
    let (mut world, second, wire) = in_mid_upload("leader-term").await;
    slow::terminate(&mut world, &wire).await;
    let ended = Timestamp::now();
    leads(&world, "second").await;
    // By the second's own word, so that how long this test took to look doesn't count.
    let took = lease_time(&world, "acquireTime").duration_since(ended);
    assert!(took.as_secs_f64() < 2.0, "{took:?}\n{}", second.log_tail());
    assert_eq!(all_is_there(&world).await, 8, "no part was sent twice");
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_is_followed_once_its_lease_is_over() {
    let (mut world, second, wire) = in_mid_upload("leader-kill").await;
    world.operator.kill9();
    let renewed = lease_time(&world, "renewTime");
    leads(&world, "second").await;
    let took = lease_time(&world, "acquireTime").duration_since(renewed);
    assert!(took >= LEASE, "{took:?}");
    assert!(took < LEASE * 2, "{took:?}\n{}", second.log_tail());
    wire.open();
    let sent = all_is_there(&world).await;
    assert!(
        (8..=10).contains(&sent),
        "{sent} parts: only those in flight are sent again"
    );
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stood_still_past_its_lease_ends_and_spoils_nothing() {
    let (mut world, second, wire) = in_mid_upload("leader-zombie").await;
    world.operator.signal("STOP");
    leads(&world, "second").await;
    eventually(PATIENCE, "the second goes on with the upload", async || {
        let log = second.log();
        if log.contains("holding the Lease") && count(&world.bucket, "ListParts", KEY) > 0 {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    world.operator.signal("CONT");
    let woken = Instant::now();
    until("the first has ended", || world.operator.ended().is_some()).await;
    assert!(
        woken.elapsed() < Duration::from_secs(10),
        "{:?}",
        woken.elapsed()
    );
    assert_eq!(world.operator.ended().unwrap().code(), Some(1));
    let log = world.operator.log();
    assert!(
        log.contains("the Lease could not be renewed"),
        "{}",
        world.operator.log_tail()
    );
    assert_eq!(holder(&world), "second");

    wire.open();
    all_is_there(&world).await;
    let delivery = world.get(KIND, "handed");
    assert_eq!(delivery["status"]["phase"], "Complete");
    drop(second);
}
