//! The same manifests on stores of third parties, as users have them, with no setting touched: `make compat`.
//!
//! Their servers take over ten minutes to build, so these tests are ignored elsewhere; stores of each dialect,
//! made by a filter before the usual server, are in the whole-system tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the way a test fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod store;

use serde_json::{Value, json};
use store::{Kind, Place};

/// The smallest part that S3 takes.
const PART: usize = 5 << 20;

#[tokio::test]
#[ignore = "builds a server for minutes: make compat"]
async fn minio_takes_all_that_amazon_takes() {
    let place = Place::on(Kind::Minio).await;
    delivers_whole_and_split(&place).await;
    place
        .has_capabilities("CRC64NVME", "WholeObject", "Honoured")
        .await;
    never_overwrites(&place).await;
    survives_a_kill(&place).await;
    leaves_no_upload_behind(&place).await;
    is_told_what_is_wrong_with_the_key(&place, "SignatureDoesNotMatch").await;
    encrypts_as_it_is_told(&place).await;
}

#[tokio::test]
#[ignore = "builds a server for minutes: make compat"]
async fn garage_ignores_conditions_and_is_delivered_to_all_the_same() {
    let place = Place::on(Kind::Garage).await;
    delivers_whole_and_split(&place).await;
    place
        .has_capabilities("CRC64NVME", "WholeObject", "Ignored")
        .await;
    never_overwrites(&place).await;
    survives_a_kill(&place).await;
    leaves_no_upload_behind(&place).await;
    is_told_what_is_wrong_with_the_key(&place, "AccessDenied").await;
}

async fn delivers_whole_and_split(place: &Place) {
    let lines = lines(3 * PART + 1234);
    place.file("empty.csv", b"");
    place.file("small.csv", &lines[..lines.len() / 100]);
    place.file("large.csv", &lines);
    place.deliver("whole", "*.csv", "");
    place.ends("whole", "Complete").await;
    assert!(place.object("audience/small.csv").await.unwrap() == lines[..lines.len() / 100]);
    assert!(place.object("audience/large.csv").await.unwrap() == lines);
    assert!(place.object("audience/empty.csv").await.unwrap().is_empty());
    let receipt = place.object("audience/whole.info").await.unwrap();
    let receipt: Value = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt["Totals"]["TotalNumberFiles"], 3);

    place.deliver(
        "split",
        "large.csv",
        "  split: {size: 7M}\n  key: \"split/{stem}{split}{ext}\"\n",
    );
    place.ends("split", "Complete").await;
    let mut together = Vec::new();
    for number in 1..=3 {
        let key = format!("audience/split/large-{number:03}.csv");
        let object = place.object(&key).await.unwrap();
        assert!(object.len() <= 7_000_000 && object.ends_with(b"\n"));
        together.extend(object);
    }
    assert!(together == lines);
}

async fn never_overwrites(place: &Place) {
    place.put("audience/theirs.csv", b"theirs\n").await;
    place.file("theirs.csv", b"ours\n");
    place.deliver("over", "theirs.csv", "");
    let delivery = place.ends("over", "Failed").await;
    assert_eq!(
        store::reason(&delivery, "Failed"),
        Some("ObjectExists"),
        "{delivery:#}"
    );
    assert!(place.object("audience/theirs.csv").await.unwrap() == b"theirs\n");
}

async fn survives_a_kill(place: &Place) {
    let lines = lines(20 * PART);
    place.file("killed.csv", &lines);
    place.deliver("killed", "killed.csv", "");
    place.in_flight("killed").await;
    place.operator().restart();
    place.ends("killed", "Complete").await;
    assert!(place.object("audience/killed.csv").await.unwrap() == lines);
    assert_eq!(place.uploads("audience/killed.csv").await, 0);
}

async fn leaves_no_upload_behind(place: &Place) {
    place.file("deleted.csv", lines(20 * PART));
    place.deliver("deleted", "deleted.csv", "");
    place.in_flight("deleted").await;
    place.delete("deleted");
    assert_eq!(place.uploads("audience/deleted.csv").await, 0);
}

/// With the keys of the store itself; `tests/tools/store` names the one that there is.
async fn encrypts_as_it_is_told(place: &Place) {
    let lines = lines(2 * PART + 77);
    place.file("small-secret.csv", &lines[..lines.len() / 100]);
    place.file("large-secret.csv", &lines);
    for (name, spec, how, key) in [
        ("sse-s3", "{type: SSE-S3}", "AES256", None),
        (
            "sse-kms",
            "{type: SSE-KMS, kmsKeyId: outbound-key}",
            "aws:kms",
            Some("outbound-key"),
        ),
    ] {
        place.destination_with(name, json!({}), &format!(", encryption: {spec}"));
        place.is_ready(name).await;
        let more = format!("  key: \"{name}/{{name}}\"\n");
        place.deliver_to(name, name, "*-secret.csv", &more);
        place.ends(name, "Complete").await;
        for (object, bytes) in [
            ("small-secret.csv", &lines[..lines.len() / 100]),
            ("large-secret.csv", &lines[..]),
        ] {
            let object = format!("audience/{name}/{object}");
            let (seen, with) = place.encryption(&object).await;
            assert_eq!(seen.as_deref(), Some(how), "{object}");
            // Some stores write the key as an ARN of their own.
            let named = with.as_deref().and_then(|it| it.rsplit(['/', ':']).next());
            assert_eq!(named, key, "{object}");
            assert!(place.object(&object).await.unwrap() == bytes, "{object}");
        }
        let (seen, _) = place.encryption(&format!("audience/{name}.info")).await;
        assert_eq!(seen.as_deref(), Some(how), "the receipt of {name}");
    }
    let unknown = ", encryption: {type: SSE-KMS, kmsKeyId: no-such-key}";
    place.destination_with("no-key", json!({}), unknown);
    place.not_ready("no-key", "KmsAccessDenied").await;
}

async fn is_told_what_is_wrong_with_the_key(place: &Place, reason: &str) {
    place.destination("wrong", json!({"secretAccessKey": "0".repeat(64)}));
    place.not_ready("wrong", reason).await;
}

/// Lines of a table: so many bytes, closed by a newline.
fn lines(bytes: usize) -> Vec<u8> {
    let mut text: Vec<u8> = (0u64..)
        .flat_map(|number| format!("{number:016},somebody,something\n").into_bytes())
        .take(bytes)
        .collect();
    text.pop();
    text.push(b'\n');
    text
}
