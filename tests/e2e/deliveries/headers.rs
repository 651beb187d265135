//! A header in every split: sizes around the limit, what the receipt says, and a restart in between.

use serde_json::json;

use super::{
    KIND, PART, assert_same, completes, count, deliver, delivered, fails, large_table, names,
    receipt, slow,
};
use crate::support::World;
use crate::support::world::PREFIX;

/// Name and content of each object.
fn texts(world: &World, delivery: &serde_json::Value) -> Vec<(String, String)> {
    delivered(&world.bucket, delivery)
        .into_iter()
        .map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap()))
        .collect()
}

#[tokio::test]
async fn sizes_around_the_limit() {
    let world = World::start("headers-sizes").await;
    world.access_key_destination("acme", "").await;
    for (name, text) in [
        // Exactly the size, and one byte more: the last record then takes the header along.
        ("exact", "id\n1234\n56"),
        ("more", "id\n1234\n567"),
        // A record ends on the cut, in the first split and in the second.
        ("even", "id\n123456\n1234567\n123456\n"),
        ("empty", ""),
        ("only", "id\n"),
        ("bare", "id"),
        // The header alone fills the first split, as the next record fits only with nothing beside it.
        ("alone", "id\n1234567\n89\n"),
    ] {
        world.file(&format!("{name}.csv"), text);
    }
    deliver(
        &world,
        "sizes",
        "*.csv",
        "  split: {size: 10, header: Repeat}\n",
    );
    let message = fails(&world, "sizes", "RecordTooLong").await;
    assert!(
        message.contains("alone.csv") && message.contains("7 bytes"),
        "{message}"
    );
    std::fs::remove_file(world.folder().join("alone.csv")).unwrap();
    world.file("even.csv", "id\n123456\n123456\n123456\n");
    deliver(
        &world,
        "sizes-2",
        "*.csv",
        "  split: {size: 10, header: Repeat}\n",
    );
    let delivery = completes(&world, "sizes-2").await;
    let found = texts(&world, &delivery);
    let found: Vec<_> = found
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("bare.csv", "id"),
            ("empty.csv", ""),
            ("even-001.csv", "id\n123456\n"),
            ("even-002.csv", "id\n123456\n"),
            ("even-003.csv", "id\n123456\n"),
            ("exact.csv", "id\n1234\n56"),
            ("more-001.csv", "id\n1234\n"),
            ("more-002.csv", "id\n567"),
            ("only.csv", "id\n"),
        ]
    );
    let receipt = receipt(&world.bucket, &delivery);
    let files = receipt["Files"].as_array().unwrap();
    let of = |name: &str| files.iter().find(|file| file["FileName"] == name).unwrap();
    assert_eq!(
        of("even-002.csv")["source"],
        json!({"path": "even.csv", "header": 3, "offset": 10, "length": 7})
    );
    assert_eq!(
        of("even-001.csv")["source"],
        json!({"path": "even.csv", "offset": 0, "length": 10})
    );
    assert_eq!(of("more-002.csv")["records"], 2);
    assert_eq!(of("more-002.csv")["FileLineCount"], 1);
    assert_eq!(
        delivery["status"]["progress"]["bytesTotal"],
        receipt["Totals"]["TotalByteSize"]
    );
}

#[tokio::test]
async fn any_delimiter_ends_a_header() {
    let world = World::start("headers-delimiter").await;
    world.access_key_destination("acme", "").await;
    world.file("bar.txt", "h\n|1\n|2|3|4\n|");
    world.file("crlf.txt", "h\nh\r\n1\n1\r\n2\r\n3\r\n");
    world.file("zero.txt", "h\0one\0two\0");
    for (name, delimiter, size) in [("bar", "|", 7), ("crlf", "\\r\\n", 10), ("zero", "\\0", 7)] {
        let more =
            format!("  split: {{size: {size}, header: Repeat, delimiter: \"{delimiter}\"}}\n");
        deliver(&world, name, &format!("{name}.txt"), &more);
    }
    for (name, wanted) in [
        ("bar", &["h\n|1\n|", "h\n|2|3|", "h\n|4\n|"][..]),
        (
            "crlf",
            &["h\nh\r\n1\n1\r\n", "h\nh\r\n2\r\n", "h\nh\r\n3\r\n"],
        ),
        ("zero", &["h\0one\0", "h\0two\0"]),
    ] {
        let delivery = completes(&world, name).await;
        let found = texts(&world, &delivery);
        let found: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(found, wanted, "{name}");
    }
}

/// Objects of several parts, the header at the beginning of each: after a kill what the store has stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_goes_on_where_it_was_when_the_operator_was_killed() {
    let (mut world, wire) = slow::world("headers-killed", |config| config).await;
    world.cross_account_destination("acme", "").await;
    let header = format!("{}\n", "column,".repeat(1000));
    let table = large_table(7, 24_000_000);
    let source = [header.as_bytes(), &table].concat();
    world.file("a.csv", &source);
    // All but the third part of the second split arrive.
    wire.hold(|asked| asked.subject.contains("a-002") && asked.part == Some(3));
    let more = "  split: {size: 12M, header: Repeat}\n";
    deliver(&world, "killed", "a.csv", more);
    let second = format!("{PREFIX}a-002.csv");
    crate::support::wait::until("two parts are there", || {
        count(&world.bucket, "UploadPart", &second) == 2
    })
    .await;
    world.operator.kill9();
    wire.open();
    world.operator.restart();
    let delivery = completes(&world, "killed").await;
    assert_eq!(
        names(&world.bucket, &delivery),
        ["a-001.csv", "a-002.csv", "a-003.csv"]
    );
    let mut joined = Vec::new();
    for (number, (name, bytes)) in delivered(&world.bucket, &delivery).into_iter().enumerate() {
        assert!(
            bytes.len() <= 12_000_000 && bytes.starts_with(header.as_bytes()),
            "{name}"
        );
        joined.extend_from_slice(&bytes[if number == 0 { 0 } else { header.len() }..]);
    }
    assert_same(&joined, &source);
    let parts = world.bucket.files()[&second].len().div_ceil(PART);
    assert_eq!(
        count(&world.bucket, "UploadPart", &second),
        parts,
        "none is sent twice"
    );
}

/// Created again, as GitOps does: what is there with the delivery's token isn't sent again, header included.
#[tokio::test]
async fn what_was_delivered_with_headers_is_known_again() {
    let world = World::start("headers-again").await;
    super::store::readable_destination(&world).await;
    world.file("a.csv", "id\n1234\n5678\n9\n");
    let more = "  split: {size: 10, header: Repeat}\n";
    deliver(&world, "again", "a.csv", more);
    let first = completes(&world, "again").await;
    let before = world.bucket.files();
    world.namespace.kubectl(&["delete", "obdel", "again"]).ok();
    deliver(&world, "again", "a.csv", more);
    world
        .reason(KIND, "again", "Complete", "AlreadyDelivered")
        .await;
    let second = world.get(KIND, "again");
    assert_eq!(second["status"]["objects"], first["status"]["objects"]);
    assert_eq!(world.bucket.files(), before);
    for key in before.keys() {
        assert_eq!(count(&world.bucket, "PutObject", key), 1, "{key}");
    }
}
