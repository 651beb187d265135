//! Sources in a bucket of ours: read as our own identity, by the policy that the documentation has, and only where the
//! configuration gives them to the namespace.

mod archives;
mod laptop;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::StorageClass;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{Companies, Mode, PART};
use crate::support::proxy::Proxy;
use crate::support::wait::{PATIENCE, until};
use crate::support::world::PREFIX;
use crate::support::{AwsBucket, World};

/// Another region than the operator's own: it must be learned.
const ELSEWHERE: &str = "eu-west-1";

const GIVEN: &str = "marketing/";

/// Two companies whose operator reads a bucket of ours over a wire that can hold requests.
struct Exports {
    companies: Companies,
    ours: AwsBucket,
    wire: Proxy,
}

impl Exports {
    async fn start(topic: &str) -> Exports {
        let wire = Proxy::before(crate::support::Aws::shared().url()).await;
        let url = wire.url();
        let mut companies = Companies::start_with(topic, |config| {
            config
                .with("endpoints.s3", url.as_str())
                .with("transfer.maxConcurrentParts", 2)
        })
        .await;
        let ours = companies.ours.bucket(ELSEWHERE);
        let (bucket, customer) = (companies.bucket.name(), &companies.customer.id);
        let rules = json!([{
            "namespaces": ["*"],
            "crossAccountBuckets": [{"bucket": bucket, "owners": [customer], "prefixes": [PREFIX]}],
            "sources": [{"bucket": ours.name(), "prefixes": [GIVEN]}],
        }]);
        let config = companies.world.operator.config().clone();
        companies
            .world
            .operator
            .restart_with(config.with("tenancy", rules));
        companies.destination(Mode::CrossAccount, "acme", "");
        let write = companies.grant("acme", "identityPolicy").await;
        let read = policy(ours.name());
        companies
            .aws
            .set_policies(&companies.role, &[&write, &read]);
        let theirs = companies.grant("acme", "bucketPolicy").await;
        companies.bucket.paste_policy(&theirs);
        companies.prove("acme").await;
        companies.verified("acme").await;
        Exports {
            companies,
            ours,
            wire,
        }
    }

    fn world(&self) -> &World {
        &self.companies.world
    }

    async fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        self.put_as(StorageClass::Standard, key, bytes).await;
    }

    async fn put_as(&self, class: StorageClass, key: &str, bytes: impl AsRef<[u8]>) {
        let body = ByteStream::from(bytes.as_ref().to_vec());
        let put = self.ours.client().put_object().storage_class(class);
        let put = put.bucket(self.ours.name()).key(key).body(body);
        put.send().await.expect("put an object of ours");
    }

    /// Delivers `source` (the block of `source.s3`, but for the bucket) to acme.
    fn deliver(&self, name: &str, source: &str, more: &str) {
        self.deliver_to("acme", name, source, more);
    }

    fn deliver_to(&self, destination: &str, name: &str, source: &str, more: &str) {
        let bucket = self.ours.name();
        self.world().apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\nspec:\n  \
             destinationRef: {{name: {destination}}}\n  source: {{s3: {{bucket: {bucket}, {source}}}}}\n{more}"
        ));
    }

    async fn completes(&self, name: &str) {
        self.world()
            .condition("obdel", name, "Complete", "True")
            .await;
    }

    /// Waits until it failed for that reason; returns the message.
    async fn fails(&self, name: &str, reason: &str) -> String {
        let failed = self.world().reason("obdel", name, "Failed", reason).await;
        failed["message"].as_str().unwrap().to_owned()
    }

    /// What the customer has below the prefix and `folder`, receipts aside.
    fn delivered(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let below = format!("{PREFIX}{folder}");
        let files = self.companies.bucket.files().into_iter();
        files
            .filter(|(key, _)| !key.ends_with(".info"))
            .filter_map(|(key, bytes)| Some((key.strip_prefix(&below)?.to_owned(), bytes)))
            .collect()
    }

    /// Waits until the store confirmed some bytes of the delivery and not all.
    async fn half_done(&self, name: &str) {
        self.world()
            .eventually(PATIENCE, "half done", "obdel", name, |delivery| {
                let progress = &delivery["status"]["progress"];
                let done = progress["bytesDone"].as_u64()?;
                assert!(Some(done) < progress["bytesTotal"].as_u64());
                (done > 0).then_some(())
            })
            .await;
    }

    /// What the operator asked of our bucket.
    fn asked(&self) -> Vec<crate::support::aws::AwsRequest> {
        let mut all = self.ours.requests();
        all.retain(|request| request.caller != self.ours.owner.root.arn);
        all
    }
}

/// The policy of docs/sources.md, for that bucket.
fn policy(bucket: &str) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sources.md"));
    let page = page.unwrap();
    let block = page.split("```json\n").nth(1).unwrap();
    let policy = block.split("```").next().unwrap();
    policy.replace("our-exports", bucket)
}

fn lines(seed: usize, bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 32);
    let mut number = seed;
    while text.len() < bytes {
        text.extend(format!("{seed},{number},value\n").bytes());
        number += 1;
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_delivered_by_either_mode_from_a_region_that_is_learned() {
    let mut exports = Exports::start("our-bucket").await;
    let large = lines(1, 2 * (8 << 20) + 12_345);
    for (key, bytes) in [
        ("marketing/large.csv", &*large),
        ("marketing/small.csv", b"a,b\n1,2\n"),
        ("marketing/empty.csv", b""),
        ("marketing/eu/de and+at.csv", b"1\n"),
        ("marketing/eu/old.csv", b"old\n"),
        ("marketing/folder/", b""),
        ("marketing/_SUCCESS", b""),
        ("marketing/unfinished.tmp", b"no"),
        ("marketing/note.txt", b"no"),
        ("marketing-secret/a.csv", b"secret\n"),
        ("other.csv", b"secret\n"),
    ] {
        exports.put(key, bytes).await;
    }
    exports.companies.destination(Mode::AccessKey, "globex", "");
    let theirs = exports.companies.grant("globex", "identityPolicy").await;
    let user = exports.companies.their_user.clone();
    exports.companies.aws.set_policies(&user, &[&theirs]);
    exports.companies.prove("globex").await;
    exports.companies.verified("globex").await;

    let source = "prefix: marketing/, include: [\"**/*.csv\"], exclude: [\"eu/old*\"]";
    for name in ["acme", "globex"] {
        let more = format!(
            "  split: {{size: 9M}}\n  key: \"{name}/{{path}}{{stem}}{{split}}{{ext}}\"\n  \
             receipt: {{key: \"{name}.info\"}}\n"
        );
        exports.deliver_to(name, name, source, &more);
    }
    for name in ["acme", "globex"] {
        exports.completes(name).await;
        let found = exports.delivered(&format!("{name}/"));
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "empty.csv",
                "eu/de and+at.csv",
                "large-001.csv",
                "large-002.csv",
                "small.csv"
            ]
        );
        let joined = [&*found["large-001.csv"], &*found["large-002.csv"]].concat();
        assert!(joined == large, "other bytes than the source's");
        assert!(found["large-001.csv"].ends_with(b"\n"));
        assert_eq!(found["small.csv"], b"a,b\n1,2\n");
        assert_eq!(found["eu/de and+at.csv"], b"1\n");
        let receipt = &exports.companies.bucket.files()[&format!("{PREFIX}{name}.info")];
        let receipt: Value = serde_json::from_slice(receipt).unwrap();
        assert_eq!(receipt["Totals"]["TotalNumberFiles"], 5);
    }
    // Our own identity signed, for our account's bucket, with no right but these two; each byte of a known ETag.
    let role = exports.companies.role.rsplit_once('/').unwrap().1;
    for request in exports.asked() {
        assert!(request.caller.contains(role), "{request:#?}");
        let owner = request.headers.get("x-amz-expected-bucket-owner");
        assert_eq!(owner, Some(&exports.ours.owner.id), "{request:#?}");
        match request.operation.as_str() {
            "ListObjectsV2" => {}
            "GetObject" => assert!(request.headers.contains_key("if-match"), "{request:#?}"),
            other => panic!("{other} isn't needed"),
        }
    }
}

#[tokio::test]
async fn a_namespace_reads_nothing_that_it_was_not_given() {
    let exports = Exports::start("not-given").await;
    exports.put("marketing-secret/a.csv", "secret\n").await;
    for (name, source) in [
        ("whole", ""),
        ("above", "prefix: \"\""),
        ("beside", "prefix: marketing-secret/"),
        ("other", "prefix: finance/"),
    ] {
        exports.deliver(name, source, "");
        let message = exports.fails(name, "SourceNotAllowed").await;
        assert!(message.contains("tenancy[].sources"), "{message}");
    }
    let stranger = exports.companies.customer.bucket("us-east-1");
    exports.world().apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: theirs}}\nspec:\n  \
         destinationRef: {{name: acme}}\n  source: {{s3: {{bucket: {}, prefix: marketing/}}}}\n",
        stranger.name()
    ));
    exports.fails("theirs", "SourceNotAllowed").await;
    assert!(exports.asked().is_empty(), "{:#?}", exports.asked());
    exports.companies.holds_only(&[]).await;
}

#[tokio::test]
async fn what_keeps_it_from_being_read_says_who_must_act() {
    let mut exports = Exports::start("unreadable").await;
    exports.deliver("nothing", "prefix: marketing/", "");
    let message = exports.fails("nothing", "SourceEmpty").await;
    assert!(message.contains("marketing/ include **"), "{message}");
    exports.deliver("no-failure", "prefix: marketing/", "  onEmpty: Complete\n");
    exports.completes("no-failure").await;

    exports.put("marketing/day/a.csv", "1\n").await;
    exports.deliver(
        "marker",
        "prefix: marketing/day/",
        "  waitFor: {path: _DONE}\n  key: \"marker/{name}\"\n",
    );
    exports
        .world()
        .reason("obdel", "marker", "Ready", "WaitingForSource")
        .await;
    exports.put("marketing/day/_DONE", "").await;
    exports.completes("marker").await;
    let names: Vec<_> = exports.delivered("marker/").into_keys().collect();
    assert_eq!(names, ["a.csv"]);

    exports.put("marketing/bad/a\nb.csv", "1\n").await;
    exports.deliver("key", "prefix: marketing/bad/", "");
    let message = exports.fails("key", "KeyInvalid").await;
    assert!(
        message.contains("a\\nb.csv") && message.contains("rename"),
        "{message}"
    );

    exports.deliver("region", "prefix: marketing/day/, region: us-east-1", "");
    let message = exports.fails("region", "SourceUnreadable").await;
    assert!(message.contains("source.s3.region"), "{message}");

    let role = exports.companies.role.clone();
    exports.companies.aws.set_policies(&role, &[]);
    exports.deliver("denied", "prefix: marketing/day/", "");
    let message = exports.fails("denied", "SourceUnreadable").await;
    assert!(message.contains("ListObjectsV2: AccessDenied"), "{message}");
    assert!(message.contains("docs/sources.md"), "{message}");
    let read = policy(exports.ours.name());
    exports.companies.aws.set_policies(&role, &[&read]);

    // A stranger has the bucket's name now, and would let us in.
    let stranger = exports.companies.aws.account("aws");
    exports.ours.hand_over(&stranger);
    let all = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:*",
        "Resource": [
            format!("arn:aws:s3:::{}", exports.ours.name()), format!("arn:aws:s3:::{}/*", exports.ours.name())
        ],
    }]});
    exports.ours.paste_policy(&all.to_string());
    exports.deliver("stranger", "prefix: marketing/day/", "");
    let message = exports.fails("stranger", "SourceUnreadable").await;
    assert!(message.contains("our own account"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changes_ends_the_delivery_and_nothing_is_torn() {
    let exports = Exports::start("changed-object").await;
    let (old, new) = (lines(1, 25 << 20), lines(2, 25 << 20));
    let replace = async |name: &str, key: &str| {
        if name == "gone" {
            let delete = exports.ours.client().delete_object();
            let delete = delete.bucket(exports.ours.name()).key(key);
            delete.send().await.unwrap();
        } else {
            exports.put(key, &new).await;
        }
    };
    for name in ["overwritten", "gone"] {
        // While it is read, and after it was delivered.
        for (when, early, held) in [("during", "1.csv", "1.csv"), ("after", "1.csv", "2.csv")] {
            let name = format!("{name}-{when}");
            let folder = format!("marketing/{name}/");
            let key = format!("{folder}{early}");
            exports
                .put(&key, if when == "during" { &*old } else { &b"1\n"[..] })
                .await;
            if when == "after" {
                exports.put(&format!("{folder}2.csv"), &old).await;
            }
            let subject = format!("{PREFIX}{name}/{held}");
            exports.wire.hold(move |asked| {
                asked.subject.contains(&subject)
                    && asked.part.is_none_or(|part| part > 1)
                    && asked.part.is_some()
            });
            let more = format!("  key: \"{name}/{{name}}\"\n  receipt: {{md5: false}}\n");
            exports.deliver(&name, &format!("prefix: {folder}"), &more);
            exports.half_done(&name).await;
            replace(name.split('-').next().unwrap(), &key).await;
            exports.wire.hold(|_| false);
            let failed = exports.world().condition("obdel", &name, "Failed", "True");
            let failed = failed.await;
            let message = failed["message"].as_str().unwrap();
            // Of what is gone S3 says 403, as the listing is granted for a prefix alone.
            assert_eq!(failed["reason"], "SourceChanged", "{failed}");
            assert!(message.contains("new delivery"), "{message}");
            assert!(message.contains(&key), "{message}");
            let files = exports.companies.bucket.files();
            assert!(!files.contains_key(&format!("{PREFIX}{name}.info")));
            for (name, bytes) in exports.delivered(&format!("{name}/")) {
                assert!(bytes == old || bytes == b"1\n", "{name} is mixed");
            }
        }
    }
    assert_eq!(exports.companies.bucket.uploads().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_written_again_are_no_change() {
    let exports = Exports::start("same-object").await;
    let bytes = lines(5, 3 * PART);
    exports.put("marketing/a.csv", &bytes).await;
    exports
        .wire
        .hold(|asked| asked.part.is_some_and(|part| part > 1));
    exports.deliver("same", "prefix: marketing/", "");
    exports.half_done("same").await;
    exports.put("marketing/a.csv", &bytes).await;
    exports.wire.hold(|_| false);
    exports.completes("same").await;
    assert!(exports.delivered("")["a.csv"] == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_operator_goes_on_and_sends_no_part_twice() {
    let mut exports = Exports::start("killed").await;
    let bytes = lines(3, 5 * PART + 77);
    exports.put("marketing/a.csv", &bytes).await;
    exports
        .wire
        .hold(|asked| asked.part.is_some_and(|part| part > 2));
    exports.deliver("killed", "prefix: marketing/", "");
    exports.half_done("killed").await;
    until("two parts are there", || {
        sent(&exports, 1) == 1 && sent(&exports, 2) == 1
    })
    .await;
    exports.companies.world.operator.kill9();
    exports.wire.hold(|_| false);
    exports.companies.world.operator.restart();
    exports.completes("killed").await;
    assert!(exports.delivered("")["a.csv"] == bytes);
    assert_eq!((sent(&exports, 1), sent(&exports, 2)), (1, 1));
}

/// How often the part of that number was taken.
fn sent(exports: &Exports, part: u32) -> usize {
    let wanted = format!("partNumber={part}&");
    let requests = exports.companies.bucket.requests();
    let parts = requests.iter().filter(|request| {
        let query = format!("{}&", request.query);
        request.operation == "UploadPart"
            && request.status == 200
            && query.contains(&wanted)
            && request.key.ends_with("a.csv")
    });
    parts.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_many_pages_is_read_whole() {
    let exports = Exports::start("pages").await;
    let client = exports.ours.client();
    let keys = (0..2_345).map(|number| format!("marketing/{number:05}.csv"));
    let puts = keys.map(|key| {
        let put = client.put_object().bucket(exports.ours.name()).key(key);
        let put = put.body(ByteStream::from_static(b"1\n"));
        async move { put.send().await.map(drop) }
    });
    let mut puts = futures::stream::iter(puts).buffer_unordered(16);
    while let Some(put) = puts.next().await {
        put.unwrap();
    }
    // Of each page some.
    let source = "prefix: marketing/, include: [\"*00.csv\"]";
    exports.deliver("pages", source, "  key: \"pages/{name}\"\n");
    exports.completes("pages").await;
    let found = exports.delivered("pages/");
    assert_eq!(found.len(), 24);
    assert!(found.contains_key("02300.csv"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_hangs_holds_up_nobody_else() {
    let exports = Exports::start("hanging").await;
    exports.put("marketing/hung/a.csv", lines(4, 1 << 20)).await;
    exports.put("marketing/quick/b.csv", "1\n").await;
    let hangs = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&hangs);
    exports.wire.hold(move |asked| {
        let is_it = asked.subject.contains("marketing/hung/");
        seen.fetch_or(is_it, Ordering::SeqCst);
        is_it
    });
    exports.deliver("hung", "prefix: marketing/hung/", "");
    until("the source hangs", || hangs.load(Ordering::SeqCst)).await;
    exports.deliver("quick", "prefix: marketing/quick/", "");
    exports.completes("quick").await;
    exports.wire.hold(|_| false);
    exports.completes("hung").await;
}

#[tokio::test]
async fn the_example_does_what_it_says() {
    let exports = Exports::start("bucket-example").await;
    exports.put("marketing/2026-11-24/a.csv", "1\n").await;
    exports.put("marketing/2026-11-24/old/b.csv", "2\n").await;
    exports.put("marketing/2026-11-24/_SUCCESS", "").await;
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sources/bucket.yaml");
    let example = std::fs::read_to_string(example).unwrap();
    exports
        .world()
        .apply(&example.replace("our-exports", exports.ours.name()));
    exports.completes("bucket").await;
    let names: Vec<_> = exports.delivered("").into_keys().collect();
    assert_eq!(names, ["a.csv"]);
}
