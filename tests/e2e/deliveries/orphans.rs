//! What a kill between an upload's creation and the ledger's write leaves: found where the bucket lets us look and says whose it is.

use std::collections::BTreeSet;

use serde_json::json;

use super::slow::{self, Wire, half_done};
use super::{completes, deliver, large_table};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Credentials, OperatorConfig, World};

/// Eight parts.
const LARGE: usize = 40 << 20;

const KEY: &str = "audience/2.csv";

/// What the customer grants beside the least.
#[derive(PartialEq, Eq)]
enum Listing {
    Granted,
    Denied,
}

/// A world whose operator is in the middle of an upload.
async fn in_mid_upload(topic: &str, listing: Listing) -> (World, Wire) {
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 2);
    let (world, wire) = slow::world(topic, few).await;
    wire.hold_parts("2.csv", 1);
    world.file("2.csv", large_table(2, LARGE));
    world.cross_account_destination("acme", "").await;
    if listing == Listing::Granted {
        let (bucket, us) = (world.bucket.name(), world.s3.us().access_key);
        let actions = [&WRITE_ACTIONS[..], &["s3:PutObjectAcl"]].concat();
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "Write", "Effect": "Allow", "Principal": {"AWS": us}, "Action": actions,
             "Resource": format!("arn:aws:s3:::{bucket}/{PREFIX}*")},
            {"Sid": "List", "Effect": "Allow", "Principal": {"AWS": us},
             "Action": "s3:ListBucketMultipartUploads", "Resource": format!("arn:aws:s3:::{bucket}")},
        ]});
        world.bucket.set_policy(&policy).await;
    }
    deliver(&world, "crashed", "2.csv", "  receipt: {md5: false}\n");
    half_done(&world, "crashed").await;
    (world, wire)
}

/// An upload as a crash leaves it: created, and in no ledger.
async fn create(world: &World, who: &Credentials, key: &str) -> String {
    let client = world.s3.client(who);
    let created = client
        .create_multipart_upload()
        .bucket(world.bucket.name())
        .key(key);
    created.send().await.unwrap().upload_id.unwrap()
}

async fn open_uploads(world: &World) -> BTreeSet<String> {
    world
        .bucket
        .uploads()
        .await
        .into_iter()
        .map(|upload| upload.id)
        .collect()
}

/// Waits until exactly these uploads are open.
async fn only_these_stay(world: &World, theirs: &BTreeSet<String>) {
    eventually(
        PATIENCE,
        "what is ours is gone, and nothing else",
        async || {
            let open = open_uploads(world).await;
            if open == *theirs {
                Ok(())
            } else {
                Err(format!("{open:?}"))
            }
        },
    )
    .await;
}

/// Uploads that aren't the delivery's: of another initiator, and of another key.
async fn others(world: &World) -> BTreeSet<String> {
    let (us, customer) = (world.s3.us(), world.s3.customer());
    let theirs = create(world, &customer, KEY).await;
    let elsewhere = create(world, &us, "audience/2.csv.other").await;
    BTreeSet::from([theirs, elsewhere])
}

/// This server lists uploads without saying who began them, so that nothing in the list is provably ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stay_where_the_store_does_not_say_whose_they_are() {
    let (mut world, wire) = in_mid_upload("orphans-start", Listing::Granted).await;
    world.operator.kill9();
    let orphan = create(&world, &world.s3.us(), KEY).await;
    let mut stay = others(&world).await;
    stay.insert(orphan);
    wire.open();
    world.operator.restart();
    completes(&world, "crashed").await;
    only_these_stay(&world, &stay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stay_silently_where_we_may_not_look() {
    let (mut world, wire) = in_mid_upload("orphans-denied", Listing::Denied).await;
    world.operator.kill9();
    let orphan = create(&world, &world.s3.us(), KEY).await;
    wire.open();
    world.operator.restart();
    completes(&world, "crashed").await;
    only_these_stay(&world, &BTreeSet::from([orphan])).await;
    let selector = "--field-selector=reason=UploadsLeft";
    assert_eq!(
        world
            .namespace
            .kubectl(&["get", "events", selector, "-o", "name"])
            .ok(),
        ""
    );
}
