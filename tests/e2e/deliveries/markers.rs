//! Sources that aren't complete yet, that have nothing today, and whose folders matter.

use serde_json::{Value, json};

use super::{
    KIND, completes, conditions, deliver, delivered, fails, manifest, names, receipt, request,
};
use crate::support::World;
use crate::support::world::find_condition;

/// Waits until the delivery waits for its source; returns the message.
async fn waits(world: &World, name: &str) -> String {
    let ready = world.reason(KIND, name, "Ready", "WaitingForSource").await;
    let delivery = world.get(KIND, name);
    assert_eq!(
        conditions(&delivery),
        ["Ready=Unknown", "Reconciling=True"],
        "{delivery:#}"
    );
    assert_eq!(delivery["status"]["phase"], "Pending");
    ready["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nothing_is_planned_before_the_marker_is_there() {
    let world = World::start("markers-wait").await;
    world.access_key_destination("acme", "").await;
    let more = "  waitFor: {path: DONE}\n";
    deliver(&world, "waits", "day/*", more);
    // Neither the folder nor the namespace's own needs to be there.
    let message = waits(&world, "waits").await;
    assert!(
        message.contains("\"day/DONE\"") && message.contains("the producer writes it"),
        "{message}"
    );
    world.file("day/a.csv", "1\n");
    world.file("DONE", "beside another folder");
    request(&world, KIND, "waits", "1");
    world
        .eventually(
            crate::support::wait::PATIENCE,
            "it has looked again",
            KIND,
            "waits",
            |found| {
                let ready = find_condition(found, "Ready")?;
                let looked = found["status"]["lastHandledRequest"] == "1";
                (looked && ready["reason"] == "WaitingForSource").then_some(())
            },
        )
        .await;
    assert!(world.bucket.keys().is_empty());

    world.file("day/b.csv", "2\n");
    world.file("day/DONE", "");
    // By itself: a fresh delivery looks every second or so.
    let delivery = completes(&world, "waits").await;
    // The pattern matches the marker, too, which is no data.
    assert_eq!(names(&world.bucket, &delivery), ["a.csv", "b.csv"]);
    // However often it looked, it said so once.
    let events = world.events("waits").into_iter();
    let waits = events.filter(|(_, reason, ..)| reason == "WaitingForSource");
    assert_eq!(waits.map(|(.., times)| times).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_file_can_be_its_own_marker() {
    let world = World::start("markers-own").await;
    world.access_key_destination("acme", "").await;
    deliver(&world, "own", "day/a.csv", "  waitFor: {path: a.csv}\n");
    waits(&world, "own").await;
    // Whole from the moment that it has the name: nobody may find it half written.
    let written = world.file("day/.a.csv", "1\n");
    std::fs::rename(written, world.folder().join("day/a.csv")).unwrap();
    let delivery = completes(&world, "own").await;
    assert_eq!(names(&world.bucket, &delivery), ["a.csv"]);
}

#[tokio::test]
async fn a_marker_stays_in_the_namespaces_folder() {
    let world = World::start("markers-links").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", "1\n");
    let folder = world.folder();
    std::os::unix::fs::symlink("/etc/hostname", folder.join("out")).unwrap();
    std::fs::create_dir(folder.join("folder")).unwrap();
    deliver(&world, "out", "a.csv", "  waitFor: {path: out}\n");
    let message = fails(&world, "out", "PathNotAllowed").await;
    assert!(message.contains("\"out\" leads out"), "{message}");
    deliver(&world, "folder", "a.csv", "  waitFor: {path: folder}\n");
    let message = fails(&world, "folder", "SourceUnreadable").await;
    assert!(message.contains("a folder"), "{message}");
    assert!(world.bucket.keys().is_empty());
}

fn has_an_empty_receipt(world: &World, delivery: &Value) {
    assert_eq!(delivered(&world.bucket, delivery), []);
    let receipt = receipt(&world.bucket, delivery);
    assert_eq!(receipt["Files"], json!([]));
    let totals = &receipt["Totals"];
    assert_eq!(totals["TotalByteSize"], 0, "{receipt:#}");
    assert_eq!(totals["TotalNumberFiles"], 0, "{receipt:#}");
    assert_eq!(totals["TotalNumberLines"], 0, "{receipt:#}");
}

#[tokio::test]
async fn a_day_without_files_is_complete_where_that_is_said() {
    let world = World::start("markers-empty").await;
    world.access_key_destination("acme", "").await;
    world.file("day/_SUCCESS", "");
    let complete = "  onEmpty: Complete\n";
    deliver(&world, "pattern", "day/*.csv", complete);
    deliver(&world, "missing", "none/*.csv", complete);
    deliver(&world, "literal", "day/a.csv", complete);
    let marker = "  onEmpty: Complete\n  waitFor: {path: _SUCCESS}\n";
    deliver(&world, "marker", "day/_*", marker);
    for name in ["pattern", "missing", "literal", "marker"] {
        let delivery = completes(&world, name).await;
        has_an_empty_receipt(&world, &delivery);
        assert_eq!(delivery["status"]["progress"]["objectsTotal"], 0);
        assert!(
            world
                .bucket
                .keys()
                .contains(&format!("audience/{name}.info"))
        );
    }
    assert_eq!(world.bucket.keys().len(), 4);
    // The namespace's folder itself is made with the first file.
    std::fs::remove_dir_all(world.folder()).unwrap();
    deliver(&world, "no-folder", "day/*.csv", complete);
    has_an_empty_receipt(&world, &completes(&world, "no-folder").await);
    deliver(&world, "no-folder-fails", "day/*.csv", "");
    fails(&world, "no-folder-fails", "SourceNotFound").await;
    world.file("day/_SUCCESS", "");

    for (name, path, more, reason) in [
        ("fail", "day/*.csv", "  onEmpty: Fail\n", "SourceEmpty"),
        (
            "marked",
            "day/_*",
            "  waitFor: {path: _SUCCESS}\n",
            "SourceEmpty",
        ),
        ("gone", "day/a.csv", "", "SourceNotFound"),
    ] {
        deliver(&world, name, path, more);
        fails(&world, name, reason).await;
    }
    assert_eq!(world.bucket.keys().len(), 5);
}

#[tokio::test]
async fn folders_can_be_kept() {
    let world = World::start("markers-path").await;
    world.access_key_destination("acme", "").await;
    for path in ["day/a.csv", "day/eu/de/a.csv", "day/us/a.csv"] {
        world.file(path, "1\n2\n");
    }
    let key = "  key: \"{delivery}/{path}{stem}{split}{ext}\"\n";
    deliver(&world, "tree", "day/**/*.csv", key);
    deliver(
        &world,
        "cut",
        "day/eu/**/*.csv",
        &format!("  split: {{size: 2}}\n{key}"),
    );
    deliver(&world, "one", "day/us/a.csv", key);
    for (name, wanted) in [
        (
            "tree",
            &["tree/a.csv", "tree/eu/de/a.csv", "tree/us/a.csv"][..],
        ),
        ("cut", &["cut/de/a-001.csv", "cut/de/a-002.csv"]),
        ("one", &["one/a.csv"]),
    ] {
        let delivery = completes(&world, name).await;
        assert_eq!(names(&world.bucket, &delivery), wanted);
    }
    // Without the folders they collide.
    world.apply(&manifest("flat", "day/**/*.csv", ""));
    fails(&world, "flat", "KeyCollision").await;
}
