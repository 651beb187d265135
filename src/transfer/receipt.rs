//! The receipt: what was delivered, in the field names that consumers of such feeds already parse,
//! and our own beside them. The same delivery gives the same bytes, in any process.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::token::DeliveryToken;
use crate::plan::{ByteRange, Crc64, KeyPrefix, Md5Digest, ObjectDigest, Plan, PlannedObject};

/// The version of the receipt's shape. New fields don't change it; a changed meaning does.
const SCHEMA_VERSION: u32 = 1;

/// What a receipt says beside the objects: only what is the same after a restart.
#[derive(Clone, Debug)]
pub struct ReceiptFacts {
    /// The delivery's namespace.
    pub namespace: String,
    /// The delivery's name.
    pub name: String,
    /// The delivery's uid.
    pub uid: String,
    /// The delivery's token.
    pub token: DeliveryToken,
    /// The destination's name.
    pub destination: String,
    /// The bucket's name.
    pub bucket: String,
    /// The prefix, which the names in the receipt are without.
    pub prefix: KeyPrefix,
    /// When the delivery was created.
    pub created: Timestamp,
    /// What `{date}` and `{timestamp}` rendered.
    pub logical_time: Timestamp,
    /// When the plan was made.
    pub planned_at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Receipt<'a> {
    #[serde(rename = "Files")]
    files: Vec<File<'a>>,
    #[serde(rename = "Totals")]
    totals: Totals<'a>,
    schema_version: u32,
    delivery: Delivery<'a>,
    destination: Destination<'a>,
    times: Times,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct File<'a> {
    file_name: &'a str,
    file_byte_size: u64,
    file_line_count: u64,
    file_sequence_number: u32,
    #[serde(rename = "md5", skip_serializing_if = "Option::is_none")]
    md5: Option<&'a Md5Digest>,
    #[serde(rename = "records")]
    records: u64,
    #[serde(rename = "crc64nvme")]
    crc64: Crc64,
    #[serde(rename = "compression", skip_serializing_if = "Option::is_none")]
    compression: Option<&'a str>,
    #[serde(rename = "uncompressedBytes", skip_serializing_if = "Option::is_none")]
    uncompressed: Option<u64>,
    #[serde(rename = "versionId", skip_serializing_if = "Option::is_none")]
    version_id: Option<&'a str>,
    #[serde(rename = "source")]
    source: Origin<'a>,
}

#[derive(Serialize)]
struct Origin<'a> {
    path: &'a str,
    /// Bytes of the file's beginning that stand in front of the range, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<u64>,
    offset: u64,
    length: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Totals<'a> {
    file_name: &'a str,
    total_byte_size: u64,
    total_number_files: usize,
    total_number_lines: u64,
}

#[derive(Serialize)]
struct Delivery<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    token: &'a str,
}

#[derive(Serialize)]
struct Destination<'a> {
    name: &'a str,
    bucket: &'a str,
    prefix: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    created: Timestamp,
    logical_time: Timestamp,
    planned_at: Timestamp,
}

/// What is known of one delivered object: what it is, and its version where the store said.
pub(super) type Done = (ObjectDigest, Option<String>);

/// What is said of one object.
fn file<'a>(
    facts: &'a ReceiptFacts,
    plan: &'a Plan,
    object: &'a PlannedObject,
    (digest, version_id): &'a Done,
) -> File<'a> {
    let ByteRange { offset, len } = object.range;
    let path = plan
        .sources()
        .get(object.source)
        .map_or("", |file| &file.path);
    let compression = plan.compression().name();
    File {
        file_name: object.key.without(&facts.prefix),
        file_byte_size: digest.bytes,
        file_line_count: digest.lines,
        file_sequence_number: object.sequence,
        md5: digest.md5.as_ref(),
        records: digest.records,
        crc64: digest.crc64,
        compression,
        uncompressed: compression.map(|_| object.len()),
        version_id: version_id.as_deref(),
        source: Origin {
            path,
            header: Some(object.header).filter(|header| *header > 0),
            offset,
            length: len,
        },
    }
}

/// The receipt's bytes: pretty-printed, with a newline at its end. `done` is in the plan's order.
///
/// # Errors
/// None that is known: whatever the names hold, they can be written as JSON.
pub fn render(
    facts: &ReceiptFacts,
    plan: &Plan,
    done: &[Done],
) -> Result<Bytes, serde_json::Error> {
    let files: Vec<_> = plan
        .objects()
        .iter()
        .zip(done)
        .map(|(object, done)| file(facts, plan, object, done))
        .collect();
    let totals = Totals {
        file_name: plan.receipt().without(&facts.prefix),
        total_byte_size: files.iter().map(|file| file.file_byte_size).sum(),
        total_number_files: files.len(),
        total_number_lines: files.iter().map(|file| file.file_line_count).sum(),
    };
    let receipt = Receipt {
        files,
        totals,
        schema_version: SCHEMA_VERSION,
        delivery: Delivery {
            namespace: &facts.namespace,
            name: &facts.name,
            uid: &facts.uid,
            token: facts.token.as_str(),
        },
        destination: Destination {
            name: &facts.destination,
            bucket: &facts.bucket,
            prefix: facts.prefix.as_str(),
        },
        times: Times {
            created: facts.created,
            logical_time: facts.logical_time,
            planned_at: facts.planned_at,
        },
    };
    let mut json = serde_json::to_vec_pretty(&receipt)?;
    json.push(b'\n');
    Ok(json.into())
}
