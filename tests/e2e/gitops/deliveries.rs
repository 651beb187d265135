//! An `OutboundDelivery` in each of its states.

use super::{DELIVERY, DESTINATION, Stage};
use crate::support::proxy::{Kind, Refusal};
use crate::support::wait::{PATIENCE, until};
use crate::support::world::{PREFIX, WRITE_ACTIONS, find_condition};

/// Four parts.
const LARGE: usize = 20 << 20;

impl Stage {
    #[track_caller]
    fn delivery(&self, name: &str, state: &str) {
        self.shows(&DELIVERY, name, state);
    }

    async fn delivery_says(&self, name: &str, reason: &str) {
        self.says(&DELIVERY, name, reason).await;
    }

    /// Delivers `path` to `acme`; `more` are further lines of the spec (2 spaces in).
    fn deliver(&self, name: &str, path: &str, more: &str) {
        self.world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\n\
             spec:\n  destinationRef: {{name: acme}}\n  source: {{volume: {{path: {path:?}}}}}\n{more}"
        ));
    }

    /// Lets one part of objects with `name` in their key through.
    fn hold_parts(&self, name: &'static str) {
        self.hold(move |asked| {
            asked.subject.contains(name) && asked.part.is_some_and(|part| part > 1)
        });
    }

    /// Waits until a part is confirmed; the rest is held.
    async fn half_done(&self, name: &str) {
        let what = format!("{name} is half done");
        self.world
            .eventually(PATIENCE, &what, "obdel", name, |delivery| {
                let done = delivery["status"]["progress"]["bytesDone"].as_u64()?;
                let sends = find_condition(delivery, "Ready")?["reason"] == "Uploading";
                (done > 0 && sends).then_some(())
            })
            .await;
    }

    /// Waits until the operator has looked at the present generation.
    async fn seen(&self, name: &str) {
        let what = format!("{name} is seen");
        self.world
            .eventually(PATIENCE, &what, "obdel", name, |delivery| {
                let seen = &delivery["status"]["observedGeneration"];
                (seen == &delivery["metadata"]["generation"]).then_some(())
            })
            .await;
    }

    async fn told_to_stop(&self) {
        until("the run is told to stop", || {
            let log = self.world.operator.log();
            log.contains("the run is told to stop")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_waits() {
    let mut stage = Stage::start("gitops-waits").await;
    stage.world.file("a.csv", "1\n");
    stage.world.operator.kill9();
    stage.deliver("early", "a.csv", "");
    stage.delivery("early", "nobody has looked at yet");
    stage.world.operator.restart();
    stage.delivery_says("early", "DestinationNotReady").await;
    stage.delivery("early", "waits for a destination that isn't there");

    let suspended = "  suspend: true\n";
    stage
        .world
        .cross_account_destination("acme", suspended)
        .await;
    let says = "it waits for the suspended destination";
    stage
        .world
        .eventually(PATIENCE, says, "obdel", "early", |delivery| {
            let message = find_condition(delivery, "Ready")?["message"].as_str()?;
            message.contains("is suspended").then_some(())
        })
        .await;
    stage.delivery("early", "waits for a destination that is suspended");

    stage.hold_proofs();
    stage.patch(&DESTINATION, "acme", r#"{"spec": {"suspend": false}}"#);
    stage.says(&DESTINATION, "acme", "Verifying").await;
    let says = "it waits for the proof";
    stage
        .world
        .eventually(PATIENCE, says, "obdel", "early", |delivery| {
            let message = find_condition(delivery, "Ready")?["message"].as_str()?;
            (!message.contains("is suspended")).then_some(())
        })
        .await;
    stage.delivery("early", "waits for a destination that is being proved");
    stage.open();
    stage.delivery_says("early", "Delivered").await;

    stage.deliver("held", "a.csv", "  suspend: true\n");
    stage.delivery_says("held", "Suspended").await;
    stage.delivery("held", "is suspended from the start");

    stage.world.apply(
        "{apiVersion: outbound.dev/v1alpha1, kind: OutboundDelivery, metadata: {name: fresh}, spec: \
         {destinationRef: {name: acme}, source: {volume: {path: a.csv, minAge: 8760h}}}}",
    );
    stage.delivery_says("fresh", "WaitingForSource").await;
    stage.delivery("fresh", "waits for its source");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_from_its_first_byte_to_its_end() {
    let mut stage = Stage::start("gitops-works").await;
    stage.world.cross_account_destination("acme", "").await;
    stage
        .world
        .file("large.csv", "0123456789abcde\n".repeat(LARGE / 16));
    stage.hold_parts("large.csv");
    stage.deliver("daily", "large.csv", "");
    stage.half_done("daily").await;
    stage.delivery("daily", "is sending");
    stage.world.operator.kill9();
    stage.delivery("daily", "was sending when the operator went down");
    stage.world.operator.restart();
    until("it goes on", || {
        stage.world.operator.log().contains("ListParts")
            || stage
                .proxy
                .records()
                .iter()
                .any(|record| record.kind == Kind::ListParts)
    })
    .await;

    stage.patch(&DELIVERY, "daily", r#"{"spec": {"suspend": true}}"#);
    stage.told_to_stop().await;
    stage.open();
    stage.delivery_says("daily", "Suspended").await;
    stage.delivery("daily", "is suspended in mid-upload");

    stage.hold(|asked| asked.kind.is_of_receipt());
    stage.patch(&DELIVERY, "daily", r#"{"spec": {"suspend": false}}"#);
    let says = "only the receipt is missing";
    stage
        .world
        .eventually(PATIENCE, says, "obdel", "daily", |delivery| {
            (delivery["status"]["phase"] == "Finalizing").then_some(())
        })
        .await;
    stage.delivery("daily", "has sent all but its receipt");
    stage.open();
    stage.delivery_says("daily", "Delivered").await;
    stage.delivery("daily", "is complete");

    stage.world.operator.kill9();
    stage.patch(&DELIVERY, "daily", r#"{"spec": {"backoffLimit": 7}}"#);
    stage.delivery(
        "daily",
        "is complete, then edited while the operator is down",
    );
    stage.world.operator.restart();
    stage.seen("daily").await;
    stage.delivery("daily", "is complete and was edited since");
    stage.patch(&DELIVERY, "daily", r#"{"spec": {"suspend": true}}"#);
    stage.seen("daily").await;
    stage.delivery("daily", "is complete and was suspended since");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_in_trouble() {
    let stage = Stage::start("gitops-trouble").await;
    stage.world.cross_account_destination("acme", "").await;
    stage.says(&DESTINATION, "acme", "Verified").await;
    stage
        .world
        .file("large.csv", "0123456789abcde\n".repeat(LARGE / 16));

    stage.deliver("missing", "late.csv", "");
    stage.delivery_says("missing", "SourceNotFound").await;
    stage.delivery("missing", "failed");
    stage.patch(&DELIVERY, "missing", r#"{"spec": {"backoffLimit": 7}}"#);
    stage.seen("missing").await;
    stage.delivery("missing", "failed and was edited since");
    stage.world.file("late.csv", "1\n");
    stage.hold(|asked| asked.subject.contains("late.csv"));
    let request = [
        "annotate",
        "obdel",
        "missing",
        "outbound.dev/requestedAt=now",
    ];
    stage.world.namespace.kubectl(&request).ok();
    stage.delivery_says("missing", "Uploading").await;
    stage.delivery("missing", "failed and is tried again on request");
    stage.open();
    stage.delivery_says("missing", "Delivered").await;

    let refusal = Refusal::new(500, "InternalError", "We encountered an internal error.");
    stage.proxy.refuse(Kind::Create, None, refusal);
    stage.deliver("bumpy", "large.csv", "  backoffLimit: 100\n");
    let says = "an attempt has ended";
    stage
        .world
        .eventually(PATIENCE, says, "obdel", "bumpy", |delivery| {
            let attempts = delivery["status"]["attempts"].as_i64()?;
            (attempts > 0 && delivery["status"]["lastError"].is_string()).then_some(())
        })
        .await;
    stage.delivery("bumpy", "met trouble and will try again");
    stage.hold_parts("large.csv");
    stage.proxy.relent();
    stage.half_done("bumpy").await;

    stage.patch(
        &DESTINATION,
        "acme",
        r#"{"spec": {"prefix": "audience/other/"}}"#,
    );
    stage.told_to_stop().await;
    stage.open();
    stage.delivery_says("bumpy", "DestinationChanged").await;
    stage.delivery("bumpy", "is held until its destination is changed back");

    stage.hold_parts("large.csv");
    stage.patch(
        &DESTINATION,
        "acme",
        &format!(r#"{{"spec": {{"prefix": "{PREFIX}"}}}}"#),
    );
    stage.half_done("bumpy").await;
    stage.hold(|asked| asked.kind == Kind::Abort || asked.part.is_some_and(|part| part > 1));
    let delete = ["delete", "obdel", "bumpy", "--wait=false"];
    stage.world.namespace.kubectl(&delete).ok();
    stage.delivery("bumpy", "is being deleted while its uploads are aborted");
    stage.open();
    let gone = ["wait", "--for=delete", "obdel/bumpy", "--timeout=60s"];
    stage.world.namespace.kubectl(&gone).ok();
}

/// The manifest was taken away and came back: nothing is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_was_created_again() {
    let stage = Stage::start("gitops-again").await;
    let read_back = "  readBack: Granted\n";
    stage
        .world
        .cross_account_destination("acme", read_back)
        .await;
    let rights = [&WRITE_ACTIONS[..], &["s3:PutObjectAcl", "s3:GetObject"]].concat();
    let us = stage.world.s3.us();
    stage.world.bucket.grant(&us, PREFIX, &rights).await;
    stage.world.file("a.csv", "1\n");
    stage.deliver("daily", "a.csv", "");
    stage.delivery_says("daily", "Delivered").await;
    let written = stage.world.bucket.files();
    let delete = ["delete", "obdel", "daily", "--timeout=60s"];
    stage.world.namespace.kubectl(&delete).ok();
    stage.deliver("daily", "a.csv", "");
    stage.delivery_says("daily", "AlreadyDelivered").await;
    stage.delivery("daily", "was created again and found everything there");
    assert_eq!(stage.world.bucket.files(), written);
}
