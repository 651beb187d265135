//! Stores that know less than AWS's: found out, told in the destination's status, and delivered to.

use serde_json::{Value, json};

use super::store::readable_destination;
use super::{PART, completes, count, deliver, table};
use crate::support::dialects::{Checksums, Conditions, Dialects};
use crate::support::wait::PATIENCE;
use crate::support::world::{PREFIX, WRITE_ACTIONS, find_condition};
use crate::support::{S3Server, World};

/// Waits until the destination's status says that.
async fn capabilities(world: &World, checksum: &str, verification: &str, condition: &str) {
    let expected = json!({
        "checksum": checksum, "verification": verification, "conditionalWrite": condition,
    });
    let what = format!("acme has capabilities {expected}");
    world
        .eventually(PATIENCE, &what, "obdest", "acme", |destination| {
            (destination["status"]["capabilities"] == expected).then_some(())
        })
        .await;
}

fn ready_message(destination: &Value) -> String {
    let ready = find_condition(destination, "Ready").unwrap();
    ready["message"].as_str().unwrap().to_owned()
}

/// A proof's parts that the server behind the store saw.
fn proofs(world: &World) -> usize {
    let requests = world.bucket.requests().into_iter();
    let own = requests.filter(|it| it.key.contains(".outbound-access-check-"));
    own.filter(|it| it.operation == "CreateMultipartUpload")
        .count()
}

#[tokio::test]
async fn a_store_that_knows_md5_alone_and_overwrites_is_delivered_to_and_said_to() {
    let s3 = S3Server::shared();
    let server = s3.url().strip_prefix("http://").unwrap();
    let owner = s3.client(&s3.customer());
    let store = Dialects::before(server, owner, Checksums::NoHeaders, Conditions::Ignored).await;
    let url = store.endpoint();
    let change = |config: crate::support::OperatorConfig| {
        config
            .with("endpoints.allow", json!([url]))
            .with("transfer.partSize", "5Mi")
    };
    let mut world = World::start_with("dialect-md5", &s3, change).await;
    let user = s3.user("writer");
    world.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    world.secret("acme", &user);
    let bucket = world.bucket.name();
    world.apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: acme}}\n\
         spec:\n  bucket: {bucket}\n  prefix: {PREFIX}\n  endpoint: {url}\n  \
         permissionMode: AccessKey\n  accessKey: {{secretRef: {{name: acme}}}}\n"
    ));
    world.condition("obdest", "acme", "Ready", "True").await;
    capabilities(&world, "ContentMD5", "PerPart", "Unknown").await;
    let source = table(31, 2 * PART + 100);
    world.file("a.csv", &source);
    deliver(&world, "first", "a.csv", "");
    completes(&world, "first").await;
    assert!(world.bucket.files()["audience/a.csv"] == source);
    capabilities(&world, "ContentMD5", "PerPart", "Ignored").await;
    let destination = world.get("obdest", "acme");
    let message = ready_message(&destination);
    assert!(message.contains("readBack: WriteOnly"), "{message}");
    // Another process knows it from the status.
    let before = proofs(&world);
    world.operator.restart();
    world.file("b.csv", &source);
    deliver(&world, "second", "b.csv", "");
    completes(&world, "second").await;
    assert!(world.bucket.files()["audience/b.csv"] == source);
    assert_eq!(proofs(&world), before, "no new proof was needed");
    capabilities(&world, "ContentMD5", "PerPart", "Ignored").await;
}

#[tokio::test]
async fn the_first_receipt_tells_whether_conditions_are_honoured() {
    let world = World::start("dialect-full").await;
    world.access_key_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    capabilities(&world, "CRC64NVME", "WholeObject", "Unknown").await;
    world.file("a.csv", table(32, 1000));
    deliver(&world, "first", "a.csv", "");
    completes(&world, "first").await;
    capabilities(&world, "CRC64NVME", "WholeObject", "Honoured").await;
    let message = ready_message(&world.get("obdest", "acme"));
    assert_eq!(message, "our access is proved");
    world.file("b.csv", table(33, 1000));
    deliver(&world, "second", "b.csv", "");
    completes(&world, "second").await;
    let puts = |key| count(&world.bucket, "PutObject", key);
    assert_eq!(puts("audience/second.info"), 0, "it is known now");
}

#[tokio::test]
async fn amazons_own_store_needs_no_asking() {
    let world = World::start("dialect-own").await;
    world.cross_account_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    capabilities(&world, "CRC64NVME", "WholeObject", "Honoured").await;
}

#[tokio::test]
async fn skip_waits_for_read_back_and_then_takes_the_same_content() {
    let world = World::start("dialect-skip").await;
    readable_destination(&world).await;
    world.file("a.csv", table(34, 100_000));
    deliver(&world, "first", "a.csv", "");
    completes(&world, "first").await;
    let read_back = |mode: &str| {
        let patch = format!("{{\"spec\":{{\"readBack\":\"{mode}\"}}}}");
        let patched = ["patch", "obdest", "acme", "--type=merge", "-p", &patch];
        world.namespace.kubectl(&patched).ok();
    };
    read_back("WriteOnly");
    deliver(&world, "second", "a.csv", "  ifExists: Skip\n");
    let stalled = world.condition("obdel", "second", "Stalled", "True").await;
    assert_eq!(stalled["reason"], "DestinationNotReady");
    let message = stalled["message"].as_str().unwrap();
    assert!(message.contains("set its readBack to Granted"), "{message}");
    read_back("Granted");
    completes(&world, "second").await;
    assert_eq!(count(&world.bucket, "PutObject", "audience/a.csv"), 1);
    // Without it the same content is somebody else's.
    deliver(&world, "third", "a.csv", "");
    let failed = world.condition("obdel", "third", "Failed", "True").await;
    assert_eq!(failed["reason"], "ObjectExists");
}
