//! An `OutboundDestination` in each of its states.

use super::{DESTINATION, Stage};
use crate::support::proxy::{Kind, Refusal};
use crate::support::world::{PREFIX, WRITE_ACTIONS};

impl Stage {
    #[track_caller]
    fn destination(&self, name: &str, state: &str) {
        self.shows(&DESTINATION, name, state);
    }

    async fn destination_says(&self, name: &str, reason: &str) {
        self.says(&DESTINATION, name, reason).await;
    }

    /// Proofs get no answer but that the store wants fewer requests.
    fn slow_down(&self) {
        let refusal = Refusal::new(503, "SlowDown", "Please reduce your request rate.");
        self.proxy.refuse(Kind::ProofCreate, None, refusal);
    }

    /// An AccessKey destination behind the proxy, with the Secret of its own name.
    fn access_key(&self, name: &str) {
        let (bucket, url) = (self.world.bucket.name(), self.proxy.url());
        self.world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: {name}}}\n\
             spec: {{bucket: {bucket}, prefix: {PREFIX}, endpoint: {url:?}, permissionMode: AccessKey, \
             accessKey: {{secretRef: {{name: {name}}}}}}}\n"
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_from_its_creation_to_its_deletion() {
    let mut stage = Stage::start("gitops-life").await;
    stage.world.operator.kill9();
    stage.world.cross_account_destination("acme", "").await;
    stage.destination("acme", "nobody has looked at yet");

    stage.hold_proofs();
    stage.world.operator.restart();
    stage.destination_says("acme", "Verifying").await;
    stage.destination("acme", "is being proved for the first time");
    stage.open();
    stage.destination_says("acme", "Verified").await;
    stage.destination("acme", "is verified");

    stage.world.operator.kill9();
    stage.patch(&DESTINATION, "acme", r#"{"spec": {"splitSize": "1M"}}"#);
    stage.destination(
        "acme",
        "was verified, then edited while the operator is down",
    );
    stage.hold_proofs();
    stage.world.operator.restart();
    stage.destination_says("acme", "Verifying").await;
    stage.destination("acme", "is being proved again after an edit");
    stage.open();
    stage.destination_says("acme", "Verified").await;

    stage.slow_down();
    stage.world.request("obdest", "acme", "first").await;
    stage.destination("acme", "is verified, though its latest proof had no answer");
    stage.world.request("obdest", "acme", "second").await;
    stage.world.request("obdest", "acme", "third").await;
    stage.destination_says("acme", "Throttled").await;
    stage.destination("acme", "had no answer to three proofs in a row");
    stage.proxy.relent();
    stage.world.request("obdest", "acme", "fourth").await;
    stage.destination_says("acme", "Verified").await;

    stage.patch(&DESTINATION, "acme", r#"{"spec": {"suspend": true}}"#);
    stage.destination_says("acme", "Suspended").await;
    stage.destination("acme", "is suspended after it was verified");
    stage.hold_proofs();
    stage.patch(&DESTINATION, "acme", r#"{"spec": {"suspend": false}}"#);
    stage.destination_says("acme", "Verifying").await;
    stage.destination("acme", "is being proved again after a suspension");
    stage.open();
    stage.destination_says("acme", "Verified").await;

    let held = r#"{"metadata": {"finalizers": ["example.com/held"]}}"#;
    stage.patch(&DESTINATION, "acme", held);
    let delete = ["delete", "obdest", "acme", "--wait=false"];
    stage.world.namespace.kubectl(&delete).ok();
    stage.destination("acme", "is being deleted and held by somebody's finalizer");
    stage.patch(
        &DESTINATION,
        "acme",
        r#"{"metadata": {"finalizers": null}}"#,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_needs_somebody() {
    let stage = Stage::start("gitops-needs").await;
    stage.access_key("keyless");
    stage.destination_says("keyless", "SecretNotFound").await;
    stage.destination("keyless", "names a Secret that isn't there");

    let nobody = stage.world.s3.user("nobody");
    stage.world.secret("refused", &nobody);
    stage.access_key("refused");
    stage.destination_says("refused", "AccessDenied").await;
    stage.destination("refused", "is refused by the customer's bucket");

    // It names the server itself, and only the proxy is allowed.
    stage.world.access_key_destination("elsewhere", "").await;
    stage
        .destination_says("elsewhere", "EndpointNotAllowed")
        .await;
    stage.destination("elsewhere", "is refused by our own configuration");

    stage.world.cross_account_destination("acme", "").await;
    stage.destination_says("acme", "Verified").await;
    let grant = stage.world.bucket.grant(&nobody, PREFIX, &WRITE_ACTIONS);
    grant.await;
    stage.world.request("obdest", "acme", "revoked").await;
    stage.destination_says("acme", "AccessDenied").await;
    stage.destination("acme", "lost its access after it was verified");

    let held = "  suspend: true\n";
    stage.world.cross_account_destination("held", held).await;
    stage.destination_says("held", "Suspended").await;
    stage.destination("held", "is suspended from the start");

    // The next two tries are 5 s and 10 s away, and the hold keeps them from their end.
    stage.slow_down();
    stage.world.cross_account_destination("busy", "").await;
    stage.destination_says("busy", "Throttled").await;
    stage.hold_proofs();
    stage.destination("busy", "had no answer to its first proof");
}
