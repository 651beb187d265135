//! Deliveries by a role: sessions that end, and roles that are exchanged, in mid-upload.

use serde_json::Value;

use super::{Roles, condition};
use crate::support::aws::AwsRequest;
use crate::support::proxy::Proxy;
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::find_condition;

/// Bytes in the file: twelve parts.
const BYTES: usize = 60_000_000;

const PART: usize = 5 << 20;

/// Holds all parts of the file behind that many.
fn hold_behind(wire: &Proxy, parts: u32) {
    wire.hold(move |asked| asked.part.is_some_and(|part| part > parts));
}

/// Waits until so many parts are there; the wire holds the rest.
async fn parts_there(roles: &Roles, parts: u64) {
    let what = format!("{parts} parts are there");
    roles
        .world
        .eventually(PATIENCE, &what, "obdel", "d", |delivery| {
            let done = delivery["status"]["progress"]["bytesDone"].as_u64()?;
            (done >= parts * PART as u64).then_some(())
        })
        .await;
}

/// A verified role behind a wire, and the delivery `d` of one file of which two parts are there and the others are
/// held.
async fn half_done(topic: &str) -> (Roles, Proxy, Vec<u8>) {
    let wire = Proxy::before(crate::support::Aws::shared().url()).await;
    let url = wire.url();
    let roles = Roles::verified(topic, |config| {
        config
            .with("endpoints.s3", url)
            .with("transfer.maxConcurrentParts", 2)
    })
    .await;
    let byte = |i: usize| {
        if i % 80 == 79 {
            b'\n'
        } else {
            (i % 26) as u8 + b'a'
        }
    };
    let bytes: Vec<u8> = (0..BYTES).map(byte).collect();
    roles.world.file("a.csv", &bytes);
    hold_behind(&wire, 2);
    roles.world.apply(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {name: d}\n\
         spec:\n  destinationRef: {name: acme}\n  source: {volume: {path: a.csv}}\n",
    );
    parts_there(&roles, 2).await;
    (roles, wire, bytes)
}

async fn completes(roles: &Roles) -> Value {
    let what = "the delivery ends";
    roles
        .world
        .eventually(PATIENCE * 2, what, "obdel", "d", |delivery| {
            let is = |kind| find_condition(delivery, kind).is_some_and(|it| it["status"] == "True");
            (is("Complete") || is("Failed")).then_some(())
        })
        .await;
    let delivery = roles.world.get("obdel", "d");
    assert_eq!(
        condition(&delivery, "Complete"),
        ("True", "Delivered"),
        "{}",
        roles.world.operator.log_tail()
    );
    delivery
}

/// What was asked for the object, but for the proofs.
fn asked(roles: &Roles, operation: &str) -> Vec<AwsRequest> {
    let all = roles.bucket.requests().into_iter();
    all.filter(|request| request.operation == operation && request.key.ends_with("/a.csv"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_in_mid_upload_is_renewed_and_the_same_upload_goes_on() {
    let (roles, wire, bytes) = half_done("session-ends").await;
    let arn = roles.arn("drop");
    let before = roles.aws.assumptions(&arn).len();
    // What the wire holds is signed with a session that is over when it gets there; and that twice.
    assert!(roles.aws.expire_sessions(&arn) > 0);
    // Of four parts that may pass two at least get there: held ones take the places of those that are sent again.
    hold_behind(&wire, 6);
    parts_there(&roles, 4).await;
    assert!(roles.aws.expire_sessions(&arn) > 0);
    wire.hold(|_| false);
    completes(&roles).await;
    let key = format!("{}a.csv", crate::support::world::PREFIX);
    assert!(roles.bucket.files()[&key] == bytes, "other bytes");
    assert_eq!(asked(&roles, "CreateMultipartUpload").len(), 1);
    let parts = asked(&roles, "UploadPart");
    assert!(
        parts.iter().any(|part| part.code == "ExpiredToken"),
        "{parts:#?}"
    );
    let sent = parts.iter().filter(|part| part.status == 200).count();
    assert_eq!(sent, BYTES.div_ceil(PART), "no part goes twice");
    assert_eq!(roles.aws.assumptions(&arn).len(), before + 2);
    assert_eq!(roles.bucket.uploads().await, []);
    // Nothing of a session is told to anybody.
    let status =
        roles.world.get("obdest", "acme").to_string() + &roles.world.get("obdel", "d").to_string();
    assert!(!status.contains("ASIA") && !roles.world.operator.log().contains("ASIA"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_exchanged_restarts_the_objects_in_flight() {
    let (roles, wire, bytes) = half_done("role-exchanged").await;
    let other = roles.arn("other");
    roles.destination(&other, "");
    let trust = roles.grant("trustPolicy").await;
    let permissions = super::without_principal(&roles.grant("bucketPolicy").await);
    roles.customer.role("other", &trust, &[&permissions]);
    roles.allow_us().await;
    wire.hold(|_| false);
    roles.proved("other").await;
    roles
        .world
        .condition("obdest", "acme", "Ready", "True")
        .await;
    completes(&roles).await;
    let key = format!("{}a.csv", crate::support::world::PREFIX);
    assert!(roles.bucket.files()[&key] == bytes, "other bytes");
    let begun = asked(&roles, "CreateMultipartUpload");
    let by: Vec<_> = begun
        .iter()
        .map(|call| call.caller.contains(":assumed-role/other/"))
        .collect();
    assert_eq!(by, [false, true], "{begun:?}");
    let ended = asked(&roles, "CompleteMultipartUpload");
    assert!(
        ended
            .iter()
            .all(|call| call.caller.contains(":assumed-role/other/")),
        "{ended:?}"
    );
    assert_eq!(roles.bucket.uploads().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_closed_in_mid_upload_is_waited_for_and_the_same_upload_goes_on() {
    let (roles, wire, bytes) = half_done("role-closed").await;
    let arn = roles.arn("drop");
    let trust = roles.grant("trustPolicy").await;
    let id = roles.world.get("obdest", "acme")["status"]["externalId"].clone();
    roles
        .aws
        .set_trust(&arn, &trust.replace(id.as_str().unwrap(), "somebody-elses"));
    assert!(roles.aws.expire_sessions(&arn) > 0);
    wire.hold(|_| false);
    let world = &roles.world;
    world
        .reason("obdest", "acme", "Ready", "RoleNotAssumable")
        .await;
    let waits = |delivery: &Value| {
        let ready = find_condition(delivery, "Ready")?;
        ["AccessLost", "DestinationNotReady"]
            .contains(&ready["reason"].as_str()?)
            .then_some(())
    };
    let what = "the delivery waits for the customer";
    world.eventually(PATIENCE, what, "obdel", "d", waits).await;
    roles.aws.set_trust(&arn, &trust);
    roles.proved("opened").await;
    completes(&roles).await;
    let key = format!("{}a.csv", crate::support::world::PREFIX);
    assert!(roles.bucket.files()[&key] == bytes, "other bytes");
    assert_eq!(asked(&roles, "CreateMultipartUpload").len(), 1);
    let parts = asked(&roles, "UploadPart");
    let sent = parts.iter().filter(|part| part.status == 200).count();
    assert_eq!(sent, BYTES.div_ceil(PART), "no part goes twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_are_aborted_by_the_role_when_the_destination_is_gone() {
    let (mut roles, wire, _) = half_done("role-gone").await;
    assert_eq!(roles.bucket.uploads().await.len(), 1);
    roles.world.operator.kill9();
    wire.hold(|_| false);
    let namespace = &roles.world.namespace;
    namespace.kubectl(&["delete", "obdest", "acme"]).ok();
    namespace
        .kubectl(&["delete", "obdel", "d", "--wait=false"])
        .ok();
    roles.world.operator.restart();
    let gone = async || match roles.world.namespace.get("obdel", "d") {
        None => Ok(()),
        Some(delivery) => Err(format!("{delivery:#}\n{}", roles.world.operator.log_tail())),
    };
    eventually(PATIENCE, "the delivery is gone", gone).await;
    assert_eq!(roles.bucket.uploads().await, []);
    assert_eq!(roles.bucket.keys(), [""; 0]);
}
