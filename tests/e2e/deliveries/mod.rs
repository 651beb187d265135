//! Deliveries from files to a customer's bucket. What must be there is computed here by `stat`, `wc` and
//! `md5sum`; what is there is seen through kubectl, the S3 server's disk and the customer's own client.

mod access;
mod changed;
mod compressed;
mod cutting;
mod dialects;
mod examples;
mod happy;
mod headers;
mod hung;
mod keys;
mod leader;
mod lifecycle;
mod limits;
mod markers;
mod memory;
mod notices;
mod orphans;
mod planning;
mod receipts;
mod refused;
mod restart;
mod retry;
mod rotation;
mod shutdown;
mod slow;
mod sources;
mod store;
mod time;
mod tls;
mod waiting;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::process::{Output, Scratch};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, find_condition};
use crate::support::{Bucket, World};

/// The kind, as a user types it.
const KIND: &str = "obdel";

/// The smallest part that S3 takes, which makes the most of a small file.
const PART: usize = 5 << 20;

/// Lines as of a table: `bytes` in all, closed by a newline, the same for the same seed. Some are blank,
/// some hold commas in quotes or letters beyond ASCII.
fn table(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = String::with_capacity(bytes + 128);
    while text.len() < bytes {
        match random.u8(0..50) {
            0 => {}
            1 => text.push_str("\"a, b\",é,ü"),
            _ => {
                let (id, name) = (random.u32(..), "x".repeat(random.usize(1..60)));
                text.push_str(&format!("{id},{name},{}", random.u16(..)));
            }
        }
        text.push('\n');
    }
    let mut text = text.into_bytes();
    text.truncate(bytes);
    // A cut through a letter of two bytes is no text, which is as good.
    if let Some(last) = text.last_mut() {
        *last = b'\n';
    }
    text
}

/// Many bytes quickly: one block of [`table`] again and again, each behind a line with its number.
fn large_table(seed: u64, bytes: usize) -> Vec<u8> {
    let block = table(seed, 1 << 20);
    let mut all = Vec::with_capacity(bytes + block.len() + 32);
    for number in 0.. {
        if all.len() >= bytes {
            break;
        }
        all.extend_from_slice(format!("block {number:08}\n").as_bytes());
        all.extend_from_slice(&block);
    }
    all.truncate(bytes);
    if let Some(last) = all.last_mut() {
        *last = b'\n';
    }
    all
}

/// Applies a delivery of `path` to the destination `acme`. `more` are further lines of its spec (2 spaces in).
#[track_caller]
fn deliver(world: &World, name: &str, path: &str, more: &str) {
    world.apply(&manifest(name, path, more));
}

fn manifest(name: &str, path: &str, more: &str) -> String {
    format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\n\
         spec:\n  destinationRef: {{name: acme}}\n  source: {{volume: {{path: {path:?}}}}}\n{more}"
    )
}

/// Waits until the delivery is Complete, checks its status and its receipt, and returns it.
async fn completes(world: &World, name: &str) -> Value {
    // Some have a thousand objects, on a machine that does much else. A failure ends the wait, too: it would never
    // become Complete.
    let what = format!("{name} ends");
    world
        .eventually(PATIENCE * 5, &what, KIND, name, |delivery| {
            let is = |kind| find_condition(delivery, kind).is_some_and(|it| it["status"] == "True");
            (is("Complete") || is("Failed")).then_some(())
        })
        .await;
    let delivery = world.get(KIND, name);
    let log = || world.operator.log_tail();
    assert!(
        find_condition(&delivery, "Complete").is_some(),
        "{:#}\n{}",
        delivery["status"],
        log()
    );
    check_complete(&delivery);
    delivery
}

/// What the status of a delivery that is done says.
fn check_complete(delivery: &Value) {
    let status = &delivery["status"];
    let shown = format!("{status:#}");
    assert_eq!(
        conditions(delivery),
        ["Complete=True", "Ready=True"],
        "{shown}"
    );
    for kind in ["Complete", "Ready"] {
        let condition = find_condition(delivery, kind).unwrap();
        assert_eq!(condition["reason"], "Delivered", "{shown}");
        assert_eq!(
            condition["observedGeneration"], delivery["metadata"]["generation"],
            "{shown}"
        );
    }
    assert_eq!(status["phase"], "Complete", "{shown}");
    assert_eq!(
        status["observedGeneration"], delivery["metadata"]["generation"],
        "{shown}"
    );
    let progress = &status["progress"];
    assert_eq!(progress["percent"], 100, "{shown}");
    assert_eq!(progress["bytesDone"], progress["bytesTotal"], "{shown}");
    assert_eq!(progress["objectsDone"], progress["objectsTotal"], "{shown}");
    let (start, end) = (
        status["startTime"].as_str(),
        status["completionTime"].as_str(),
    );
    assert!(start.is_some() && start <= end, "{shown}");
    for value in [
        &status["destination"]["uid"],
        &status["destination"]["hash"],
    ] {
        assert!(
            value.as_str().is_some_and(|text| !text.is_empty()),
            "{shown}"
        );
    }
    assert!(
        status["lastError"].is_null() && status["attempts"].is_null(),
        "{shown}"
    );
}

/// Waits until the delivery has failed for that reason, by the kstatus rule and without an open upload;
/// returns what the user reads.
async fn fails(world: &World, name: &str, reason: &str) -> String {
    let failed = world.condition(KIND, name, "Failed", "True").await;
    let delivery = world.get(KIND, name);
    let shown = format!("{:#}\n{}", delivery["status"], world.operator.log_tail());
    assert_eq!(failed["reason"], reason, "{shown}");
    assert_eq!(
        conditions(&delivery),
        ["Failed=True", "Ready=False", "Stalled=True"],
        "{shown}"
    );
    assert_eq!(
        find_condition(&delivery, "Ready").unwrap()["reason"],
        reason,
        "{shown}"
    );
    assert_eq!(delivery["status"]["phase"], "Failed", "{shown}");
    assert!(delivery["status"]["receipt"].is_null(), "{shown}");
    assert!(delivery["status"]["completionTime"].is_null(), "{shown}");
    assert_eq!(world.bucket.uploads().await, [], "{shown}");
    failed["message"].as_str().unwrap().to_owned()
}

/// The conditions as `TYPE=STATUS`, sorted.
fn conditions(object: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut all: Vec<_> = all
        .iter()
        .map(|it| format!("{}={}", text(&it["type"]), text(&it["status"])))
        .collect();
    all.sort();
    all
}

/// The ledger and the finalizer are there only while they are needed, and no upload stays open.
async fn nothing_internal_is_left(world: &World, name: &str) {
    nothing_is_left_in_the_cluster(world, name).await;
    assert_eq!(world.bucket.uploads().await, []);
}

async fn nothing_is_left_in_the_cluster(world: &World, name: &str) {
    eventually(PATIENCE, "finalizer and ledger are gone", async || {
        let delivery = world.get(KIND, name);
        let ledgers = world
            .namespace
            .kubectl(&["get", "outboundledgers", "-o", "name"])
            .ok();
        let finalizers = &delivery["metadata"]["finalizers"];
        let none = finalizers.as_array().is_none_or(Vec::is_empty) && ledgers.is_empty();
        if none {
            Ok(())
        } else {
            Err(format!("{finalizers} {ledgers}"))
        }
    })
    .await;
}

/// What a program of the system says of those bytes: the first word of its output.
fn measure(program: &str, arguments: &[&str], bytes: &[u8]) -> String {
    let scratch = Scratch::new("measure");
    let file = scratch.path().join("bytes");
    std::fs::write(&file, bytes).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).arg(&file);
    let text = Output::of(&mut command, None).ok();
    text.split_whitespace().next().unwrap().to_owned()
}

fn size(bytes: &[u8]) -> u64 {
    measure("stat", &["-c", "%s"], bytes).parse().unwrap()
}

fn lines(bytes: &[u8]) -> u64 {
    measure("wc", &["-l"], bytes).parse().unwrap()
}

fn md5(bytes: &[u8]) -> String {
    measure("md5sum", &[], bytes)
}

/// The receipt as it lies in the bucket.
fn receipt(bucket: &Bucket, delivery: &Value) -> Value {
    let key = delivery["status"]["receipt"]["key"]
        .as_str()
        .expect("a receipt's key");
    let files = bucket.files();
    let bytes = files
        .get(key)
        .unwrap_or_else(|| panic!("no {key} in {:?}", files.keys()));
    serde_json::from_slice(bytes).expect("a receipt in JSON")
}

/// The delivered objects in the order of the receipt: what stands in `FileName`, and the bytes.
///
/// Everything that the receipt says of them is measured again on the way.
fn delivered(bucket: &Bucket, delivery: &Value) -> Vec<(String, Vec<u8>)> {
    let files = bucket.files();
    let receipt = receipt(bucket, delivery);
    let entries = receipt["Files"].as_array().expect("Files");
    let mut objects = Vec::new();
    let (mut bytes_total, mut lines_total) = (0, 0);
    for (number, entry) in (1..).zip(entries) {
        let name = entry["FileName"].as_str().expect("FileName");
        let bytes = files
            .get(&format!("{PREFIX}{name}"))
            .expect("the object of an entry");
        assert_eq!(entry["FileSequenceNumber"], number, "{receipt:#}");
        assert_eq!(entry["FileByteSize"], size(bytes), "{receipt:#}");
        let content = content(entry, bytes);
        assert_eq!(entry["FileLineCount"], lines(&content), "{receipt:#}");
        if !entry["md5"].is_null() {
            assert_eq!(entry["md5"], md5(bytes), "{receipt:#}");
        }
        bytes_total += size(bytes);
        lines_total += lines(&content);
        objects.push((name.to_owned(), bytes.clone()));
    }
    let totals = &receipt["Totals"];
    assert_eq!(totals["TotalNumberFiles"], entries.len(), "{receipt:#}");
    assert_eq!(totals["TotalByteSize"], bytes_total, "{receipt:#}");
    assert_eq!(totals["TotalNumberLines"], lines_total, "{receipt:#}");
    check_listed(delivery, &receipt, &objects);
    objects
}

/// What a receiver has once it read the object as its entry in the receipt says.
fn content(entry: &Value, bytes: &[u8]) -> Vec<u8> {
    let content = match entry["compression"].as_str() {
        None => return bytes.to_vec(),
        Some("gzip") => decompressed("gzip", bytes),
        Some("zstd") => decompressed("zstd", bytes),
        Some(other) => panic!("{other} is no compression: {entry:#}"),
    };
    assert_eq!(entry["uncompressedBytes"], size(&content), "{entry:#}");
    let source = |field: &str| entry["source"][field].as_u64().unwrap_or_default();
    let length = source("length") + source("header");
    assert_eq!(length, size(&content), "{entry:#}");
    content
}

/// By the program of that name.
fn decompressed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let scratch = Scratch::new("decompress");
    let file = scratch.path().join("bytes");
    std::fs::write(&file, bytes).unwrap();
    let mut command = Command::new(program);
    let input = std::fs::File::open(&file).unwrap();
    let output = command.args(["-d", "-c"]).stdin(input).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    output.stdout
}

/// `status.objects` says the same as the receipt, of the first hundred.
fn check_listed(delivery: &Value, receipt: &Value, objects: &[(String, Vec<u8>)]) {
    let status = &delivery["status"];
    let listed = status["objects"].as_array().cloned().unwrap_or_default();
    let omitted = status["objectsOmitted"].as_u64().unwrap_or_default();
    assert_eq!(
        listed.len() as u64 + omitted,
        objects.len() as u64,
        "{status:#}"
    );
    for (at, (object, (name, bytes))) in listed.iter().zip(objects).enumerate() {
        assert_eq!(object["key"], format!("{PREFIX}{name}"), "{status:#}");
        assert_eq!(object["bytes"], bytes.len(), "{status:#}");
        assert_eq!(
            object["lines"], receipt["Files"][at]["FileLineCount"],
            "{status:#}"
        );
    }
}

/// [`delivered`], as names alone.
fn names(bucket: &Bucket, delivery: &Value) -> Vec<String> {
    delivered(bucket, delivery)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

/// [`delivered`], one behind the other.
fn joined(bucket: &Bucket, delivery: &Value) -> Vec<u8> {
    delivered(bucket, delivery)
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .collect()
}

/// Panics without printing megabytes.
#[track_caller]
fn assert_same(found: &[u8], wanted: &[u8]) {
    let at = found.iter().zip(wanted).position(|(a, b)| a != b);
    assert!(
        found == wanted,
        "{} bytes, not {}; first difference at {at:?}",
        found.len(),
        wanted.len()
    );
}

/// How many requests of that operation succeeded, by key.
fn succeeded(bucket: &Bucket, operation: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in bucket.requests() {
        if request.operation == operation && (200..300).contains(&request.status) {
            *counts.entry(request.key).or_insert(0) += 1;
        }
    }
    counts
}

/// `count` of [`succeeded`] for one key.
fn count(bucket: &Bucket, operation: &str, key: &str) -> usize {
    succeeded(bucket, operation)
        .get(key)
        .copied()
        .unwrap_or_default()
}

/// A program that must succeed on a path: `touch`, `mkfifo`.
fn system(program: &str, arguments: &[&str], path: &Path) {
    Output::of(Command::new(program).args(arguments).arg(path), None).ok();
}

/// Sets an annotation that asks for something now.
fn request(world: &World, kind: &str, name: &str, value: &str) {
    let annotation = format!("outbound.dev/requestedAt={value}");
    world
        .namespace
        .kubectl(&["annotate", "--overwrite", kind, name, &annotation])
        .ok();
}
