//! Memory is what the configuration says, whatever the file's size.

use super::{assert_same, completes, deliver, large_table};
use crate::support::process::Resident;
use crate::support::{S3Server, World};

async fn world(topic: &str, memory: &str) -> World {
    let change = |config: crate::support::OperatorConfig| {
        config
            .with("transfer.memory", memory)
            .with("transfer.partSize", "8Mi")
    };
    let world = World::start_with(topic, &S3Server::shared(), change).await;
    world.access_key_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    world
}

#[tokio::test]
async fn a_large_file_takes_the_budget_and_no_more() {
    let world = world("memory-budget", "16Mi").await;
    let idle = world.operator.memory(Resident::Peak);
    let source = large_table(1, 300 << 20);
    world.file("large.bin", &source);
    deliver(&world, "large", "large.bin", "  receipt: {md5: false}\n");
    completes(&world, "large").await;
    let peak = world.operator.memory(Resident::Peak);
    assert_same(&world.bucket.files()["audience/large.bin"], &source);
    // The budget, and as much again for the connections' and the allocator's own.
    let (budget, grown) = (16 << 20, peak.saturating_sub(idle));
    assert!(
        grown < 2 * budget + (16 << 20),
        "{idle} bytes at rest, {peak} at most"
    );
    assert!(
        peak < budget + (100 << 20),
        "{idle} bytes at rest, {peak} at most"
    );
}

#[tokio::test]
async fn parts_that_outgrow_the_budget_are_streamed() {
    let world = world("memory-streamed", "1Mi").await;
    let source = large_table(2, 40 << 20);
    world.file("large.bin", &source);
    deliver(&world, "streamed", "large.bin", "  split: {size: 25M}\n");
    let delivery = completes(&world, "streamed").await;
    assert_same(&super::joined(&world.bucket, &delivery), &source);
    assert!(
        world.operator.memory(Resident::Peak) < 100 << 20,
        "{}",
        world.operator.memory(Resident::Peak)
    );
}
