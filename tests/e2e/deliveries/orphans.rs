//! What a kill between an upload's creation and the ledger's write leaves: found where the bucket lets us look and says whose it is.

use std::collections::{BTreeMap, BTreeSet};

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

/// Whom a store names: for the orphan, for what else is ours, and for what others began of the same key.
struct Names {
    before: &'static str,
    now: &'static str,
    others: [&'static str; 2],
}

/// A crash's orphan is aborted where the store says that we began it; what others began stays.
async fn ours_are_aborted(topic: &str, names: Names) {
    let (mut world, wire) = in_mid_upload(topic, Listing::Granted).await;
    world.operator.kill9();
    let orphan = create(&world, &world.s3.us(), KEY).await;
    let mut theirs = BTreeMap::new();
    for name in names.others {
        theirs.insert(create(&world, &world.s3.customer(), KEY).await, name);
    }
    // Of another key, of which nobody knows whose it is.
    let elsewhere = create(&world, &world.s3.us(), "audience/2.csv.other").await;
    let stay: BTreeSet<_> = theirs.keys().cloned().chain([elsewhere]).collect();
    let killed = orphan.clone();
    wire.name_initiators(move |upload| {
        let name = match theirs.get(upload) {
            Some(name) => name,
            None if upload == killed => names.before,
            None => names.now,
        };
        name.to_owned()
    });
    wire.open();
    world.operator.restart();
    completes(&world, "crashed").await;
    only_these_stay(&world, &stay).await;
    let aborted = world.bucket.requests().into_iter();
    let aborted = aborted.filter(|it| it.operation == "AbortMultipartUpload" && it.status < 300);
    let of_orphan = aborted.filter(|it| it.uri.contains(&orphan)).count();
    assert_eq!(of_orphan, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_iam_user_are_aborted() {
    const US: &str = "arn:aws:iam::222222222222:user/outbound";
    let names = Names {
        before: US,
        now: US,
        others: ["arn:aws:iam::222222222222:user/another", "customer"],
    };
    ours_are_aborted("orphans-user", names).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_roles_earlier_session_are_aborted() {
    let names = Names {
        before: "arn:aws:sts::222222222222:assumed-role/outbound/session-1",
        now: "arn:aws:sts::222222222222:assumed-role/outbound/session-2",
        others: [
            "arn:aws:sts::111111111111:assumed-role/outbound/session-1",
            "arn:aws:sts::222222222222:assumed-role/another/session-1",
        ],
    };
    ours_are_aborted("orphans-role", names).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_account_are_aborted() {
    const US: &str = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be";
    let names = Names {
        before: US,
        now: US,
        others: [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "",
        ],
    };
    ours_are_aborted("orphans-account", names).await;
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
