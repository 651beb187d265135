//! Destinations: what a proof of access finds, what is said of it, and what it leaves.

mod credentials;
mod headers;
mod permissions;
mod place;
mod proof;
mod reasons;
mod rights;
mod unreachable;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::manifest::manifest;
use crate::support::proxy::{Dialect, Fault, Proxy, Upstream};
use crate::support::world::{PREFIX, find_condition};
use crate::support::{Bucket, S3Server, World};

/// Requests that one proof may take: create, part, abort; then an invented abort, pinned and not, and three
/// calls for each header that is taken away.
const REQUESTS_A_PROOF: usize = 8;

/// Parts of the objects that a proxy's kinds of request are told by.
const PARTS: u32 = 2;

/// A proxy before the world's server, which spoils what it is told to.
async fn proxy(s3: &S3Server, faults: Vec<Fault>) -> Proxy {
    let (kills, _) = tokio::sync::mpsc::unbounded_channel();
    let dialect = Dialect::S3 { parts: PARTS };
    let latency = BTreeMap::new();
    Proxy::start(Upstream::plain(s3.url()), dialect, faults, latency, kills).await
}

/// A world whose AccessKey destinations may name those proxies, too.
async fn world_behind(topic: &str, s3: &S3Server, proxies: &[&Proxy]) -> World {
    let urls = proxies.iter().map(|proxy| proxy.url());
    let urls: Vec<String> = urls.chain([s3.url().to_owned()]).collect();
    World::start_with(topic, s3, |config| {
        config
            .with("endpoints.allow", urls)
            .with("transfer.partSize", "5Mi")
    })
    .await
}

/// An AccessKey destination on the world's server, with the Secret of its own name.
fn access_key(world: &World, name: &str, bucket: &Bucket, change: &str) -> String {
    let base = format!(
        "bucket: {}\nprefix: {PREFIX}\nendpoint: {}\npermissionMode: AccessKey\naccessKey: {{secretRef: {{name: {name}}}}}",
        bucket.name(),
        world.s3.url(),
    );
    manifest("OutboundDestination", name, &base, change)
}

/// A CrossAccount destination on the world's server.
fn cross_account(world: &World, name: &str, bucket: &Bucket, change: &str) -> String {
    let base = format!(
        "bucket: {}\nprefix: {PREFIX}\nregion: us-east-1\nbucketOwner: \"{}\"\npermissionMode: CrossAccount",
        bucket.name(),
        world.s3.customer().access_key,
    );
    manifest("OutboundDestination", name, &base, change)
}

/// Waits until the destination needs somebody, for that reason; checks that its conditions follow kstatus and
/// that the message has all the words.
async fn needs_somebody(world: &World, name: &str, reason: &str, words: &[&str]) -> String {
    let ready = world.condition("obdest", name, "Ready", "False").await;
    let object = world.get("obdest", name);
    assert_eq!(ready["reason"], reason, "{name}: {ready:#}");
    let message = ready["message"].as_str().unwrap().to_owned();
    for word in words {
        assert!(message.contains(word), "{name}: no {word:?} in: {message}");
    }
    let stalled = find_condition(&object, "Stalled").unwrap_or(&Value::Null);
    assert_eq!(
        (&stalled["status"], &stalled["reason"]),
        (&"True".into(), &reason.into()),
        "{name}: {object:#}"
    );
    assert_eq!(
        find_condition(&object, "Reconciling"),
        None,
        "{name}: {object:#}"
    );
    assert_eq!(
        object["status"]["observedGeneration"],
        object["metadata"]["generation"]
    );
    message
}

/// The same, by the store's or the configuration's word: so access is known not to be there.
async fn refused(world: &World, name: &str, reason: &str, words: &[&str]) -> String {
    let message = needs_somebody(world, name, reason, words).await;
    let object = world.get("obdest", name);
    let access = find_condition(&object, "AccessVerified").unwrap_or(&Value::Null);
    assert_eq!(
        (&access["status"], &access["reason"]),
        (&"False".into(), &reason.into()),
        "{name}: {object:#}"
    );
    message
}

/// Waits until access is proved; checks that the conditions follow kstatus.
async fn verified(world: &World, name: &str) -> Value {
    let ready = world.condition("obdest", name, "Ready", "True").await;
    assert_eq!(ready["reason"], "Verified", "{name}: {ready:#}");
    let object = world.get("obdest", name);
    for absent in ["Reconciling", "Stalled"] {
        assert_eq!(find_condition(&object, absent), None, "{name}: {object:#}");
    }
    let access = find_condition(&object, "AccessVerified").unwrap_or(&Value::Null);
    assert_eq!(access["status"], "True", "{name}: {object:#}");
    assert!(
        object["status"]["lastVerifiedTime"].is_string(),
        "{name}: {object:#}"
    );
    object
}

/// No object and no open upload is in the bucket.
async fn nothing_is_left(bucket: &Bucket) {
    assert_eq!(bucket.keys(), [""; 0]);
    assert_eq!(bucket.uploads().await, []);
}

/// How many requests for the bucket that principal signed.
fn requests_by(bucket: &Bucket, principal: &str) -> usize {
    bucket
        .requests()
        .iter()
        .filter(|request| request.requester == principal)
        .count()
}

/// How many proofs began in the bucket: each creates one upload first.
fn proofs(bucket: &Bucket) -> usize {
    let begins = |operation: &str| operation == "CreateMultipartUpload";
    bucket
        .requests()
        .iter()
        .filter(|request| begins(&request.operation))
        .count()
}
