//! Which files a path stands for.

use std::time::{Duration, SystemTime};

use super::{KIND, completes, conditions, deliver, names, table};
use crate::support::World;
use crate::support::wait::PATIENCE;
use crate::support::world::find_condition;

#[tokio::test]
async fn patterns_match_as_documented_in_byte_order() {
    let world = World::start("sources-globs").await;
    world.access_key_destination("acme", "").await;
    for path in [
        "x/b.csv",
        "x/B.csv",
        "x/a.csv",
        "x/a-1.csv",
        "x/ab.txt",
        "x/.hidden.csv",
        "x/_SUCCESS.csv",
        "x/c.csv.tmp",
        "x/y/d.csv",
        "x/y/z/e.csv",
        "x/_y/f.csv",
    ] {
        world.file(path, format!("{path}\n"));
    }
    let cases: [(&str, &str, &[&str]); 7] = [
        ("star", "x/*.csv", &["B.csv", "a-1.csv", "a.csv", "b.csv"]),
        ("question", "x/?.csv", &["B.csv", "a.csv", "b.csv"]),
        (
            "deep",
            "x/**/*.csv",
            &["B.csv", "a-1.csv", "a.csv", "b.csv", "d.csv", "e.csv"],
        ),
        ("folder", "x/y/*", &["d.csv"]),
        ("hidden", "x/.*.csv", &[".hidden.csv"]),
        ("marker", "x/_*.csv", &["_SUCCESS.csv"]),
        ("tmp", "x/*.tmp", &["c.csv.tmp"]),
    ];
    for (name, path, _) in cases {
        deliver(&world, name, path, "  key: \"{delivery}/{name}\"\n");
    }
    for (name, path, wanted) in cases {
        let delivery = completes(&world, name).await;
        let wanted: Vec<_> = wanted.iter().map(|file| format!("{name}/{file}")).collect();
        assert_eq!(names(&world.bucket, &delivery), wanted, "{path}");
        assert_eq!(
            delivery["status"]["progress"]["filesTotal"],
            wanted.len(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_link_within_the_folder_is_followed() {
    let world = World::start("sources-link").await;
    world.access_key_destination("acme", "").await;
    world.file("data/1.csv", "1\n");
    let link = world.folder().join("latest.csv");
    std::os::unix::fs::symlink("data/1.csv", link).unwrap();
    deliver(&world, "linked", "latest.csv", "");
    completes(&world, "linked").await;
    assert_eq!(world.bucket.files()["audience/latest.csv"], b"1\n");
}

#[tokio::test]
async fn a_young_file_is_waited_for() {
    let world = World::start("sources-age").await;
    world.access_key_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    let source = table(1, 10_000);
    let file = world.file("a.csv", &source);
    let manifest = super::manifest("aged", "a.csv", "")
        .replace("path: \"a.csv\"", "path: \"a.csv\", minAge: 4s");
    // However long the rest takes, the file is young.
    let set_modified = |time| {
        let file = std::fs::File::options().write(true).open(&file).unwrap();
        file.set_modified(time).unwrap();
    };
    set_modified(SystemTime::now() + Duration::from_secs(3600));
    world.apply(&manifest);
    let what = "it waits for the file";
    let waiting = world
        .eventually(PATIENCE, what, KIND, "aged", |delivery| {
            let ready = find_condition(delivery, "Ready")?;
            (ready["reason"] == "WaitingForSource").then(|| delivery.clone())
        })
        .await;
    assert_eq!(conditions(&waiting), ["Ready=Unknown", "Reconciling=True"]);
    let message = find_condition(&waiting, "Ready").unwrap()["message"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("a.csv") && message.contains("minAge"),
        "{message}"
    );
    assert!(world.bucket.keys().is_empty());

    let touched = SystemTime::now();
    set_modified(touched);
    super::request(&world, KIND, "aged", "now");
    let delivery = completes(&world, "aged").await;
    assert!(touched.elapsed().unwrap() >= Duration::from_secs(4));
    assert_eq!(names(&world.bucket, &delivery), ["a.csv"]);
    assert_eq!(world.bucket.files()["audience/a.csv"], source);
}
