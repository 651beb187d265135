//! The receipt: what consumers of such feeds parse.

use aws_sdk_s3::types::ChecksumMode;
use serde_json::{Value, json};

use super::{check_complete, completes, deliver, delivered, md5, receipt, table};
use crate::support::World;
use crate::support::world::PREFIX;

/// The members of an object, sorted.
fn members(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn the_receipt_has_the_field_names_that_consumers_parse() {
    let world = World::start("receipt-names").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(1, 250_000));
    world.file("b.csv", "one line\nand one without an end");
    deliver(&world, "feed", "*.csv", "  split: {size: 100k}\n");
    let delivery = completes(&world, "feed").await;
    let objects = delivered(&world.bucket, &delivery);
    assert_eq!(objects.len(), 4);

    let key = "audience/feed.info";
    assert_eq!(delivery["status"]["receipt"]["key"], key);
    let found = receipt(&world.bucket, &delivery);
    for (entry, (_, bytes)) in found["Files"].as_array().unwrap().iter().zip(&objects) {
        for name in [
            "FileName",
            "FileByteSize",
            "FileLineCount",
            "FileSequenceNumber",
            "md5",
        ] {
            assert!(members(entry).contains(&name), "{found:#}");
        }
        assert_eq!(entry["md5"], md5(bytes));
    }
    for name in [
        "FileName",
        "TotalByteSize",
        "TotalNumberFiles",
        "TotalNumberLines",
    ] {
        assert!(members(&found["Totals"]).contains(&name), "{found:#}");
    }
    // What `wc -l` counts: the end that is missing is no line.
    assert_eq!(found["Files"][3]["FileLineCount"], 1);
    assert_eq!(found["Totals"]["TotalNumberFiles"], 4);

    ours(&world, &delivery, &found).await;
}

/// What stands beside the names that others chose.
async fn ours(world: &World, delivery: &Value, found: &Value) {
    let metadata = &delivery["metadata"];
    assert_eq!(found["schemaVersion"], 1);
    assert_eq!(found["delivery"]["namespace"], world.namespace.name());
    assert_eq!(found["delivery"]["name"], metadata["name"]);
    assert_eq!(found["delivery"]["uid"], metadata["uid"]);
    assert_eq!(found["destination"]["name"], "acme");
    assert_eq!(found["destination"]["bucket"], world.bucket.name());
    assert_eq!(found["destination"]["prefix"], PREFIX);
    assert_eq!(found["times"]["created"], metadata["creationTimestamp"]);
    assert_eq!(found["times"]["logicalTime"], metadata["creationTimestamp"]);
    assert!(found["times"]["plannedAt"].is_string(), "{found:#}");
    let key = delivery["status"]["receipt"]["key"].as_str().unwrap();
    assert_eq!(found["Totals"]["FileName"], key.trim_start_matches(PREFIX));

    let customer = world.s3.client(&world.s3.customer());
    let head = customer.head_object().bucket(world.bucket.name()).key(key);
    let head = head
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    let marks = head.metadata().cloned().unwrap_or_default();
    assert_eq!(found["delivery"]["token"], marks["outbound-token"]);
    let checksum = delivery["status"]["receipt"]["checksum"].as_str();
    assert_eq!(checksum, head.checksum_crc64_nvme());

    // Sources and ranges, one behind the other; checksums as in the status.
    let files = found["Files"].as_array().unwrap();
    let origin = |at: usize| files[at]["source"].clone();
    let length = |at: usize| files[at]["FileByteSize"].as_u64().unwrap();
    assert_eq!(
        origin(0),
        json!({"path": "a.csv", "offset": 0, "length": length(0)})
    );
    assert_eq!(
        origin(1),
        json!({"path": "a.csv", "offset": length(0), "length": length(1)})
    );
    assert_eq!(
        origin(3),
        json!({"path": "b.csv", "offset": 0, "length": 31})
    );
    assert_eq!(files[3]["records"], 2, "the last record needs no end");
    let listed = delivery["status"]["objects"].as_array().unwrap();
    for (file, object) in files.iter().zip(listed) {
        assert_eq!(file["crc64nvme"], object["checksum"]);
    }
}

#[tokio::test]
async fn the_receipt_has_a_key_of_its_own_and_no_md5_where_none_is_wanted() {
    let world = World::start("receipt-key").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(2, 10_000));
    let more = "  logicalTime: 2026-11-24T01:02:03Z\n  \
                receipt: {key: \"control/{date}/{timestamp}_{delivery}_{destination}.json\", md5: false}\n";
    deliver(&world, "own", "a.csv", more);
    let delivery = completes(&world, "own").await;
    let key = "audience/control/2026-11-24/1795482123000_own_acme.json";
    assert_eq!(delivery["status"]["receipt"]["key"], key);
    assert_eq!(world.bucket.keys(), ["audience/a.csv", key]);
    let found = receipt(&world.bucket, &delivery);
    assert!(found["Files"][0]["md5"].is_null(), "{found:#}");
    assert_eq!(delivered(&world.bucket, &delivery).len(), 1);
}

#[tokio::test]
async fn over_a_hundred_objects_the_status_lists_some_and_the_receipt_all() {
    let world = World::start("receipt-many").await;
    world.access_key_destination("acme", "").await;
    let source = table(3, 60_000);
    world.file("a.csv", &source);
    deliver(&world, "many", "a.csv", "  split: {size: 500}\n");
    let delivery = completes(&world, "many").await;
    check_complete(&delivery);
    let objects = delivered(&world.bucket, &delivery);
    assert!((120..200).contains(&objects.len()), "{}", objects.len());
    assert_eq!(objects[0].0, "a-001.csv");
    assert_eq!(delivery["status"]["objects"].as_array().unwrap().len(), 100);
    let joined: Vec<u8> = objects.into_iter().flat_map(|(_, bytes)| bytes).collect();
    super::assert_same(&joined, &source);
}
