//! A source that moves under a delivery ends it: never is one file's object made of two states of it.

use std::fs::{File, FileTimes};
use std::io::Write as _;
use std::path::Path;

use super::slow::{self, Wire, half_done, objects_done};
use super::{deliver, fails, large_table, system, table};
use crate::support::{OperatorConfig, World};

/// What a producer may do to a file: its name, and the deed.
type Change = (&'static str, fn(&Path));

const CHANGES: [Change; 4] = [
    ("append", |path| {
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .write_all(b"more\n")
            .unwrap();
    }),
    ("touch", |path| system("touch", &[], path)),
    ("replace", |path| {
        // As `cp -p` and `mv` do it: size and mtime stay the same.
        let modified = std::fs::metadata(path).unwrap().modified().unwrap();
        let copy = path.with_extension("copy");
        std::fs::copy(path, &copy).unwrap();
        let times = FileTimes::new().set_modified(modified);
        File::options()
            .write(true)
            .open(&copy)
            .unwrap()
            .set_times(times)
            .unwrap();
        std::fs::rename(copy, path).unwrap();
    }),
    ("remove", |path| std::fs::remove_file(path).unwrap()),
];

async fn world(topic: &str) -> (World, Wire) {
    let one = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 1);
    let (world, wire) = slow::world(topic, one).await;
    world.cross_account_destination("acme", "").await;
    (world, wire)
}

const MORE: &str = "  key: \"{delivery}/{name}\"\n  receipt: {md5: false}\n";

/// It failed for the file, without a receipt.
async fn fails_for(world: &World, name: &str, file: &str) {
    let message = fails(world, name, "SourceChanged").await;
    assert!(message.contains(file), "{name}: {message}");
    assert!(message.contains("new delivery"), "{name}: {message}");
    assert!(
        !world
            .bucket
            .keys()
            .contains(&format!("audience/{name}.info"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_it_was_read() {
    let (world, wire) = world("changed-before").await;
    for (name, change) in CHANGES {
        world.file(&format!("{name}/1.csv"), large_table(1, 15 << 20));
        let later = world.file(&format!("{name}/2.csv"), table(2, 10_000_000));
        wire.hold(|asked| {
            asked.subject.contains("2.csv") || asked.part.is_some_and(|part| part > 1)
        });
        deliver(&world, name, &format!("{name}/*.csv"), MORE);
        half_done(&world, name).await;
        change(&later);
        wire.open();
        fails_for(&world, name, "2.csv").await;
        // What was delivered before the change is as it was planned, or nothing was.
        if let Some(bytes) = world.bucket.files().get(&format!("audience/{name}/2.csv")) {
            assert!(*bytes == table(2, 10_000_000), "{name}: mixed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_was_read() {
    let (world, wire) = world("changed-during").await;
    for (name, change) in CHANGES {
        let file = world.file(&format!("{name}/1.csv"), large_table(1, 25 << 20));
        wire.hold_parts("1.csv", 1);
        deliver(&world, name, &format!("{name}/*.csv"), MORE);
        half_done(&world, name).await;
        change(&file);
        wire.open();
        fails_for(&world, name, "1.csv").await;
    }
    assert!(
        world
            .bucket
            .keys()
            .iter()
            .all(|key| key.starts_with("audience/replace/"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_it_was_delivered_but_before_the_receipt() {
    let (world, wire) = world("changed-after").await;
    for (name, change) in CHANGES {
        let early = world.file(&format!("{name}/1.csv"), table(1, 10_000));
        world.file(&format!("{name}/2.csv"), large_table(2, 15 << 20));
        wire.hold_object("2.csv");
        deliver(&world, name, &format!("{name}/*.csv"), MORE);
        objects_done(&world, name, 1).await;
        change(&early);
        wire.open();
        fails_for(&world, name, "1.csv").await;
    }
    // What was delivered stays, whole.
    for (name, _) in CHANGES {
        assert_eq!(
            world.bucket.files()[&format!("audience/{name}/1.csv")],
            table(1, 10_000)
        );
    }
}
