//! A forged ledger. No role that users get may write one; should somebody be able to all the same, it must not
//! become a way to another tenant's uploads.

use outbound_operator::plan::{
    ByteRange, Fingerprint, KeyPrefix, ObjectKey, Plan, PlannedObject, SourceFile,
};
use serde_json::{Value, json};

use crate::support::control_plane::Namespace;
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Bucket, ControlPlane, Credentials, S3Server, World};

/// The other tenant's part of a bucket that both deliver to.
const THEIRS: &str = "theirs/";

struct Victim {
    namespace: Namespace<'static>,
    bucket: Bucket,
    /// Of the customer's user, in the victim's Secret.
    user: Credentials,
}

/// An upload in flight, as a victim's delivery has it.
async fn open_upload(s3: &S3Server, who: &Credentials, bucket: &str, key: &str) -> String {
    let client = s3.client(who);
    let created = client.create_multipart_upload().bucket(bucket).key(key);
    created.send().await.unwrap().upload_id.unwrap()
}

/// A plan of one object, whose hash is right: the forger knows how it is made.
fn plan_hash(object: &str, receipt: &str) -> String {
    let key = |text: &str| ObjectKey::new(&KeyPrefix::default(), text).unwrap();
    let file = SourceFile {
        path: "a.csv".to_owned(),
        fingerprint: Fingerprint::File {
            size: 2,
            mtime_ns: 1,
            ctime_ns: 1,
        },
    };
    let object = PlannedObject {
        sequence: 1,
        source: 0,
        header: 0,
        range: ByteRange { offset: 0, len: 2 },
        key: key(object),
    };
    let plan = Plan::restore(vec![file], vec![object], key(receipt)).unwrap();
    plan.hash().as_str().to_owned()
}

/// A ledger that claims the upload for the delivery; `destination` is what it says of where it is.
fn forged(delivery: &Value, upload: &str, key: &str, destination: Value) -> String {
    let (name, uid) = (&delivery["metadata"]["name"], &delivery["metadata"]["uid"]);
    let (name, uid) = (name.as_str().unwrap(), uid.as_str().unwrap());
    let receipt = format!("{}x.info", destination["prefix"].as_str().unwrap());
    json!({
        "apiVersion": "outbound.dev/v1alpha1",
        "kind": "OutboundLedger",
        "metadata": {"name": format!("{name}.{uid}.0")},
        "spec": {
            "deliveryUid": uid, "shard": 0, "shards": 1,
            "header": {
                "planHash": plan_hash(key, &receipt), "token": "t", "encoder": 1, "partSize": 5 << 20,
                "plannedAt": "2026-11-24T00:00:00Z", "destination": destination,
                "receipt": {"sequence": 0, "key": receipt},
            },
            "sources": [{"index": 0, "path": "a.csv", "size": 2, "mtimeNs": 1, "ctimeNs": 1}],
            "objects": [{
                "sequence": 1, "source": 0, "offset": 0, "length": 2, "key": key, "state": "Open",
                "upload": upload, "startedAt": "2026-11-24T00:00:00Z",
            }],
        },
    })
    .to_string()
}

#[tokio::test]
async fn a_forged_ledger_gets_at_no_other_tenants_upload() {
    let s3 = S3Server::shared();
    let victim = Victim {
        namespace: ControlPlane::shared().namespace("victim"),
        bucket: s3.bucket(&s3.customer()).await,
        user: s3.user("victim"),
    };
    victim.bucket.grant(&victim.user, "", &WRITE_ACTIONS).await;
    let (owner, us) = (s3.customer().access_key, s3.us());
    let theirs = victim.namespace.name().to_owned();
    let world = World::start_with("forger", &s3, |config| {
        let shared = config.allow_bucket(&theirs, victim.bucket.name(), &owner, &[THEIRS]);
        shared.also_watch(&theirs)
    })
    .await;
    // Our identity may write everywhere: what keeps the forger out is the operator alone.
    world.bucket.grant(&us, "", &WRITE_ACTIONS).await;
    let victims = victim_destination(&world, &victim).await;

    let place = |bucket: &str, prefix: &str, uid: &str, mode: &str| {
        json!({
            "name": "acme", "uid": uid, "hash": "h", "bucket": bucket, "prefix": prefix, "region": "us-east-1",
            "bucketOwner": owner, "addressing": "Path", "acl": "None", "permissionMode": mode,
        })
    };
    let (mine, other) = (world.bucket.name(), victim.bucket.name());
    let with_key = open_upload(&s3, &victim.user, other, "theirs/key.csv").await;
    let as_us = open_upload(&s3, &us, mine, "theirs/us.csv").await;
    let cases = [
        // The credentials of another namespace's destination, by its uid.
        (
            "by-uid",
            &with_key,
            "theirs/key.csv",
            place(other, THEIRS, &victims, "AccessKey"),
        ),
        // Our identity, in a part of the bucket that the tenancy's rules don't give.
        (
            "by-prefix",
            &as_us,
            "theirs/us.csv",
            place(mine, THEIRS, "none", "CrossAccount"),
        ),
        // A key outside of the prefix that the rules do give.
        (
            "by-key",
            &as_us,
            "theirs/us.csv",
            place(mine, PREFIX, "none", "CrossAccount"),
        ),
    ];
    for (name, upload, key, destination) in cases {
        world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\n\
             metadata: {{name: {name}, finalizers: [outbound.dev/uploads]}}\n\
             spec: {{destinationRef: {{name: acme}}, source: {{volume: {{path: a.csv}}}}, suspend: true}}\n"
        ));
        let delivery = world.get("obdel", name);
        world.apply(&forged(&delivery, upload, key, destination));
        world
            .namespace
            .kubectl(&["delete", "obdel", name, "--wait=false"])
            .ok();
        eventually(PATIENCE * 2, "the deletion ends", async || {
            match world.namespace.get("obdel", name) {
                None => Ok(()),
                Some(object) => Err(format!("{object:#}\n{}", world.operator.log_tail())),
            }
        })
        .await;
    }
    let open = |bucket: &[crate::support::s3::OpenUpload]| -> Vec<String> {
        bucket.iter().map(|upload| upload.id.clone()).collect()
    };
    assert_eq!(open(&victim.bucket.uploads().await), [with_key]);
    assert_eq!(open(&world.bucket.uploads().await), [as_us]);
}

/// A verified destination of the victim's, with a Secret of its own; returns its uid.
async fn victim_destination(world: &World, victim: &Victim) -> String {
    let (bucket, url) = (victim.bucket.name(), world.s3.url());
    let manifests = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: acme}}, \
         stringData: {{accessKeyId: {:?}, secretAccessKey: {:?}}}}}\n---\n\
         apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: acme}}\n\
         spec: {{permissionMode: AccessKey, accessKey: {{secretRef: {{name: acme}}}}, bucket: {bucket}, \
         prefix: {THEIRS}, endpoint: {url:?}, bucketOwner: {:?}}}\n",
        victim.user.access_key,
        victim.user.secret_key,
        world.s3.customer().access_key
    );
    victim.namespace.apply(&manifests).ok();
    eventually(
        PATIENCE,
        "the victim's destination is verified",
        async || {
            let object = victim.namespace.get("obdest", "acme").unwrap_or_default();
            let ready = crate::support::world::find_condition(&object, "Ready").cloned();
            match ready.filter(|ready| ready["status"] == "True") {
                Some(_) => Ok(object["metadata"]["uid"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()),
                None => Err(format!("{:#}", object["status"])),
            }
        },
    )
    .await
}
