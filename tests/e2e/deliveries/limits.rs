//! What one destination may have under way, and that others don't feel it.
//!
//! Parts are held by the wire, so what is under way can be counted, on any machine.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::slow::{self, Wire};
use super::{KIND, completes, deliver, manifest, table};
use crate::support::wait::until;
use crate::support::world::PREFIX;
use crate::support::{OperatorConfig, World};

/// The parts of objects whose key has that name in it that the wire was asked to let pass, held ones too.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<BTreeSet<u32>>>);

impl Asked {
    fn parts(&self) -> Vec<u32> {
        self.0.lock().unwrap().iter().copied().collect()
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    async fn become_(&self, parts: usize) {
        let what = format!("{parts} parts are under way");
        until(&what, || {
            let count = self.count();
            assert!(
                count <= parts,
                "{count} parts are under way and not {parts}"
            );
            count == parts
        })
        .await;
    }
}

/// Holds the parts behind `passed` of objects with that name, and notes which came.
fn hold(wire: &Wire, holds: &[(&'static str, u32, &Asked)]) {
    let holds: Vec<_> = holds
        .iter()
        .map(|(name, passed, asked)| (*name, *passed, (*asked).clone()))
        .collect();
    wire.hold(move |request| {
        let Some(part) = request.part else {
            return false;
        };
        let found = holds
            .iter()
            .find(|(name, ..)| request.subject.contains(name));
        found.is_some_and(|(_, passed, asked)| {
            asked.0.lock().unwrap().insert(part);
            part > *passed
        })
    });
}

/// A file of so many bytes that takes no room.
fn sparse(world: &World, name: &str, bytes: u64) {
    let path = world.file(name, b"");
    std::fs::File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(bytes))
        .expect("a sparse file");
}

/// The destinations `acme`, with `limits` in its spec, and `other` without, both over the wire and proved.
async fn world(
    topic: &str,
    limits: &str,
    change: impl FnOnce(OperatorConfig) -> OperatorConfig,
) -> (World, Wire) {
    let (world, wire) = slow::world(topic, change).await;
    slow::access_key_destination(&world, &wire).await;
    limit(&world, limits);
    world.apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: other}}\n\
         spec:\n  bucket: {}\n  prefix: {PREFIX}\n  endpoint: {}\n  \
         permissionMode: AccessKey\n  accessKey: {{secretRef: {{name: acme}}}}\n",
        world.bucket.name(),
        wire.url()
    ));
    for name in ["acme", "other"] {
        world.condition("obdest", name, "Ready", "True").await;
    }
    (world, wire)
}

/// Changes the limits of `acme`.
fn limit(world: &World, limits: &str) {
    let patch = format!("{{\"spec\":{{\"limits\":{limits}}}}}");
    let arguments = ["patch", "obdest", "acme", "--type=merge", "-p", &patch];
    world.namespace.kubectl(&arguments).ok();
}

/// Delivers 1 MiB to `other` from its beginning to its end.
async fn small_one_completes(world: &World, name: &str) {
    let path = format!("{name}.csv");
    world.file(&path, table(7, 1 << 20));
    let small = manifest(name, &path, "").replace("{name: acme}", "{name: other}");
    world.apply(&small);
    completes(world, name).await;
}

/// Begins to deliver so many bytes to `acme`, of which no part passes: what was asked for them.
fn big_one(world: &World, wire: &Wire, bytes: u64) -> Asked {
    let asked = Asked::default();
    hold(wire, &[("big", 0, &asked)]);
    sparse(world, "big.bin", bytes);
    deliver(world, "big", "big.bin", PLAIN);
    asked
}

const PLAIN: &str = "  receipt: {md5: false}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_at_once_follow_the_limit_while_a_delivery_runs() {
    let (world, wire) = world("limits", "{\"maxConcurrentParts\":2}", |config| config).await;
    let asked = big_one(&world, &wire, 100 << 20);
    asked.become_(2).await;
    small_one_completes(&world, "first").await;
    assert_eq!(asked.parts(), [1, 2]);

    limit(&world, "{\"maxConcurrentParts\":4}");
    asked.become_(4).await;
    small_one_completes(&world, "second").await;
    assert_eq!(asked.parts(), [1, 2, 3, 4]);

    // Without a limit: all that one destination may have, of the eight of the configuration.
    limit(&world, "null");
    asked.become_(7).await;
    small_one_completes(&world, "third").await;
    assert_eq!(asked.count(), 7);

    let lowered = "the destination's limits are now";
    let before = world.operator.log().matches(lowered).count();
    limit(&world, "{\"maxConcurrentParts\":1}");
    until("the operator has the limit", || {
        world.operator.log().matches(lowered).count() > before
    })
    .await;
    let opened = Instant::now();
    wire.open();
    completes(&world, "big").await;
    let records = wire.records();
    let parts = records.iter().filter(|record| {
        let part = record.method == "PUT" && record.query.contains("partNumber");
        part && record.subject.contains("big.bin")
    });
    let mut after: Vec<_> = parts
        .map(|record| (record.begun, record.answered.expect("an answer")))
        .collect();
    assert_eq!(after.len(), 20, "nothing is sent again");
    after.sort_unstable();
    // Seven were under way when the limit was lowered, and landed.
    for pair in after[7..].windows(2) {
        assert!(
            pair[0].0 >= opened && pair[1].0 >= pair[0].1,
            "one at a time"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bandwidth_bounds_what_is_under_way_to_what_it_sends_in_time() {
    // 4 s of 5 MB/s hold three parts of 5 MiB.
    let (world, wire) = world("bandwidth", "{\"bandwidth\":\"5M\"}", |config| config).await;
    let asked = big_one(&world, &wire, 30 << 20);
    asked.become_(3).await;
    small_one_completes(&world, "small").await;
    assert_eq!(asked.parts(), [1, 2, 3]);
    limit(&world, "{\"bandwidth\":\"200M\"}");
    asked.become_(6).await;
    wire.open();
    completes(&world, "big").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_delivery_passes_a_terabyte_whose_store_hangs() {
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 3);
    let (world, wire) = world("terabyte", "null", few).await;
    let asked = big_one(&world, &wire, 1_000_000_000_000);
    // All that it may have; a part of 10,000 has 100 MB.
    asked.become_(2).await;
    for name in ["first", "second"] {
        small_one_completes(&world, name).await;
    }
    assert_eq!(asked.count(), 2);
    let big = world.get(KIND, "big");
    assert_eq!(big["status"]["progress"]["bytesDone"], 0, "{big:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stands_still_gives_up_its_places_to_who_waits() {
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 4);
    let (world, wire) = world("still", "null", few).await;
    let (hung, other) = (Asked::default(), Asked::default());
    hold(&wire, &[("hung", 0, &hung), ("waits", 0, &other)]);
    for name in ["hung", "waits"] {
        sparse(&world, &format!("{name}.bin"), 20 << 20);
    }
    deliver(&world, "hung", "hung.bin", PLAIN);
    hung.become_(3).await;
    let waits = manifest("waits", "waits.bin", PLAIN).replace("{name: acme}", "{name: other}");
    world.apply(&waits);
    // The one place that was kept for it, and then one of those that stand still: another is kept again.
    other.become_(2).await;
    assert_eq!(hung.parts(), [1, 2, 3]);
    let hung = world.get(KIND, "hung");
    assert!(
        hung["status"]["attempts"].is_null() && hung["status"]["lastError"].is_null(),
        "it is no failure: {hung:#}"
    );
    wire.open();
    for name in ["hung", "waits"] {
        completes(&world, name).await;
    }
}
