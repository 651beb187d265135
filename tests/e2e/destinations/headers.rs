//! Encryption, storage class and tags: on everything that begins an object, and on nothing else.

use std::collections::BTreeSet;

use super::{access_key, proxy, verified, world_behind};
use crate::support::proxy::{Kind, Proxy, Record};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{S3Server, World};

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// The headers that a destination's settings become.
const HEADERS: [&str; 6] = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-acl",
];

/// A small file, one of two parts, and their receipt, delivered in both ways that small objects go.
async fn deliver(world: &World, destination: &str) {
    world.file("small.csv", "a,b\n1,2\n");
    world.file("large.csv", "0123456789,abcdef\n".repeat((6 << 20) / 18));
    world.apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {destination}}}\n\
         spec:\n  destinationRef: {{name: {destination}}}\n  source: {{volume: {{path: \"*.csv\"}}}}\n  \
         key: \"{destination}/{{name}}\"\n  receipt: {{key: \"{destination}/{{delivery}}.info\"}}\n"
    ));
    world
        .condition("obdel", destination, "Complete", "True")
        .await;
}

/// What each of [`HEADERS`] says in a request.
fn said(record: &Record) -> Vec<Option<&str>> {
    let value = |name: &&str| {
        record
            .headers
            .get(*name)
            .map(|value| value.to_str().unwrap())
    };
    HEADERS.iter().map(value).collect()
}

/// Every request that begins an object says `expected`, and no other says anything; returns the kinds that did.
#[track_caller]
fn check(proxy: &Proxy, expected: &[Option<&str>]) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    for record in proxy.records() {
        let begins =
            record.kind.creates_upload() || matches!(record.kind, Kind::Put | Kind::ReceiptPut);
        if begins {
            assert_eq!(said(&record), expected, "{record:?}");
            kinds.insert(record.kind);
        } else {
            assert_eq!(said(&record), [None; 6], "{record:?}");
        }
    }
    kinds
}

async fn delivered(topic: &str, settings: &str, expected: &[Option<&str>]) {
    let s3 = S3Server::shared();
    let (write_only, granted) = (proxy(&s3, vec![]).await, proxy(&s3, vec![]).await);
    let world = world_behind(topic, &s3, &[&write_only, &granted]).await;
    let user = s3.user("writer");
    let more = ["s3:GetObject", "s3:PutObjectTagging", "s3:PutObjectAcl"];
    let actions = [&WRITE_ACTIONS[..], &more].concat();
    world.bucket.grant(&user, PREFIX, &actions).await;
    for (name, proxy, read_back) in [
        ("write-only", &write_only, "readBack: WriteOnly"),
        ("granted", &granted, "readBack: Granted"),
    ] {
        world.secret(name, &user);
        let change = format!("endpoint: {}\n{read_back}\n{settings}", proxy.url());
        world.apply(&access_key(&world, name, &world.bucket, change.trim_end()));
        verified(&world, name).await;
        deliver(&world, name).await;
    }
    let kinds = check(&write_only, expected);
    // The receipt's Put is the question whether the store honours conditions.
    let all = [
        Kind::ProofCreate,
        Kind::Create,
        Kind::ReceiptCreate,
        Kind::ReceiptPut,
    ];
    assert_eq!(kinds, BTreeSet::from(all));
    let kinds = check(&granted, expected);
    let all = [Kind::ProofCreate, Kind::Create, Kind::Put, Kind::ReceiptPut];
    assert_eq!(kinds, BTreeSet::from(all));
}

#[tokio::test]
async fn every_object_the_receipt_and_the_proof_carry_what_the_destination_names() {
    let settings = format!(
        "acl: BucketOwnerFullControl\nencryption: {{type: SSE-KMS, kmsKeyId: \"{KEY}\", bucketKey: true}}\n\
         storageClass: STANDARD_IA\nobjectTags: [{{key: team, value: \"a b\"}}, {{key: feed, value: audience}}]"
    );
    let expected = [
        Some("aws:kms"),
        Some(KEY),
        Some("true"),
        Some("STANDARD_IA"),
        Some("feed=audience&team=a%20b"),
        Some("bucket-owner-full-control"),
    ];
    delivered("headers-kms", &settings, &expected).await;
}

#[tokio::test]
async fn s3s_own_encryption_has_no_key_to_name() {
    let expected = [Some("AES256"), None, None, None, None, None];
    delivered("headers-s3", "encryption: {type: SSE-S3}", &expected).await;
}

#[tokio::test]
async fn nothing_is_carried_where_nothing_is_named() {
    delivered("headers-none", "", &[None; 6]).await;
}
