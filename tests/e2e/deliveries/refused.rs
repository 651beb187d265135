//! What ends a delivery: a reason, a message that says what to do, and nothing left in the bucket.

use super::{KIND, completes, deliver, fails, succeeded, system, table};
use crate::support::World;

/// Deliveries that must fail: name, path, further lines of the spec, reason, what the message holds.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [&'a str]);

/// Each fails as it says and leaves nothing; then the operator still serves another.
async fn all_fail(world: &World, cases: &[Case<'_>]) {
    for (name, path, more, ..) in cases {
        deliver(world, name, path, more);
    }
    for (name, _, _, reason, parts) in cases {
        let message = fails(world, name, reason).await;
        for part in *parts {
            assert!(message.contains(part), "{name}: {message}");
        }
    }
    assert!(world.bucket.keys().is_empty(), "{:?}", world.bucket.keys());
    world.file("good/good.csv", "1\n");
    deliver(world, "good", "good/good.csv", "");
    completes(world, "good").await;
    assert_eq!(
        world.bucket.keys(),
        ["audience/good.csv", "audience/good.info"]
    );
    // Nothing was sent for those that failed, not even to be taken back.
    let opened = succeeded(&world.bucket, "CreateMultipartUpload");
    let opened: Vec<_> = opened
        .into_keys()
        .filter(|key| !key.contains(".outbound-access-check-"))
        .collect();
    assert_eq!(opened, ["audience/good.csv", "audience/good.info"]);
}

#[tokio::test]
async fn a_source_that_is_no_readable_file() {
    let world = World::start("refused-source").await;
    world.access_key_destination("acme", "").await;
    let folder = world.folder();
    world.file("a/1.csv", "1\n");
    std::fs::create_dir(folder.join("folder.csv")).unwrap();
    system("mkfifo", &[], &folder.join("pipe.csv"));
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    link("nowhere.csv", "dangling.csv");
    link("/etc/hostname", "absolute.csv");
    link("../../outside.csv", "above.csv");
    link("..", "up");
    std::fs::write(folder.parent().unwrap().join("outside.csv"), "secret\n").unwrap();
    let cases: [Case<'_>; 10] = [
        (
            "missing",
            "none.csv",
            "",
            "SourceNotFound",
            &["none.csv", "producer must create it"],
        ),
        (
            "folder-missing",
            "none/a.csv",
            "",
            "SourceNotFound",
            &["none/a.csv"],
        ),
        (
            "empty",
            "a/*.txt",
            "",
            "SourceEmpty",
            &["a/*.txt", "producer must write one"],
        ),
        (
            "folder",
            "folder.csv",
            "",
            "SourceUnreadable",
            &["folder.csv", "a folder", "must"],
        ),
        (
            "fifo",
            "pipe.csv",
            "",
            "SourceUnreadable",
            &["pipe.csv", "FIFO", "must"],
        ),
        (
            "fifo-matched",
            "pipe*",
            "",
            "SourceUnreadable",
            &["pipe.csv", "FIFO", "must"],
        ),
        (
            "dangling",
            "dangling.csv",
            "",
            "SourceUnreadable",
            &["dangling.csv", "link to nothing"],
        ),
        (
            "absolute",
            "absolute.csv",
            "",
            "PathNotAllowed",
            &["absolute.csv", "folder", "must"],
        ),
        (
            "above",
            "above.csv",
            "",
            "PathNotAllowed",
            &["above.csv", "folder", "must"],
        ),
        (
            "through",
            "up/outside.csv",
            "",
            "PathNotAllowed",
            &["up", "folder", "must"],
        ),
    ];
    all_fail(&world, &cases).await;
}

#[tokio::test]
async fn a_file_without_the_right_to_read_it() {
    let world = World::start("refused-right").await;
    world.access_key_destination("acme", "").await;
    let file = world.file("a.csv", "1\n");
    system("chmod", &["000"], &file);
    if std::fs::File::open(&file).is_ok() {
        // Root reads everything; what the system refuses is covered by the other cases then.
        deliver(&world, "readable", "a.csv", "");
        completes(&world, "readable").await;
        return;
    }
    let parts: &[&str] = &["a.csv", "must let the operator's user read it"];
    all_fail(
        &world,
        &[("unreadable", "a.csv", "", "SourceUnreadable", parts)],
    )
    .await;
}

#[tokio::test]
async fn a_namespace_without_a_folder() {
    let world = World::start("refused-folder").await;
    world.access_key_destination("acme", "").await;
    deliver(&world, "early", "a.csv", "");
    let message = fails(&world, "early", "SourceNotFound").await;
    assert!(message.contains(world.namespace.name()), "{message}");
}

#[tokio::test]
async fn a_plan_that_cannot_be() {
    let world = World::start("refused-plan").await;
    world.access_key_destination("acme", "").await;
    world.file(
        "long.csv",
        [&table(1, 5000)[..], &[b'x'; 3000], b"\n"].concat(),
    );
    world.file("x/same.csv", "1\n");
    world.file("y/same.csv", "2\n");
    world.file("large.csv", "1\n".repeat(10_001));
    world.file(&format!("{}.csv", "n".repeat(200)), "1\n");
    world.file("d.info", "1\n");
    let name = "{name}".repeat(6);
    let long_key = format!("  key: {name:?}\n");
    let cases: [Case<'_>; 7] = [
        (
            "record",
            "long.csv",
            "  split: {size: 2k}\n",
            "RecordTooLong",
            &["long.csv", "maxRecordSize"],
        ),
        (
            "window",
            "long.csv",
            "  split: {size: 7k, maxRecordSize: 1k}\n",
            "RecordTooLong",
            &["long.csv", "maxRecordSize"],
        ),
        (
            "collision",
            "*/same.csv",
            "",
            "KeyCollision",
            &["x/same.csv", "y/same.csv", "key"],
        ),
        (
            "no-number",
            "large.csv",
            "  split: {size: 10k}\n  key: \"{name}\"\n",
            "KeyCollision",
            &["large.csv", "{split}"],
        ),
        ("d", "d.info", "", "KeyCollision", &["d.info", "receipt"]),
        (
            "many",
            "large.csv",
            "  split: {size: 2}\n",
            "TooManyObjects",
            &["10000", "split size"],
        ),
        (
            "key",
            "nnn*",
            &long_key,
            "KeyInvalid",
            &["nnn", "1024", "template"],
        ),
    ];
    all_fail(&world, &cases).await;
}

#[tokio::test]
async fn ten_thousand_objects_too_many_are_refused_before_they_are_counted() {
    let world = World::start("refused-many").await;
    world.access_key_destination("acme", "").await;
    // Holes take no room on the disk. A plan of 2^40 objects would take days.
    let file = world.file("sparse.bin", "");
    std::fs::File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    deliver(
        &world,
        "many",
        "sparse.bin",
        "  split: {size: 1, boundary: Byte}\n",
    );
    let message = fails(&world, "many", "TooManyObjects").await;
    assert!(message.contains("larger split size"), "{message}");
}

#[tokio::test]
async fn somebody_elses_object_stays_as_it_is() {
    let world = World::start("refused-exists").await;
    world.access_key_destination("acme", "").await;
    world.bucket.put("audience/a.csv", b"theirs").await;
    world
        .bucket
        .put("audience/receipt.info", b"theirs too")
        .await;
    world.file("a.csv", table(1, 10_000));
    world.file("b.csv", table(2, 10_000));

    deliver(&world, "object", "a.csv", "");
    let message = fails(&world, "object", "ObjectExists").await;
    assert!(message.contains("audience/a.csv"), "{message}");
    assert_eq!(
        world.bucket.keys(),
        ["audience/a.csv", "audience/receipt.info"]
    );

    deliver(&world, "receipt", "b.csv", "");
    let message = fails(&world, "receipt", "ObjectExists").await;
    assert!(message.contains("audience/receipt.info"), "{message}");
    let files = world.bucket.files();
    assert_eq!(files["audience/a.csv"], b"theirs");
    assert_eq!(files["audience/receipt.info"], b"theirs too");
    // What was delivered stays: nothing of the customer's is ever deleted.
    assert_eq!(files["audience/b.csv"], table(2, 10_000));
    assert_eq!(files.len(), 3);
    let customer = world.s3.client(&world.s3.customer());
    let head = customer
        .head_object()
        .bucket(world.bucket.name())
        .key("audience/a.csv");
    assert_eq!(
        head.send()
            .await
            .unwrap()
            .metadata
            .unwrap_or_default()
            .len(),
        0
    );
}

#[tokio::test]
async fn with_read_back_somebody_elses_object_stays_too() {
    let world = World::start("refused-exists-put").await;
    super::store::readable_destination(&world).await;
    world.bucket.put("audience/a.csv", b"theirs").await;
    world.file("a.csv", table(1, 10_000));
    deliver(&world, "object", "a.csv", "");
    let message = fails(&world, "object", "ObjectExists").await;
    assert!(message.contains("audience/a.csv"), "{message}");
    assert_eq!(world.bucket.files()["audience/a.csv"], b"theirs");
    assert_eq!(world.bucket.keys(), ["audience/a.csv"]);
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_on_request() {
    let world = World::start("refused-retry").await;
    world.access_key_destination("acme", "").await;
    deliver(&world, "again", "a.csv", "");
    std::fs::create_dir(world.folder()).unwrap();
    fails(&world, "again", "SourceNotFound").await;
    world.file("a.csv", table(1, 10_000));
    super::request(&world, KIND, "again", "one");
    let delivery = completes(&world, "again").await;
    assert_eq!(delivery["status"]["lastHandledRequest"], "one");
    super::nothing_internal_is_left(&world, "again").await;

    world.bucket.put("audience/b.csv", b"theirs").await;
    world.file("b.csv", table(2, 10_000));
    deliver(&world, "taken", "b.csv", "");
    fails(&world, "taken", "ObjectExists").await;
    // Asked again while nothing has changed: the same answer, to the new request.
    super::request(&world, KIND, "taken", "first");
    let answered = |value: &'static str| {
        let world = &world;
        async move {
            let what = "the request is answered";
            world
                .eventually(
                    crate::support::wait::PATIENCE,
                    what,
                    KIND,
                    "taken",
                    |delivery| {
                        let failed =
                            crate::support::world::find_condition(delivery, "Failed").is_some();
                        (failed && delivery["status"]["lastHandledRequest"] == value).then_some(())
                    },
                )
                .await;
        }
    };
    answered("first").await;
    fails(&world, "taken", "ObjectExists").await;
    let customer = world.s3.client(&world.s3.customer());
    let delete = customer
        .delete_object()
        .bucket(world.bucket.name())
        .key("audience/b.csv");
    delete.send().await.unwrap();
    super::request(&world, KIND, "taken", "second");
    let delivery = completes(&world, "taken").await;
    assert_eq!(delivery["status"]["lastHandledRequest"], "second");
    assert_eq!(world.bucket.files()["audience/b.csv"], table(2, 10_000));
}
