//! Rights that are missing, and the policy that gives them.

use serde_json::{Value, json};

use super::{
    REQUESTS_A_PROOF, access_key, cross_account, nothing_is_left, refused, requests_by, verified,
};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, WRITE_ACTIONS, find_condition};
use crate::support::{Bucket, World};

/// An AccessKey destination whose user may do just that.
async fn with_rights(world: &World, name: &str, prefix: &str, actions: &[&str]) -> Bucket {
    let bucket = world.s3.bucket(&world.s3.customer()).await;
    let user = world.s3.user("writer");
    bucket.grant(&user, prefix, actions).await;
    world.secret(name, &user);
    world.apply(&access_key(world, name, &bucket, ""));
    bucket
}

#[tokio::test]
async fn a_missing_right_is_named_with_who_must_give_it() {
    let world = World::start("rights").await;
    let put = with_rights(&world, "put", PREFIX, &["s3:AbortMultipartUpload"]).await;
    let all = with_rights(&world, "all", PREFIX, &["s3:GetObject"]).await;
    let elsewhere = with_rights(&world, "elsewhere", "other/", &WRITE_ACTIONS).await;
    let resource = |bucket: &Bucket| format!("arn:aws:s3:::{}/{PREFIX}*", bucket.name());
    let words = format!("must allow s3:PutObject on {}", resource(&put));
    refused(
        &world,
        "put",
        "AccessDenied",
        &[
            "CreateMultipartUpload",
            "403 AccessDenied",
            &words,
            "service control policies",
        ],
    )
    .await;
    let words = format!(
        "must allow s3:PutObject and s3:AbortMultipartUpload on {}",
        resource(&all)
    );
    refused(&world, "all", "AccessDenied", &[&words]).await;
    let words = format!(
        "must allow s3:PutObject and s3:AbortMultipartUpload on {}",
        resource(&elsewhere)
    );
    refused(&world, "elsewhere", "AccessDenied", &[&words]).await;
    for bucket in [put, all, elsewhere] {
        nothing_is_left(&bucket).await;
        assert!(
            bucket.requests().len() <= 2 + REQUESTS_A_PROOF + 1,
            "{:#?}",
            bucket.requests()
        );
    }
}

#[tokio::test]
async fn a_refused_abort_is_told_and_not_repeated_into_more_orphans() {
    let world = World::start("orphan").await;
    let bucket = world.s3.bucket(&world.s3.customer()).await;
    let user = world.s3.user("writer");
    bucket.grant(&user, PREFIX, &["s3:PutObject"]).await;
    world.secret("acme", &user);
    world.apply(&access_key(&world, "acme", &bucket, ""));
    let words = [
        "s3:AbortMultipartUpload",
        "stays open",
        "a lifecycle rule for incomplete uploads removes it",
    ];
    refused(&world, "acme", "AccessDenied", &words).await;
    assert_eq!(bucket.uploads().await.len(), 1);
    world.request("obdest", "acme", "again").await;
    refused(&world, "acme", "AccessDenied", &words[..1]).await;
    assert_eq!(
        bucket.uploads().await.len(),
        1,
        "another upload that can't be aborted"
    );
    // Once the right is there, the next proof tells, and leaves nothing of its own.
    bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    eventually(PATIENCE, "the right is noticed", async || {
        let object = world.get("obdest", "acme");
        match find_condition(&object, "Ready") {
            Some(ready) if ready["status"] == "True" => Ok(()),
            _ => Err(format!("{:#}", object["status"])),
        }
    })
    .await;
    assert_eq!(bucket.uploads().await.len(), 1);
}

#[tokio::test]
async fn an_acl_that_is_refused_is_told_from_a_missing_right() {
    let world = World::start("acl").await;
    let us = world.s3.us();
    let all = format!("arn:aws:s3:::{}/{PREFIX}*", world.bucket.name());
    let allow = json!({"Effect": "Allow", "Principal": {"AWS": us.access_key}, "Action": WRITE_ACTIONS, "Resource": all});
    let deny = json!({
        "Effect": "Deny", "Principal": {"AWS": us.access_key}, "Action": ["s3:PutObject"], "Resource": all,
        "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
    });
    let policy = |statements: &[&Value]| json!({"Version": "2012-10-17", "Statement": statements});
    world.bucket.set_policy(&policy(&[&allow, &deny])).await;
    world.apply(&cross_account(&world, "acme", &world.bucket, ""));
    let words = [
        "without the ACL bucket-owner-full-control is taken",
        "s3:PutObjectAcl",
        &us.access_key,
        "acl must be None",
    ];
    refused(&world, "acme", "AclNotAllowed", &words).await;
    nothing_is_left(&world.bucket).await;

    world.apply(&cross_account(&world, "acme", &world.bucket, "acl: None"));
    let object = verified(&world, "acme").await;
    assert_eq!(object["status"]["effective"]["acl"], "None");
    nothing_is_left(&world.bucket).await;
}

#[tokio::test]
async fn the_printed_policy_lets_us_write() {
    let world = World::start("grant").await;
    let us = world.s3.us();
    world.apply(&cross_account(&world, "acme", &world.bucket, ""));
    let words = [
        "must allow",
        "status.grant.bucketPolicy",
        "status.grant.identityPolicy",
        &us.access_key,
    ];
    refused(&world, "acme", "AccessDenied", &words).await;

    let status = world.get("obdest", "acme")["status"].clone();
    let expected = json!({"account": "222222222222", "arn": "arn:aws:iam::222222222222:root"});
    assert_eq!(status["identity"], expected);
    let policy: Value =
        serde_json::from_str(status["grant"]["bucketPolicy"].as_str().unwrap()).unwrap();
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 1);
    let statement = &policy["Statement"][0];
    let actions = [
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:PutObjectAcl",
    ];
    assert_eq!(statement["Action"], json!(actions));
    assert_eq!(
        statement["Resource"],
        format!("arn:aws:s3:::{}/{PREFIX}*", world.bucket.name())
    );
    assert_eq!(statement["Principal"], json!({"AWS": us.access_key}));

    world.bucket.set_policy(&policy).await;
    world.request("obdest", "acme", "granted").await;
    let status = verified(&world, "acme").await["status"].clone();
    let expected = json!({
        "region": "us-east-1", "splitSize": 1_000_000_000_000_u64, "acl": "BucketOwnerFullControl",
        "addressing": "VirtualHosted", "bucketOwner": world.s3.customer().access_key,
    });
    assert_eq!(status["effective"], expected);
    nothing_is_left(&world.bucket).await;
    assert!(requests_by(&world.bucket, &us.access_key) >= 3);
}

#[tokio::test]
async fn an_access_key_destination_says_what_its_user_needs() {
    let world = World::start("effective").await;
    world
        .access_key_destination("acme", "  readBack: Granted\n  splitSize: 500k\n")
        .await;
    let status = verified(&world, "acme").await["status"].clone();
    let expected =
        json!({"region": "us-east-1", "splitSize": 500_000, "acl": "None", "addressing": "Path"});
    assert_eq!(status["effective"], expected);
    assert!(status["secretVersion"].is_string(), "{status:#}");
    assert!(
        status["grant"].get("bucketPolicy").is_none() && status.get("identity").is_none(),
        "{status:#}"
    );
    let policy: Value =
        serde_json::from_str(status["grant"]["identityPolicy"].as_str().unwrap()).unwrap();
    let actions = [
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:GetObject",
    ];
    assert_eq!(policy["Statement"][0]["Action"], json!(actions));
    nothing_is_left(&world.bucket).await;
}
