//! Places that aren't there, aren't whose one thought, or aren't for this namespace.

use super::{access_key, cross_account, nothing_is_left, refused, requests_by, verified};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{S3Server, World};

#[tokio::test]
async fn a_missing_bucket_a_wrong_owner_and_a_wrong_region_are_told() {
    let world = World::start("place").await;
    let user = world.s3.user("writer");
    world.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    let cases: [(&str, &str, &str, &[&str]); 3] = [
        (
            "no-bucket",
            "bucket: never-made",
            "BucketNotFound",
            &[
                "NoSuchBucket",
                "The customer must create the bucket never-made",
            ],
        ),
        (
            "owner",
            "bucketOwner: \"333333333333\"",
            "BucketOwnerMismatch",
            &[
                "does not belong to account 333333333333",
                "the destination's bucket or its bucketOwner is wrong",
            ],
        ),
        (
            "region",
            "region: eu-west-1",
            "RegionMismatch",
            &["The bucket is in us-east-1: the destination's region must say so"],
        ),
    ];
    for (name, change, _, _) in cases {
        world.secret(name, &user);
        world.apply(&access_key(&world, name, &world.bucket, change));
    }
    for (name, _, reason, words) in cases {
        refused(&world, name, reason, words).await;
    }
    nothing_is_left(&world.bucket).await;
    // The right owner is pinned on each request, and taken.
    let owner = format!("bucketOwner: \"{}\"", world.s3.customer().access_key);
    world.apply(&access_key(&world, "owner", &world.bucket, &owner));
    verified(&world, "owner").await;
}

#[tokio::test]
async fn a_namespace_reaches_only_what_the_configuration_gives_it() {
    let world = World::start("tenancy").await;
    let other = world.s3.bucket(&world.s3.customer()).await;
    let us = world.s3.us();
    // The customers would all let us in: what holds us back is the operator's configuration.
    world.bucket.grant(&us, "", &WRITE_ACTIONS).await;
    other.grant(&us, "", &WRITE_ACTIONS).await;
    world.apply(&cross_account(&world, "bucket", &other, ""));
    world.apply(&cross_account(
        &world,
        "owner",
        &world.bucket,
        "bucketOwner: \"333333333333\"",
    ));
    world.apply(&cross_account(
        &world,
        "prefix",
        &world.bucket,
        "prefix: elsewhere/",
    ));
    world.apply(&cross_account(&world, "above", &world.bucket, "!prefix"));
    let namespace = format!(
        "namespace {} may not write as our account",
        world.namespace.name()
    );
    let words = [
        "the operator's administrator must add them under tenancy[].crossAccountBuckets",
        &namespace,
    ];
    for name in ["bucket", "owner", "prefix", "above"] {
        refused(&world, name, "BucketNotAllowed", &words).await;
    }
    for bucket in [&world.bucket, &other] {
        assert_eq!(requests_by(bucket, &us.access_key), 0);
        nothing_is_left(bucket).await;
    }
    world.apply(&cross_account(
        &world,
        "below",
        &world.bucket,
        &format!("prefix: {PREFIX}daily/"),
    ));
    verified(&world, "below").await;
}

#[tokio::test]
async fn an_endpoint_that_is_not_on_the_list_is_never_called() {
    let own = S3Server::start();
    let world = World::start("endpoint").await;
    let user = world.s3.user("writer");
    world.secret("acme", &user);
    let bucket = own.bucket(&own.customer()).await;
    let before = own.requests(bucket.name()).len();
    world.apply(&access_key(
        &world,
        "acme",
        &bucket,
        &format!("endpoint: {}", own.url()),
    ));
    let words = [
        own.url(),
        "is not on the operator's allow-list",
        "the operator's administrator must list it under endpoints.allow",
    ];
    refused(&world, "acme", "EndpointNotAllowed", &words).await;
    assert_eq!(own.requests(bucket.name()).len(), before);
}

#[tokio::test]
async fn plain_http_is_refused_where_the_configuration_does_not_allow_it() {
    let s3 = S3Server::shared();
    let world = World::start_with("plain", &s3, |config| {
        config
            .with("endpoints.allowPlainHttp", false)
            .with("endpoints.s3", serde_json::Value::Null)
            .with("endpoints.allow", serde_json::json!([]))
    })
    .await;
    world.secret("acme", &s3.user("writer"));
    world.apply(&access_key(&world, "acme", &world.bucket, ""));
    let words = [
        "an endpoint with \"http://\" is not allowed here",
        "the operator's administrator must list it",
    ];
    refused(&world, "acme", "EndpointNotAllowed", &words).await;
    assert_eq!(
        world.bucket.requests().len(),
        1,
        "only the bucket's own creation"
    );
}
