//! A delivery as it should go, in both modes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::{
    KIND, assert_same, check_complete, completes, count, deliver, delivered, joined, lines, names,
    nothing_internal_is_left, slow, table,
};
use crate::support::World;
use crate::support::wait::until;
use crate::support::world::PREFIX;

/// What the tables are cut at.
const CUT: usize = 500_000;

const SPLIT: &str = "  split: {size: 500k}\n";

/// A table of that length becomes these objects, and they are the table.
async fn is_cut_at_lines(world: &World) {
    let source = table(1, 2_294_215);
    world.file("exports/weather.csv", &source);
    deliver(world, "tables", "exports/weather.csv", SPLIT);
    let delivery = completes(world, "tables").await;

    let objects = delivered(&world.bucket, &delivery);
    let wanted: Vec<_> = (1..=5)
        .map(|number| format!("weather-{number:03}.csv"))
        .collect();
    assert_eq!(names(&world.bucket, &delivery), wanted);
    for (name, bytes) in &objects {
        assert!(bytes.len() <= CUT, "{name}: {}", bytes.len());
        assert_eq!(bytes.last(), Some(&b'\n'), "{name}");
    }
    // No object could have held one line more.
    for pair in objects.windows(2) {
        let next_line = pair[1].1.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        assert!(pair[0].1.len() + next_line > CUT, "{}", pair[0].0);
    }
    assert_same(&joined(&world.bucket, &delivery), &source);
    let listed = &delivery["status"]["objects"];
    assert_eq!(listed[0]["key"], format!("{PREFIX}weather-001.csv"));
    assert_eq!(listed[0]["lines"], lines(&objects[0].1));
    let progress = json!({
        "bytesTotal": source.len(), "bytesDone": source.len(), "percent": 100,
        "filesTotal": 1, "objectsTotal": 5, "objectsDone": 5,
    });
    assert_eq!(delivery["status"]["progress"], progress);
    // The objects, the receipt, and nothing else.
    assert_eq!(world.bucket.keys().len(), 6);
    nothing_internal_is_left(world, "tables").await;
}

#[tokio::test]
async fn a_table_is_cut_at_lines_with_an_access_key() {
    let world = World::start("happy-key").await;
    world.access_key_destination("acme", "").await;
    is_cut_at_lines(&world).await;
}

#[tokio::test]
async fn a_table_is_cut_at_lines_by_our_own_account() {
    let world = World::start("happy-cross").await;
    world.cross_account_destination("acme", "").await;
    is_cut_at_lines(&world).await;
    let us = world.s3.us().access_key;
    let others: Vec<_> = world
        .bucket
        .requests()
        .into_iter()
        .filter(|request| request.key.starts_with(PREFIX) && request.requester != us)
        .collect();
    assert_eq!(others, []);
}

#[tokio::test]
async fn the_destinations_split_size_applies_where_the_delivery_names_none() {
    let world = World::start("happy-size").await;
    world
        .access_key_destination("acme", "  splitSize: 100k\n")
        .await;
    let source = table(2, 250_000);
    world.file("a.csv", &source);
    deliver(&world, "inherits", "a.csv", "");
    deliver(
        &world,
        "own",
        "a.csv",
        "  split: {size: 200k}\n  key: \"own{split}{ext}\"\n",
    );
    let inherits = completes(&world, "inherits").await;
    assert_eq!(
        names(&world.bucket, &inherits),
        ["a-001.csv", "a-002.csv", "a-003.csv"]
    );
    assert_same(&joined(&world.bucket, &inherits), &source);
    let own = completes(&world, "own").await;
    assert_eq!(names(&world.bucket, &own), ["own-001.csv", "own-002.csv"]);
    assert_same(&joined(&world.bucket, &own), &source);
}

#[tokio::test]
async fn without_a_split_size_a_file_is_one_object_without_a_number() {
    let world = World::start("happy-whole").await;
    world.access_key_destination("acme", "").await;
    let source = table(3, 1_500_000);
    world.file("planes.csv", &source);
    deliver(&world, "whole", "planes.csv", "");
    let delivery = completes(&world, "whole").await;
    assert_eq!(names(&world.bucket, &delivery), ["planes.csv"]);
    assert_same(&joined(&world.bucket, &delivery), &source);
}

#[tokio::test]
async fn kubectl_waits_for_a_delivery_and_lists_how_far_it_is() {
    let world = World::start("happy-wait").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(4, 10_000));
    deliver(&world, "waited", "a.csv", "");
    let wait = [
        "wait",
        "--for=condition=Complete",
        "--timeout=60s",
        "obdel/waited",
    ];
    let told = world.namespace.kubectl(&wait).ok();
    assert!(told.contains("condition met"), "{told}");
    check_complete(&world.get(KIND, "waited"));
    let list = world.namespace.kubectl(&["get", "outbound"]).ok();
    let row = list.lines().find(|line| line.contains("waited")).unwrap();
    for word in ["Complete", "100", "Delivered"] {
        assert!(row.contains(word), "{list}");
    }
    assert!(
        list.lines().all(|line| line.trim_end().len() <= 120),
        "{list}"
    );
}

#[tokio::test]
async fn our_objects_carry_token_and_uid() {
    let world = World::start("happy-marks").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(5, 300_000));
    deliver(&world, "marked", "a.csv", "  split: {size: 100k}\n");
    let delivery = completes(&world, "marked").await;

    let customer = world.s3.client(&world.s3.customer());
    let mut tokens = Vec::new();
    for key in world.bucket.keys() {
        let head = customer.head_object().bucket(world.bucket.name()).key(&key);
        let metadata = head.send().await.unwrap().metadata.unwrap_or_default();
        assert_eq!(
            metadata["outbound-uid"], delivery["metadata"]["uid"],
            "{key}"
        );
        tokens.push(metadata["outbound-token"].clone());
    }
    assert!(tokens.len() >= 4, "{tokens:?}");
    assert!(
        tokens
            .iter()
            .all(|token| *token == tokens[0] && token.len() == 64),
        "{tokens:?}"
    );
}

#[tokio::test]
async fn our_account_gives_the_owner_full_control_of_what_it_writes() {
    let world = World::start("happy-acl").await;
    world
        .cross_account_destination("acme", "  readBack: Granted\n")
        .await;
    world.condition("obdest", "acme", "Ready", "True").await;
    // From here on, as customers demand it: who sends no such ACL may not write. (This server asks
    // parts for it too, which have none, so it can't be there for the proof; objects are single PUTs.)
    let objects = format!("arn:aws:s3:::{}/{PREFIX}*", world.bucket.name());
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "Grant",
        "Effect": "Allow",
        "Principal": {"AWS": world.s3.us().access_key},
        "Resource": objects,
        "Action": ["s3:PutObject", "s3:PutObjectAcl"],
        "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
    }]});
    world.bucket.set_policy(&policy).await;
    let us = world.s3.client(&world.s3.us());
    let without = us
        .put_object()
        .bucket(world.bucket.name())
        .key("audience/without.csv");
    without
        .send()
        .await
        .expect_err("the policy refuses who sends no ACL");

    world.file("a.csv", table(5, 300_000));
    deliver(&world, "acl", "a.csv", "  split: {size: 100k}\n");
    completes(&world, "acl").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receipt_is_never_seen_before_all_objects() {
    let (world, wire) = slow::world("happy-order", |config| config).await;
    world.cross_account_destination("acme", "").await;
    world.file("a.csv", table(6, 1_000_000));
    world.file("b.csv", table(7, 1_000_000));

    let (client, bucket) = (
        world.s3.client(&world.s3.customer()),
        world.bucket.name().to_owned(),
    );
    let (done, looks) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let watcher = tokio::spawn({
        let (done, looks) = (done.clone(), looks.clone());
        async move {
            // How many objects a look found, without and with a receipt before it.
            let (mut without, mut with) = (Vec::new(), Vec::new());
            loop {
                let last = done.load(Ordering::SeqCst);
                let receipt = client
                    .head_object()
                    .bucket(&bucket)
                    .key("audience/watched.info");
                let is_there = receipt.send().await.is_ok();
                let list = client
                    .list_objects_v2()
                    .bucket(&bucket)
                    .prefix(PREFIX)
                    .send()
                    .await;
                let contents = list.unwrap().contents.unwrap_or_default();
                let objects = contents
                    .iter()
                    .filter(|it| it.key().unwrap().ends_with(".csv"));
                if is_there { &mut with } else { &mut without }.push(objects.count());
                looks.fetch_add(1, Ordering::SeqCst);
                if last {
                    return (without, with);
                }
                // One listing after the other would keep the server from its work.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    });
    wire.hold_object("/b-");
    deliver(&world, "watched", "*.csv", "  split: {size: 250k}\n");
    slow::objects_done(&world, "watched", 1).await;
    // One look that began after that.
    let before = looks.load(Ordering::SeqCst);
    until("somebody looked", || {
        looks.load(Ordering::SeqCst) > before + 1
    })
    .await;
    wire.open();
    let delivery = completes(&world, "watched").await;
    done.store(true, Ordering::SeqCst);
    let (without, with) = watcher.await.unwrap();

    let all = names(&world.bucket, &delivery).len();
    assert!(
        without.iter().any(|seen| (1..all).contains(seen)),
        "looked too late: {without:?}"
    );
    assert!(
        !with.is_empty() && with.iter().all(|seen| *seen == all),
        "{with:?} of {all}"
    );
    assert_eq!(
        count(
            &world.bucket,
            "CompleteMultipartUpload",
            "audience/watched.info"
        ),
        1
    );
}
