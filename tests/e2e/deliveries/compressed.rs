//! Compressed objects, read by the programs that a receiver has.

use serde_json::{Value, json};

use super::cutting::{Style, rows, ugly};
use super::slow::{self, half_done};
use super::store::readable_destination;
use super::{
    PART, assert_same, completes, content, count, deliver, delivered, fails, large_table, measure,
    nothing_internal_is_left, receipt, succeeded, table,
};
use crate::support::process::Resident;
use crate::support::{OperatorConfig, S3Server, World};

/// The formats as the manifest, the key and the header `Content-Type` name them.
const FORMATS: [(&str, &str, &str); 2] = [
    ("Gzip", "gz", "application/gzip"),
    ("Zstd", "zst", "application/zstd"),
];

/// What a receiver has of a delivery's objects, one behind the other.
fn received(world: &World, delivery: &Value) -> Vec<u8> {
    let receipt = receipt(&world.bucket, delivery);
    let entries = receipt["Files"].as_array().unwrap();
    let objects = delivered(&world.bucket, delivery);
    let contents = entries
        .iter()
        .zip(&objects)
        .map(|(entry, (_, bytes))| content(entry, bytes));
    contents.collect::<Vec<_>>().concat()
}

/// Python reads it, too: all of it, and as one member.
fn python_reads(bytes: &[u8], wanted: &[u8]) {
    let program = "import gzip, hashlib, sys, zlib\n\
                   raw = open(sys.argv[1], 'rb').read()\n\
                   one = zlib.decompressobj(31)\n\
                   whole = one.decompress(raw)\n\
                   assert one.eof and not one.unused_data\n\
                   assert whole == gzip.open(sys.argv[1]).read()\n\
                   print(hashlib.md5(whole).hexdigest())";
    assert_eq!(
        measure("python3", &["-c", program], bytes),
        super::md5(wanted)
    );
}

#[tokio::test]
async fn tables_are_cut_before_they_are_compressed() {
    let world = World::start("compressed-tables").await;
    world.cross_account_destination("acme", "").await;
    let source = table(1, 2_294_215);
    world.file("weather.csv", &source);
    world.file("empty.csv", "");
    for (format, suffix, media_type) in FORMATS {
        let name = format.to_lowercase();
        let more = format!("  split: {{size: 500k}}\n  compression: {format}\n");
        deliver(&world, &name, "*.csv", &more);
        let delivery = completes(&world, &name).await;
        let objects = delivered(&world.bucket, &delivery);
        let names: Vec<_> = objects.iter().map(|(name, _)| name.clone()).collect();
        let mut wanted = vec![format!("empty.csv.{suffix}")];
        wanted.extend((1..=5).map(|number| format!("weather-{number:03}.csv.{suffix}")));
        assert_eq!(names, wanted);
        assert_same(&received(&world, &delivery), &source);
        let total: usize = objects.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(total < source.len(), "{total} bytes");
        let progress = json!({
            "bytesTotal": source.len(), "bytesDone": source.len(), "percent": 100,
            "filesTotal": 2, "objectsTotal": 6, "objectsDone": 6,
        });
        assert_eq!(delivery["status"]["progress"], progress);
        for entry in receipt(&world.bucket, &delivery)["Files"]
            .as_array()
            .unwrap()
        {
            assert_eq!(entry["compression"], name, "{entry:#}");
        }
        // Sent as a file: no client decompresses it on its way.
        let customer = world.s3.client(&world.s3.customer());
        let key = format!("audience/weather-001.csv.{suffix}");
        let head = customer.head_object().bucket(world.bucket.name()).key(key);
        let head = head.send().await.unwrap();
        assert_eq!(head.content_type(), Some(media_type));
        assert_eq!(head.content_encoding(), None);
        nothing_internal_is_left(&world, &name).await;
    }
    let files = world.bucket.files();
    python_reads(&files["audience/empty.csv.gz"], b"");
    let first = &files["audience/weather-001.csv.gz"];
    python_reads(first, &super::decompressed("gzip", first));
}

/// Each split, decompressed by the format's own program, is a table of its own: Python's reader finds in them the rows
/// of the source, and the header before them.
#[tokio::test]
async fn each_split_begins_with_the_header_once_it_is_decompressed() {
    let world = World::start("compressed-headers").await;
    world.access_key_destination("acme", "").await;
    let header = "\"the\nid\",\"the \"\"name\"\"\",note";
    let style = Style {
        mark: "\u{feff}",
        header,
        end: None,
        last_end: false,
    };
    let source = ugly(11, 90_000, style);
    world.file("a.csv", &source);
    let mark = format!("\u{feff}{header}");
    for (format, suffix, _) in FORMATS {
        let name = format.to_lowercase();
        let more = format!(
            "  split: {{size: 20k, format: CSV, header: Repeat}}\n  compression: {format}\n"
        );
        deliver(&world, &name, "a.csv", &more);
        let delivery = completes(&world, &name).await;
        let receipt = receipt(&world.bucket, &delivery);
        let entries = receipt["Files"].as_array().unwrap();
        let objects = delivered(&world.bucket, &delivery);
        assert!(objects.len() >= 5, "{} splits", objects.len());
        let mut splits = Vec::new();
        let mut counted = 0;
        for (at, (entry, (object, bytes))) in entries.iter().zip(objects).enumerate() {
            assert_eq!(object, format!("a-{:03}.csv.{suffix}", at + 1));
            let split = content(entry, &bytes);
            assert!(split.len() <= 20_000, "{object}: {}", split.len());
            assert!(split.starts_with(mark.as_bytes()), "{object}");
            let repeated = u64::from(at > 0);
            assert_eq!(u64::from(!entry["source"]["header"].is_null()), repeated);
            counted += entry["records"].as_u64().unwrap() - repeated;
            splits.push((object, split));
        }
        assert_eq!(rows("header", source.as_bytes(), &splits), counted);
    }
}

#[tokio::test]
async fn with_read_back_small_ones_are_one_put_and_are_known_again() {
    let world = World::start("compressed-again").await;
    readable_destination(&world).await;
    world.file("a.csv", table(2, 300_000));
    for (format, suffix, _) in FORMATS {
        let (key, name) = (format!("audience/a.csv.{suffix}"), format.to_lowercase());
        deliver(
            &world,
            &name,
            "a.csv",
            &format!("  compression: {format}\n"),
        );
        completes(&world, &name).await;
        assert_eq!(count(&world.bucket, "PutObject", &key), 1, "{key}");
        // The same content in another delivery's name, then without leave.
        let skip = format!("  compression: {format}\n  ifExists: Skip\n");
        let second = format!("{name}-skip");
        deliver(&world, &second, "a.csv", &skip);
        completes(&world, &second).await;
        assert_eq!(count(&world.bucket, "PutObject", &key), 1, "{key}");
        let third = format!("{name}-fail");
        deliver(
            &world,
            &third,
            "a.csv",
            &format!("  compression: {format}\n"),
        );
        let failed = world.condition("obdel", &third, "Failed", "True").await;
        assert_eq!(failed["reason"], "ObjectExists");
    }
}

/// Killed in mid-object, and then under another version of the encoder: the ledger is told so while nobody looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_mid_object_it_ends_in_the_same_bytes() {
    let few = |config: OperatorConfig| config.with("transfer.maxConcurrentParts", 2);
    let (mut world, wire) = slow::world("compressed-kill", few).await;
    world.cross_account_destination("acme", "").await;
    let source = large_table(3, 90_000_000);
    world.file("large.csv", &source);
    for (format, suffix, _) in FORMATS {
        let key = |name: &str| format!("audience/{name}.csv.{suffix}");
        let manifest = format!("  compression: {format}\n  key: \"{{delivery}}{{ext}}\"\n");
        let (whole, killed) = (
            format!("whole-{}", format.to_lowercase()),
            format!("killed-{}", format.to_lowercase()),
        );
        deliver(&world, &whole, "large.csv", &manifest);
        completes(&world, &whole).await;
        let parts = succeeded(&world.bucket, "UploadPart")[&key(&whole)];
        assert!(parts >= 3, "{parts} parts");

        wire.hold_parts("killed-", 2);
        deliver(&world, &killed, "large.csv", &manifest);
        half_done(&world, &killed).await;
        world.operator.kill9();
        let before = succeeded(&world.bucket, "UploadPart")[&key(&killed)];
        if format == "Zstd" {
            another_encoder_was_here(&world);
        }
        wire.open();
        world.operator.restart();
        let delivery = completes(&world, &killed).await;
        assert_same(&received(&world, &delivery), &source);
        let files = world.bucket.files();
        assert_same(&files[&key(&killed)], &files[&key(&whole)]);
        assert_eq!(files[&key(&whole)].len().div_ceil(PART), parts);
        let sent = succeeded(&world.bucket, "UploadPart")[&key(&killed)];
        assert!(before >= 1, "{before} parts were there");
        // What was held may have landed when the wire opened: nobody saw its answer.
        assert!(
            sent >= parts && sent <= parts + 2,
            "{sent} parts, {before} before, of {parts}"
        );
        nothing_internal_is_left(&world, &killed).await;
    }
    assert!(
        world
            .operator
            .log()
            .contains("another version of the encoder")
    );
}

/// The version in the one ledger that there is becomes one that never was.
fn another_encoder_was_here(world: &World) {
    let ledger = world
        .namespace
        .kubectl(&["get", "outboundledgers", "-o", "name"])
        .ok();
    let patch = r#"{"spec":{"header":{"encoder":4711}}}"#;
    world
        .namespace
        .kubectl(&["patch", ledger.trim(), "--type=merge", "-p", patch])
        .ok();
}

#[tokio::test]
async fn a_large_file_takes_the_budget_and_no_more_and_too_little_is_said() {
    let start = |topic: &'static str, memory: &'static str| async move {
        let change = |config: OperatorConfig| {
            config
                .with("transfer.memory", memory)
                .with("transfer.partSize", "5Mi")
        };
        let world = World::start_with(topic, &S3Server::shared(), change).await;
        world.access_key_destination("acme", "").await;
        world.condition("obdest", "acme", "Ready", "True").await;
        world
    };
    let world = start("compressed-memory", "40Mi").await;
    let idle = world.operator.memory(Resident::Peak);
    let source = large_table(4, 120 << 20);
    world.file("large.csv", &source);
    for (format, ..) in FORMATS {
        let name = format.to_lowercase();
        let more = format!("  compression: {format}\n  receipt: {{md5: false}}\n");
        deliver(&world, &name, "large.csv", &more);
        let delivery = completes(&world, &name).await;
        assert_same(&received(&world, &delivery), &source);
        // The budget, and as much again for the connections' and the allocator's own.
        let grown = world.operator.memory(Resident::Peak).saturating_sub(idle);
        assert!(
            grown < 2 * (40 << 20) + (16 << 20),
            "{idle} bytes at rest, {grown} more for {format}"
        );
    }

    let world = start("compressed-tight", "8Mi").await;
    world.file("large.csv", &source[..20 << 20]);
    deliver(&world, "tight", "large.csv", "  compression: Gzip\n");
    let message = fails(&world, "tight", "TooLargeToCompress").await;
    assert!(message.contains("transfer.memory must be"), "{message}");
    let begun = count(
        &world.bucket,
        "CreateMultipartUpload",
        "audience/large.csv.gz",
    );
    assert_eq!(begun, 0);
    nothing_internal_is_left(&world, "tight").await;
}
