//! A customer's key changes while a delivery runs: the same upload goes on with the new one.

use serde_json::json;

use super::slow::{self, Wire, half_done};
use super::{PART, completes, count, deliver, table};
use crate::support::wait::PATIENCE;
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Credentials, OperatorConfig, World};

const KEY: &str = "audience/a.csv";

/// A destination whose delivery `running` has one part of four in the store, and no more until the wire opens.
struct Running {
    world: World,
    wire: Wire,
    old: Credentials,
    source: Vec<u8>,
}

impl Running {
    /// `secrets` is how the operator hears of changed Secrets: `Get` or `Watch`.
    async fn start(topic: &str, secrets: &str) -> Running {
        let one_at_a_time = |config: OperatorConfig| {
            config
                .with("secrets", secrets)
                .with("transfer.maxConcurrentParts", 1)
        };
        let (world, wire) = slow::world(topic, one_at_a_time).await;
        let old = world.s3.user("writer");
        grant(&world, &[&old]).await;
        world.secret("acme", &old);
        world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: acme}}\n\
             spec: {{permissionMode: AccessKey, accessKey: {{secretRef: {{name: acme}}}}, bucket: {}, \
             prefix: {PREFIX}, endpoint: {:?}}}\n",
            world.bucket.name(),
            wire.url()
        ));
        let source = table(51, 4 * PART);
        world.file("a.csv", &source);
        wire.hold_parts("a.csv", 1);
        deliver(&world, "running", "a.csv", "");
        half_done(&world, "running").await;
        Running {
            world,
            wire,
            old,
            source,
        }
    }

    /// Another user of the customer's, who may do the same; beside the old one.
    async fn new_user(&self) -> Credentials {
        let new = self.world.s3.user("writer");
        grant(&self.world, &[&self.old, &new]).await;
        new
    }

    /// Waits until the destination was proved with the Secret as it is now.
    async fn taken_over(&self) {
        let read = [
            "get",
            "secret",
            "acme",
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ];
        let version = self.world.namespace.kubectl(&read).ok();
        let what = "the Secret as it is now was proved";
        self.world
            .eventually(PATIENCE, what, "obdest", "acme", |it| {
                (it["status"]["secretVersion"] == version.trim()).then_some(())
            })
            .await;
    }

    /// The delivery ends with the same upload, and `last` signed its end.
    async fn ends_by(&self, last: &Credentials) {
        let Running {
            world,
            wire,
            source,
            ..
        } = self;
        wire.open();
        completes(world, "running").await;
        assert!(world.bucket.files()[KEY] == *source);
        assert_eq!(
            count(&world.bucket, "CreateMultipartUpload", KEY),
            1,
            "the same upload"
        );
        let parts = world.bucket.requests().into_iter().filter(|it| {
            it.operation == "UploadPart" && it.key == KEY && (200..300).contains(&it.status)
        });
        assert_eq!(parts.count(), 4, "no part went twice");
        let ends = world.bucket.requests().into_iter().filter(|it| {
            it.operation == "CompleteMultipartUpload" && it.key == KEY && it.status == 200
        });
        let by: Vec<_> = ends.map(|it| it.requester).collect();
        assert_eq!(by, [last.access_key.as_str()]);
    }
}

async fn grant(world: &World, who: &[&Credentials]) {
    let who: Vec<_> = who.iter().map(|it| it.access_key.as_str()).collect();
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "Write", "Effect": "Allow", "Principal": {"AWS": who}, "Action": WRITE_ACTIONS,
        "Resource": format!("arn:aws:s3:::{}/{PREFIX}*", world.bucket.name()),
    }]});
    world.bucket.set_policy(&policy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_is_taken_over_where_secrets_are_watched() {
    let running = Running::start("rotate-watch", "Watch").await;
    let new = running.new_user().await;
    running.world.secret("acme", &new);
    running.taken_over().await;
    running.world.s3.remove(&running.old);
    running.ends_by(&new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_is_taken_over_on_request_where_they_are_not() {
    let running = Running::start("rotate-get", "Get").await;
    let new = running.new_user().await;
    running.world.secret("acme", &new);
    running.world.request("obdest", "acme", "rotated").await;
    running.taken_over().await;
    running.world.s3.remove(&running.old);
    running.ends_by(&new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_of_the_same_key_is_taken_over_where_secrets_are_watched() {
    let running = Running::start("rotate-secret-watch", "Watch").await;
    let new = running.world.s3.change_secret(&running.old);
    running.world.secret("acme", &new);
    running.taken_over().await;
    running.ends_by(&new).await;
}

/// Nobody asks, and nothing is watched: that the store refuses the old secret is how it is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_of_the_same_key_is_noticed_when_the_store_refuses_the_old() {
    let running = Running::start("rotate-secret-get", "Get").await;
    let new = running.world.s3.change_secret(&running.old);
    running.world.secret("acme", &new);
    running.ends_by(&new).await;
}

/// Deleted and created again, as a GitOps tool replaces it: there is no Secret for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_secret_is_taken_over_in_both_modes() {
    for (topic, secrets) in [
        ("rotate-replace-watch", "Watch"),
        ("rotate-replace-get", "Get"),
    ] {
        let running = Running::start(topic, secrets).await;
        let world = &running.world;
        let new = running.new_user().await;
        world.namespace.kubectl(&["delete", "secret", "acme"]).ok();
        if secrets == "Watch" {
            world
                .reason("obdest", "acme", "Ready", "SecretNotFound")
                .await;
        }
        world.secret("acme", &new);
        if secrets == "Get" {
            world.request("obdest", "acme", "replaced").await;
        }
        running.taken_over().await;
        world.condition("obdest", "acme", "Ready", "True").await;
        world.s3.remove(&running.old);
        running.ends_by(&new).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_new_key_does_not_stop_what_runs() {
    for (topic, secrets) in [("rotate-bad-watch", "Watch"), ("rotate-bad-get", "Get")] {
        let running = Running::start(topic, secrets).await;
        let world = &running.world;
        let bad = Credentials {
            access_key: "AKIDUNKNOWN".to_owned(),
            secret_key: "x".repeat(40),
        };
        world.secret("acme", &bad);
        if secrets == "Get" {
            world.request("obdest", "acme", "bad").await;
        }
        world
            .reason("obdest", "acme", "Ready", "InvalidAccessKeyId")
            .await;
        running.ends_by(&running.old).await;
        // What begins now waits for a good one.
        world.file("b.csv", "1\n");
        deliver(world, "next", "b.csv", "");
        world
            .reason("obdel", "next", "Ready", "DestinationNotReady")
            .await;
        world.secret("acme", &running.old);
        if secrets == "Get" {
            world.request("obdest", "acme", "good").await;
        }
        completes(world, "next").await;
    }
}
