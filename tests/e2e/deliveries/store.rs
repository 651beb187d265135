//! What the store sees: single requests or parts, and the checksum of the whole object.

use aws_sdk_s3::types::ChecksumMode;

use super::{PART, assert_same, completes, count, deliver, joined, large_table, succeeded, table};
use crate::support::World;
use crate::support::world::{PREFIX, WRITE_ACTIONS};

/// Grants read-back too, as its grant says.
pub(super) async fn readable_destination(world: &World) {
    let user = world
        .access_key_destination("acme", "  readBack: Granted\n")
        .await;
    let actions = [&WRITE_ACTIONS[..], &["s3:GetObject"]].concat();
    world.bucket.grant(&user, PREFIX, &actions).await;
}

#[tokio::test]
async fn with_read_back_a_small_object_is_one_put() {
    let world = World::start("store-granted").await;
    readable_destination(&world).await;
    world.file("a.csv", table(1, 100_000));
    deliver(&world, "put", "a.csv", "");
    completes(&world, "put").await;
    for key in ["audience/a.csv", "audience/put.info"] {
        assert_eq!(count(&world.bucket, "PutObject", key), 1, "{key}");
        let others: Vec<_> = world
            .bucket
            .requests()
            .into_iter()
            .filter(|it| it.key == key && it.operation.contains("Multipart"))
            .collect();
        assert_eq!(others, [], "{key}");
    }
}

#[tokio::test]
async fn write_only_a_small_object_is_an_upload_of_one_part_and_nothing_is_read() {
    let world = World::start("store-write-only").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(2, 100_000));
    deliver(&world, "parts", "a.csv", "");
    completes(&world, "parts").await;
    for key in ["audience/a.csv", "audience/parts.info"] {
        for operation in [
            "CreateMultipartUpload",
            "UploadPart",
            "CompleteMultipartUpload",
        ] {
            assert_eq!(count(&world.bucket, operation, key), 1, "{key} {operation}");
        }
    }
    // The first receipt is sent once more, to find out whether the condition is honoured: it is.
    let is_probe = |it: &crate::support::s3::Request| {
        it.operation == "PutObject" && it.key == "audience/parts.info" && it.status == 412
    };
    let mut operations: Vec<_> = world
        .bucket
        .requests()
        .into_iter()
        .filter(|it| it.key.starts_with(PREFIX) && !is_probe(it))
        .map(|it| it.operation)
        .collect();
    operations.sort();
    operations.dedup();
    let wanted = [
        "AbortMultipartUpload",
        "CompleteMultipartUpload",
        "CreateMultipartUpload",
        "UploadPart",
    ];
    assert_eq!(operations, wanted);
}

/// An object of several parts has the checksum that the store computed over it.
async fn checksums_agree(world: &World) {
    let source = large_table(3, 23 << 20);
    world.file("large.csv", &source);
    deliver(world, "large", "large.csv", "");
    let delivery = completes(world, "large").await;
    assert_same(&joined(&world.bucket, &delivery), &source);
    let key = "audience/large.csv";
    assert_eq!(
        count(&world.bucket, "UploadPart", key),
        source.len().div_ceil(PART)
    );
    assert_eq!(succeeded(&world.bucket, "UploadPart")[key], 5);

    let customer = world.s3.client(&world.s3.customer());
    for object in delivery["status"]["objects"].as_array().unwrap() {
        let head = customer
            .head_object()
            .bucket(world.bucket.name())
            .key(object["key"].as_str().unwrap())
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert!(head.checksum_crc64_nvme().is_some());
        assert_eq!(head.checksum_crc64_nvme(), object["checksum"].as_str());
        assert_eq!(
            head.checksum_type().map(|it| it.as_str()),
            Some("FULL_OBJECT")
        );
        assert_eq!(head.content_length(), object["bytes"].as_i64());
    }
}

#[tokio::test]
async fn the_checksum_of_many_parts_is_the_stores_own() {
    let shared = crate::support::S3Server::shared();
    let parts = |config: crate::support::OperatorConfig| config.with("transfer.partSize", "5Mi");
    let world = World::start_with("store-checksum", &shared, parts).await;
    world.access_key_destination("acme", "").await;
    checksums_agree(&world).await;
}

#[tokio::test]
async fn the_checksum_of_many_parts_is_the_stores_own_with_read_back_too() {
    let shared = crate::support::S3Server::shared();
    let parts = |config: crate::support::OperatorConfig| config.with("transfer.partSize", "5Mi");
    let world = World::start_with("store-readable", &shared, parts).await;
    readable_destination(&world).await;
    checksums_agree(&world).await;
}
