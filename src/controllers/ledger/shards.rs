//! A plan cut into shards of a bounded size, and joined again: pure.

use crate::api::{FARTHEST_NS, LedgerHeader, LedgerObject, LedgerSource, OutboundLedgerSpec};
use crate::controllers::compression;
use crate::plan::{ByteRange, Fingerprint, KeyPrefix, ObjectKey, Plan, PlannedObject, SourceFile};

/// Bytes of a shard with all that may be recorded in it: some eighty objects, and well under the 512 KiB that a
/// ledger object may have. Each change of one of them writes the whole shard, so a large one would mean that most
/// of what a delivery of many small objects does is writing its ledger.
const SHARD_BYTES: usize = 128 << 10;

/// Bytes that an entry may take beside its key: an upload id (S3's have about 130 characters, others' up to a
/// few hundred), a version id, checksums, counts and field names.
const ENTRY_BYTES: usize = 1500;

/// Cuts the plan into shards; the header is in the first.
pub(super) fn cut(
    plan: &Plan,
    header: &LedgerHeader,
    delivery_uid: &str,
) -> Vec<OutboundLedgerSpec> {
    let mut shards = vec![empty(delivery_uid)];
    let mut bytes = 0;
    let mut last_source = None;
    for object in plan.objects() {
        let is_new = last_source != Some(object.source);
        let path_bytes = if is_new {
            plan.sources()[object.source].path.len() * 2
        } else {
            0
        };
        let needed = ENTRY_BYTES + object.key.as_str().len() * 2 + path_bytes;
        if bytes + needed > SHARD_BYTES {
            shards.push(empty(delivery_uid));
            bytes = 0;
        }
        bytes += needed;
        last_source = Some(object.source);
        if let Some(shard) = shards.last_mut() {
            shard.objects.push(entry(object));
            if is_new {
                shard.sources.push(source(plan, object.source));
            }
        }
    }
    let count = to_u32(shards.len());
    for (number, shard) in shards.iter_mut().enumerate() {
        shard.shard = to_u32(number);
        shard.shards = count;
    }
    shards[0].header = Some(header.clone());
    shards
}

fn empty(delivery_uid: &str) -> OutboundLedgerSpec {
    OutboundLedgerSpec {
        delivery_uid: delivery_uid.to_owned(),
        shard: 0,
        shards: 1,
        header: None,
        sources: Vec::new(),
        objects: Vec::new(),
    }
}

fn entry(object: &PlannedObject) -> LedgerObject {
    LedgerObject {
        sequence: object.sequence,
        source: to_u32(object.source),
        offset: to_i64(object.range.offset),
        header: to_i64(object.header),
        length: to_i64(object.range.len),
        key: object.key.as_str().to_owned(),
        ..LedgerObject::default()
    }
}

fn source(plan: &Plan, index: usize) -> LedgerSource {
    let file = &plan.sources()[index];
    let (mtime_ns, ctime_ns, etag) = match &file.fingerprint {
        Fingerprint::File {
            mtime_ns, ctime_ns, ..
        } => (
            Some(time_in_ledger(*mtime_ns)),
            Some(time_in_ledger(*ctime_ns)),
            None,
        ),
        Fingerprint::Object { etag, .. } => (None, None, Some(etag.clone())),
    };
    LedgerSource {
        index: to_u32(index),
        path: file.path.clone(),
        size: to_i64(file.fingerprint.size()),
        mtime_ns,
        ctime_ns,
        etag,
    }
}

/// A file's time as the ledger has it. Those beyond its farthest are all one, as they are where the file is looked at.
fn time_in_ledger(ns: i64) -> i64 {
    ns.clamp(-FARTHEST_NS, FARTHEST_NS)
}

fn time_from_ledger(ns: i64) -> i64 {
    match ns {
        FARTHEST_NS => i64::MAX,
        ns if ns == -FARTHEST_NS => i64::MIN,
        ns => ns,
    }
}

fn fingerprint(source: &LedgerSource) -> Result<Fingerprint, String> {
    let size = u64::try_from(source.size).map_err(|_| "a file's size is negative")?;
    match (source.mtime_ns, source.ctime_ns, &source.etag) {
        (Some(mtime_ns), Some(ctime_ns), None) => Ok(Fingerprint::File {
            size,
            mtime_ns: time_from_ledger(mtime_ns),
            ctime_ns: time_from_ledger(ctime_ns),
        }),
        (None, None, Some(etag)) => Ok(Fingerprint::Object {
            size,
            etag: etag.clone(),
        }),
        _ => Err("a source is neither a file nor an object".to_owned()),
    }
}

/// Joins the shards of the delivery `uid` to the plan that they were cut from.
///
/// # Errors
/// When a shard is another delivery's, the header is missing, or the plan isn't one.
pub(super) fn join(
    shards: &[&OutboundLedgerSpec],
    uid: &str,
) -> Result<(Plan, LedgerHeader), String> {
    if shards.iter().any(|shard| shard.delivery_uid != uid) {
        return Err("a shard belongs to another delivery".to_owned());
    }
    let header = shards
        .first()
        .and_then(|first| first.header.clone())
        .ok_or("it has no header")?;
    let mut sources: Vec<&LedgerSource> = shards.iter().flat_map(|shard| &shard.sources).collect();
    sources.sort_by_key(|source| source.index);
    let sources = sources.into_iter().map(|source| {
        Ok(SourceFile {
            path: source.path.clone(),
            fingerprint: fingerprint(source)?,
        })
    });
    let sources = sources.collect::<Result<Vec<_>, String>>()?;
    let objects = shards.iter().flat_map(|shard| &shard.objects).map(planned);
    let objects = objects.collect::<Result<Vec<_>, String>>()?;
    let plan = Plan::restore(sources, objects, key(&header.receipt.key)?)
        .map_err(|error| error.to_string())?
        .compressed(compression::read(header.compression));
    if plan.hash().as_str() != header.plan_hash {
        return Err("the plan's hash isn't the one in the header".to_owned());
    }
    // What the tenancy's rules allow is a prefix: a key elsewhere would get around them.
    let prefix = header.destination.prefix.as_str();
    let mut keys = plan.objects().iter().map(|object| object.key.as_str());
    if !plan.receipt().as_str().starts_with(prefix) || !keys.all(|key| key.starts_with(prefix)) {
        return Err("a key is outside of the prefix".to_owned());
    }
    Ok((plan, header))
}

fn planned(entry: &LedgerObject) -> Result<PlannedObject, String> {
    let negative = |_| format!("object {} has a negative range", entry.sequence);
    Ok(PlannedObject {
        sequence: entry.sequence,
        source: entry.source as usize,
        header: u64::try_from(entry.header).map_err(negative)?,
        range: ByteRange {
            offset: u64::try_from(entry.offset).map_err(negative)?,
            len: u64::try_from(entry.length).map_err(negative)?,
        },
        key: key(&entry.key)?,
    })
}

/// A whole key: with no prefix in front of it.
fn key(text: &str) -> Result<ObjectKey, String> {
    ObjectKey::new(&KeyPrefix::default(), text).map_err(|error| error.to_string())
}

/// Indexes and counts are at most 10,000 objects and 100,000 files.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A file's offset fits: the kernel's own are signed.
fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{AclPolicy, AddressingStyle, IdentitySnapshot, PermissionMode};

    fn plan(objects: u32, key_bytes: usize) -> Plan {
        // Files and objects in turn: a ledger can hold either.
        let file = |number: u32| SourceFile {
            path: format!("f{number:05}"),
            fingerprint: if number.is_multiple_of(2) {
                Fingerprint::File {
                    size: 10,
                    mtime_ns: 1,
                    ctime_ns: 2,
                }
            } else {
                Fingerprint::Object {
                    size: 10,
                    etag: format!("\"{number}\""),
                }
            },
        };
        let object = |number: u32| PlannedObject {
            sequence: number + 1,
            source: number as usize,
            header: 0,
            range: ByteRange { offset: 0, len: 10 },
            key: key(&format!("{number:0key_bytes$}")).unwrap(),
        };
        let receipt = key("r.info").unwrap();
        Plan::restore(
            (0..objects).map(file).collect(),
            (0..objects).map(object).collect(),
            receipt,
        )
        .unwrap()
    }

    fn header(plan: &Plan) -> LedgerHeader {
        LedgerHeader {
            plan_hash: plan.hash().as_str().to_owned(),
            token: "t".into(),
            encoder: 1,
            compression: compression::write(plan.compression()),
            part_size: 8 << 20,
            planned_at: "2026-11-24T00:00:00Z".into(),
            destination: IdentitySnapshot {
                name: "acme".into(),
                uid: "u".into(),
                hash: "h".into(),
                bucket: "b".into(),
                prefix: String::new(),
                region: "us-east-1".into(),
                bucket_owner: None,
                endpoint: None,
                addressing: AddressingStyle::Path,
                acl: AclPolicy::None,
                permission_mode: PermissionMode::AccessKey,
                role_arn: None,
                secret_name: None,
                ca_bundle_name: None,
            },
            receipt: LedgerObject {
                key: plan.receipt().as_str().to_owned(),
                ..LedgerObject::default()
            },
        }
    }

    #[test]
    fn ten_thousand_objects_come_back_from_bounded_shards() {
        for key_bytes in [10, 1024] {
            let plan = plan(10_000, key_bytes);
            let shards = cut(&plan, &header(&plan), "uid");
            assert!(shards.len() > 1);
            for shard in &shards {
                assert!(serde_json::to_vec(shard).unwrap().len() < SHARD_BYTES);
            }
            let (joined, _) = join(&shards.iter().collect::<Vec<_>>(), "uid").unwrap();
            assert_eq!(joined, plan);
        }
    }

    #[test]
    fn a_files_time_comes_back_however_far_off_and_fits_the_schema() {
        // A file of before 1677 or after 2262 has the first or the last.
        for ns in [i64::MIN, 1 - FARTHEST_NS, -1, 0, FARTHEST_NS - 1, i64::MAX] {
            assert_eq!(time_from_ledger(time_in_ledger(ns)), ns);
            assert!((-FARTHEST_NS..=FARTHEST_NS).contains(&time_in_ledger(ns)));
        }
    }

    #[test]
    fn a_tampered_ledger_is_refused() {
        let plan = plan(3, 10);
        let shards = cut(&plan, &header(&plan), "uid");
        assert!(join(&[&shards[0]], "another").is_err());
        let mut other_key = shards[0].clone();
        other_key.objects[1].key = "elsewhere".into();
        assert!(join(&[&other_key], "uid").is_err());
        let mut elsewhere = shards[0].clone();
        if let Some(header) = &mut elsewhere.header {
            header.destination.prefix = "theirs/".into();
        }
        assert!(join(&[&elsewhere], "uid").is_err());
        let mut headless = shards[0].clone();
        headless.header = None;
        assert!(join(&[&headless], "uid").is_err());
    }
}
