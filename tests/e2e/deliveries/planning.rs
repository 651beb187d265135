//! Planning that takes its time: it is seen, holds nobody up, and ends when it is told to.

use super::{KIND, completes, deliver, table};
use crate::support::World;
use crate::support::wait::{PATIENCE, until};

/// The names of the operator's threads.
fn threads(world: &World) -> Vec<String> {
    let pid = world.operator.pid().unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Sparse, so it takes no room, and longer than any test: the quotes of a terabyte have to be counted.
#[tokio::test]
async fn a_long_look_is_seen_and_holds_nobody_up() {
    let world = World::start("planning-long").await;
    world.access_key_destination("acme", "").await;
    let big = std::fs::File::create(world.file("big/a.csv", "")).unwrap();
    big.set_len(900_000_000_000).unwrap();
    deliver(
        &world,
        "big",
        "big/a.csv",
        "  split: {size: 800G, format: CSV}\n",
    );
    let what = "it says how much it has read";
    let seen = world
        .eventually(PATIENCE, what, KIND, "big", |delivery| {
            let scanned = delivery["status"]["progress"]["bytesScanned"].as_i64()?;
            (scanned > 0).then(|| delivery.clone())
        })
        .await;
    assert_eq!(seen["status"]["phase"], "Planning");
    assert!(threads(&world).contains(&"planning".to_owned()));

    world.file("small.csv", table(1, 10_000));
    deliver(&world, "small", "small.csv", "");
    completes(&world, "small").await;
    assert_eq!(world.get(KIND, "big")["status"]["phase"], "Planning");

    world
        .namespace
        .kubectl(&["delete", "obdel", "big", "--timeout=30s"])
        .ok();
    until("nobody reads on", || {
        !threads(&world)
            .iter()
            .any(|name| name.starts_with("planning"))
    })
    .await;
}
