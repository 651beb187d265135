//! When access is proved, how often, and what is written of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{access_key, nothing_is_left, proofs, refused, verified};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, find_condition};
use crate::support::{ControlPlane, Operator, OperatorConfig, S3Server, World};

#[tokio::test]
async fn a_proof_creates_sends_and_aborts_and_leaves_nothing() {
    let world = World::start("proof").await;
    let user = world.access_key_destination("acme", "").await;
    verified(&world, "acme").await;
    let requests = world.bucket.requests();
    let ours: Vec<&str> = requests
        .iter()
        .filter(|request| request.requester == user.access_key)
        .map(|request| request.operation.as_str())
        .collect();
    assert_eq!(
        ours,
        [
            "CreateMultipartUpload",
            "UploadPart",
            "AbortMultipartUpload"
        ]
    );
    let key = |key: &str| key.starts_with(&format!("{PREFIX}.outbound-access-check-"));
    assert!(
        requests
            .iter()
            .filter(|request| request.requester == user.access_key)
            .all(|request| key(&request.key))
    );
    nothing_is_left(&world.bucket).await;
}

#[tokio::test]
async fn a_request_is_answered_once_and_writes_nothing_else() {
    let world = World::start("request").await;
    world.access_key_destination("acme", "").await;
    let before = verified(&world, "acme").await;
    assert_eq!(before["status"].get("lastHandledRequest"), None);
    assert_eq!(proofs(&world.bucket), 1);
    for (value, count) in [("one", 2), ("two", 3)] {
        let after = world.request("obdest", "acme", value).await;
        assert_eq!(proofs(&world.bucket), count);
        let mut expected = before["status"].clone();
        expected["lastHandledRequest"] = json!(value);
        assert_eq!(after["status"], expected);
    }
    // The same value again, and another annotation, ask for nothing.
    world
        .namespace
        .kubectl(&[
            "annotate",
            "--overwrite",
            "obdest",
            "acme",
            "outbound.dev/requestedAt=two",
            "x=y",
        ])
        .ok();
    world.request("obdest", "acme", "three").await;
    assert_eq!(proofs(&world.bucket), 4);
    nothing_is_left(&world.bucket).await;
}

#[tokio::test]
async fn events_are_for_changes() {
    let world = World::start("events").await;
    let user = world.access_key_destination("acme", "").await;
    verified(&world, "acme").await;
    world.request("obdest", "acme", "one").await;
    world.bucket.grant(&user, "other/", &["s3:PutObject"]).await;
    // The store keeps a policy for a moment.
    let mut number = 0;
    eventually(PATIENCE, "the denial is noticed", async || {
        number += 1;
        let object = world
            .request("obdest", "acme", &format!("denied-{number}"))
            .await;
        let ready = find_condition(&object, "Ready").unwrap();
        if ready["status"] == "False" {
            Ok(())
        } else {
            Err(ready.to_string())
        }
    })
    .await;
    world.request("obdest", "acme", "denied-again").await;
    let said = |events: Vec<(String, String, String, u64)>| -> Vec<(String, String, u64)> {
        events
            .into_iter()
            .map(|(type_, reason, _, count)| (type_, reason, count))
            .collect()
    };
    let expected = [("Normal", "Verified"), ("Warning", "AccessDenied")]
        .map(|(a, b)| (a.to_owned(), b.to_owned(), 1));
    let events = eventually(PATIENCE, "both Events are there", async || {
        let events = said(world.events("acme"));
        if events.len() >= 2 {
            Ok(events)
        } else {
            Err(format!("{events:?}"))
        }
    })
    .await;
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_refusal_is_tried_again_after_a_pause_and_written_once() {
    let world = World::start("pause").await;
    world.secret("acme", &world.s3.user("stranger"));
    let start = Instant::now();
    world.apply(&access_key(&world, "acme", &world.bucket, ""));
    refused(&world, "acme", "AccessDenied", &[]).await;
    let before = world.get("obdest", "acme");
    eventually(PATIENCE, "access is proved again", async || {
        match proofs(&world.bucket) {
            0 | 1 => Err("one proof at most"),
            _ => Ok(()),
        }
    })
    .await;
    // 5 s, less a tenth, between the two.
    assert!(
        start.elapsed() >= Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        world.get("obdest", "acme")["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
}

#[tokio::test]
async fn a_changed_spec_is_proved_at_once() {
    let world = World::start("changed").await;
    world.access_key_destination("acme", "").await;
    verified(&world, "acme").await;
    world.apply(&access_key(
        &world,
        "acme",
        &world.bucket,
        "prefix: elsewhere/",
    ));
    refused(&world, "acme", "AccessDenied", &["elsewhere/"]).await;
    world.apply(&access_key(&world, "acme", &world.bucket, ""));
    let object = verified(&world, "acme").await;
    assert_eq!(object["status"]["observedGeneration"], 3);
    nothing_is_left(&world.bucket).await;
}

#[tokio::test]
async fn a_suspended_destination_is_left_alone() {
    let world = World::start("suspended").await;
    world
        .access_key_destination("acme", "  suspend: true\n")
        .await;
    let held = |object: &Value| {
        for absent in ["Reconciling", "Stalled"] {
            assert_eq!(find_condition(object, absent), None, "{object:#}");
        }
    };
    let ready = world.condition("obdest", "acme", "Ready", "Unknown").await;
    assert_eq!(ready["reason"], "Suspended");
    held(&world.get("obdest", "acme"));
    assert_eq!(proofs(&world.bucket), 0);

    world.apply(&access_key(&world, "acme", &world.bucket, ""));
    verified(&world, "acme").await;
    let count = proofs(&world.bucket);
    world.apply(&access_key(&world, "acme", &world.bucket, "suspend: true"));
    let ready = world.condition("obdest", "acme", "Ready", "Unknown").await;
    assert_eq!(ready["reason"], "Suspended");
    let object = world.get("obdest", "acme");
    held(&object);
    assert_eq!(
        find_condition(&object, "AccessVerified").unwrap()["status"],
        "True"
    );
    // A request is seen all the same; the proof comes when it is no longer held.
    let object = world.request("obdest", "acme", "now").await;
    assert_eq!(object["status"]["lastHandledRequest"], "now");
    assert_eq!(proofs(&world.bucket), count);
}

#[tokio::test]
async fn a_restarted_operator_does_not_prove_all_again() {
    let mut world = World::start("restart").await;
    world.access_key_destination("acme", "").await;
    let before = verified(&world, "acme").await;
    world.operator.restart();
    // It is at work again once it proves something new.
    world.apply(&access_key(&world, "other", &world.bucket, ""));
    refused(&world, "other", "SecretNotFound", &[]).await;
    assert_eq!(proofs(&world.bucket), 1);
    assert_eq!(
        world.get("obdest", "acme")["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stops_nobody_else() {
    // A CRD that is ahead of the operator, as between two steps of an upgrade.
    let control_plane = ControlPlane::start();
    let mode =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/permissionMode/enum/-";
    let patch = json!([{"op": "add", "path": mode, "value": "FromTheFuture"}]).to_string();
    control_plane
        .kubectl(&[
            "patch",
            "crd",
            "outbounddestinations.outbound.dev",
            "--type=json",
            "-p",
            &patch,
        ])
        .ok();
    let namespace = control_plane.namespace("future");
    let s3 = S3Server::shared();
    let bucket = s3.bucket(&s3.customer()).await;
    let from_the_future = format!(
        "{{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {{name: future}}, \
         spec: {{bucket: {}, permissionMode: FromTheFuture}}}}",
        bucket.name()
    );
    eventually(PATIENCE, "the apiserver takes the new mode", async || {
        let output = namespace.apply(&from_the_future);
        if output.success {
            Ok(())
        } else {
            Err(output.stderr)
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = control_plane.kubeconfig();
    let config = OperatorConfig::new(namespace.name(), folder.path(), &s3)
        .environment("KUBECONFIG", kubeconfig.to_str().unwrap());
    let operator = Operator::start(config);
    let present = format!(
        "{{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {{name: present}}, \
         spec: {{bucket: {}, endpoint: \"{}\", permissionMode: AccessKey, accessKey: {{secretRef: {{name: none}}}}}}}}",
        bucket.name(),
        s3.url()
    );
    namespace.apply(&present).ok();
    eventually(PATIENCE, "the other destination is looked at", async || {
        let object = namespace.get("obdest", "present").unwrap();
        match find_condition(&object, "Ready") {
            Some(ready) if ready["reason"] == "SecretNotFound" => Ok(()),
            _ => Err(format!("{object:#}\n{}", operator.log_tail())),
        }
    })
    .await;
    let future = namespace.get("obdest", "future").unwrap();
    assert_eq!(future["status"]["observedGeneration"], -1);
    let log = operator.log();
    assert!(
        log.contains("future") && log.contains("can't be read"),
        "{log}"
    );
}
