//! What must hold after every plan. Nothing here is the operator's code: the store's files, the proxies' records,
//! and each version of the objects that the apiserver ever had.
//!
//! Each problem begins with the name of the promise that was broken.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::plan::{End, Plan, ReadBack, Workload};
use crate::run::{BUDGET, Evidence};
use crate::support::proxy::{Deed, Fault, Kind, Record, parameter};
use crate::support::world::{PREFIX, find_condition};
use crate::workload::{self, CONCURRENT, FOREIGN, PART, SPLIT};

/// What a debug build takes beside its part buffers, in bytes.
const MARGIN: u64 = 96 << 20;

/// All problems, of all promises.
pub(crate) async fn all(plan: &Plan, evidence: &Evidence, settling: Duration) -> Vec<String> {
    let mut problems = evidence.problems.clone();
    let files = evidence.world.bucket.files();
    let uploads = evidence.world.bucket.uploads().await;
    let open: BTreeSet<String> = uploads.into_iter().map(|upload| upload.id).collect();
    problems.extend(faults(plan, evidence));
    problems.extend(foreign(plan, &files));
    problems.extend(bytes(plan, evidence, &files));
    problems.extend(receipt(&files));
    problems.extend(order(&evidence.store, &files));
    problems.extend(once(&evidence.store));
    problems.extend(recorded_first(evidence));
    // A stalled delivery goes on with its uploads once somebody has acted, and the ledger knows them.
    if plan.workload != Workload::Redirected {
        problems.extend(left(evidence, &open));
    }
    problems.extend(sent(plan, &evidence.store));
    problems.extend(ending(plan, evidence));
    for history in [&evidence.destinations, &evidence.deliveries] {
        problems.extend(history_of(history));
    }
    problems.extend(quiet(evidence, settling));
    if evidence.log.contains("panicked at") {
        problems.push("panic: there is one in the log".to_owned());
    }
    if evidence.peak << 10 > BUDGET + MARGIN {
        problems.push(format!("memory: {} MiB at the peak", evidence.peak >> 10));
    }
    problems
}

/// A plan whose fault never happened shows nothing.
fn faults(plan: &Plan, evidence: &Evidence) -> Vec<String> {
    let done = |fault: &&Fault| {
        evidence
            .store
            .iter()
            .chain(&evidence.cluster)
            .any(|r| r.fault.as_ref() == Some(&fault.deed) && r.kind == fault.at.kind)
    };
    let missed = plan.faults.iter().filter(|fault| !done(fault));
    missed
        .map(|fault| format!("plan: {:?} never happened", fault.at))
        .collect()
}

fn is_foreign(plan: &Plan, key: &str) -> bool {
    FOREIGN.contains(&key) || plan.workload == Workload::Occupied && key == "audience/small.csv"
}

fn foreign(plan: &Plan, files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut wanted = FOREIGN.to_vec();
    if plan.workload == Workload::Occupied {
        wanted.push("audience/small.csv");
    }
    let touched = wanted.into_iter().filter(|key| {
        files
            .get(*key)
            .is_none_or(|bytes| bytes != b"somebody else's\n")
    });
    touched
        .map(|key| format!("foreign: {key} was touched"))
        .collect()
}

/// The objects of each source, in order; what is delivered is the source.
fn bytes(plan: &Plan, evidence: &Evidence, files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rest: BTreeSet<&String> = files.keys().filter(|key| !is_foreign(plan, key)).collect();
    let has_receipt = rest.remove(&format!("{PREFIX}day.info"));
    // What was delivered before a failure or a deletion stays, and is whole too.
    let must = delivered(evidence);
    if must != has_receipt && plan.end().0 == End::Delivered {
        problems.push(format!(
            "bytes: Complete is {must}, and a receipt is there: {has_receipt}"
        ));
    }
    for (name, source) in workload::sources(plan) {
        let stem = format!("{PREFIX}{}", name.trim_end_matches(".csv"));
        let of_it = |key: &&&String| {
            key.strip_prefix(&stem)
                .is_some_and(|end| end.starts_with(['.', '-']))
        };
        let keys: Vec<&String> = rest.iter().filter(of_it).copied().collect();
        rest.retain(|key| !keys.contains(key));
        if keys.is_empty() && !must {
            continue;
        }
        if let Some(problem) = same(&name, &source, &keys, files, must) {
            problems.push(problem);
        }
    }
    problems.extend(
        rest.iter()
            .map(|key| format!("bytes: nobody asked for {key}")),
    );
    problems
}

fn same(
    name: &str,
    source: &[u8],
    keys: &[&String],
    files: &BTreeMap<String, Vec<u8>>,
    whole: bool,
) -> Option<String> {
    let contents: Vec<Vec<u8>> = keys.iter().map(|key| content(key, &files[*key])).collect();
    let objects: Vec<&Vec<u8>> = contents.iter().collect();
    if whole
        && objects
            .iter()
            .map(|bytes| bytes.as_slice())
            .collect::<Vec<_>>()
            .concat()
            != source
    {
        return Some(format!("bytes: {name} is not what {keys:?} hold"));
    }
    if !whole {
        // Each object by itself is a piece of the source.
        let torn = objects.iter().any(|object| !holds(source, object));
        return torn.then(|| format!("bytes: an object of {keys:?} is not of {name}"));
    }
    let cut = objects.len() > 1;
    let over = cut && objects.iter().any(|bytes| bytes.len() > SPLIT);
    let torn = cut
        && objects[..objects.len() - 1]
            .iter()
            .any(|bytes| bytes.last() != Some(&b'\n'));
    (over || torn).then(|| format!("bytes: {keys:?} are too large or cut within a record"))
}

/// What a receiver reads of the object `key`; nothing where it is torn.
fn content(key: &str, bytes: &[u8]) -> Vec<u8> {
    let program = match key.rsplit('.').next() {
        Some("gz") => "gzip",
        Some("zst") => "zstd",
        _ => return bytes.to_vec(),
    };
    let mut child = Command::new(program)
        .args(["-d", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a program that decompresses");
    let mut input = child.stdin.take().expect("its standard input");
    let bytes = bytes.to_vec();
    // From a thread, as neither side can hold all of it.
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().expect("its output");
    let written = writer.join().is_ok_and(|written| written.is_ok());
    if written && output.status.success() {
        output.stdout
    } else {
        Vec::new()
    }
}

fn holds(source: &[u8], piece: &[u8]) -> bool {
    let head = &piece[..piece.len().min(64)];
    memchr::memmem::find_iter(source, head).any(|at| source[at..].starts_with(piece))
}

fn delivered(evidence: &Evidence) -> bool {
    let last = evidence.deliveries.last();
    last.and_then(|object| find_condition(object, "Complete"))
        .is_some_and(|c| c["status"] == "True")
}

/// What the receipt says of each object is so.
fn receipt(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    use md5::Digest as _;
    let Some(text) = files.get("audience/day.info") else {
        return Vec::new();
    };
    let receipt: Value = serde_json::from_slice(text).unwrap_or_default();
    let mut problems = Vec::new();
    let mut named = BTreeSet::new();
    for file in receipt["Files"].as_array().cloned().unwrap_or_default() {
        let key = format!("{PREFIX}{}", file["FileName"].as_str().unwrap_or_default());
        let Some(bytes) = files.get(&key) else {
            problems.push(format!("receipt: it names {key}, which isn't there"));
            continue;
        };
        let digest: String = md5::Md5::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let lines = memchr::memchr_iter(b'\n', &content(&key, bytes)).count();
        if file["FileByteSize"] != bytes.len()
            || file["md5"] != digest.as_str()
            || file["FileLineCount"] != lines
        {
            problems.push(format!("receipt: {file} isn't what {key} is"));
        }
        named.insert(key);
    }
    if named.is_empty() || receipt["Totals"]["TotalNumberFiles"] != named.len() {
        problems.push(format!("receipt: {}", receipt["Totals"]));
    }
    problems
}

/// No request that could make the receipt visible began before all objects were there.
fn order(store: &[Record], files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let visible = |receipt: bool| {
        store
            .iter()
            .filter(move |r| r.kind.makes_visible() && r.kind.is_of_receipt() == receipt)
    };
    let Some(first) = visible(true).map(|r| r.begun).min() else {
        return Vec::new();
    };
    let keys: BTreeSet<&String> = visible(false)
        .map(|r| &r.subject)
        .filter(|key| files.contains_key(*key))
        .collect();
    let late = keys.into_iter().filter(|key| {
        !visible(false)
            .any(|r| r.subject == **key && r.applied() && r.answered.is_some_and(|at| at <= first))
    });
    late.map(|key| format!("receipt: it was asked for before {key} was there"))
        .collect()
}

/// No key is written by two uploads or puts.
fn once(store: &[Record]) -> Vec<String> {
    let mut writers: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
    for (number, record) in store
        .iter()
        .enumerate()
        .filter(|(_, r)| r.kind.makes_visible() && r.applied())
    {
        // A second Complete of the same upload is answered 200 and changes nothing.
        let upload = parameter(&record.query, "uploadId").map(str::to_owned);
        writers
            .entry(&record.subject)
            .or_default()
            .insert(upload.unwrap_or_else(|| number.to_string()));
    }
    let twice = writers.into_iter().filter(|(_, writers)| writers.len() > 1);
    twice
        .map(|(key, writers)| format!("once: {key} was written {} times", writers.len()))
        .collect()
}

fn upload_of(create: &Record) -> Option<&str> {
    let (_, rest) = create.text.split_once("<UploadId>")?;
    rest.split_once("</UploadId>").map(|(id, _)| id)
}

/// When the ledger first had that upload.
fn recorded(evidence: &Evidence, upload: &str) -> Option<std::time::Instant> {
    let writes = evidence
        .cluster
        .iter()
        .filter(|r| r.kind == Kind::ReplaceLedger && r.applied());
    writes
        .filter(|r| r.text.contains(upload))
        .filter_map(|r| r.answered)
        .min()
}

/// No part is sent into an upload that the ledger doesn't have.
fn recorded_first(evidence: &Evidence) -> Vec<String> {
    let parts = evidence.store.iter().filter(|r| {
        (r.kind.carries_source() || r.kind == Kind::ReceiptPart)
            && parameter(&r.query, "uploadId").is_some()
    });
    let early = parts.filter(|part| {
        let upload = parameter(&part.query, "uploadId").unwrap_or_default();
        recorded(evidence, upload).is_none_or(|at| at > part.begun)
    });
    early
        .map(|part| {
            format!(
                "ledger: {:?}{} was sent before its upload was recorded",
                part.kind, part.n
            )
        })
        .collect()
}

/// No upload is open. One is excused where nobody could know of it: its Create's answer was lost, or its process was
/// killed between Create and the ledger's write; and one whose Abort the store refused, or didn't answer, for good.
fn left(evidence: &Evidence, open: &BTreeSet<String>) -> Vec<String> {
    let creates = evidence.store.iter().filter(|r| r.kind.creates_upload());
    let of_ours: BTreeMap<&str, &Record> =
        creates.filter_map(|r| Some((upload_of(r)?, r))).collect();
    let unexcused = open
        .iter()
        .filter(|upload| match of_ours.get(upload.as_str()) {
            None => true,
            Some(create) => !is_excused(evidence, upload, create),
        });
    unexcused
        .map(|upload| format!("left: upload {upload} is open"))
        .collect()
}

fn is_excused(evidence: &Evidence, upload: &str, create: &Record) -> bool {
    if matches!(
        create.fault,
        Some(Deed::LoseAnswer | Deed::ResetAnswer | Deed::KillAfter | Deed::AppliedErrorIn200)
    ) {
        return true;
    }
    // The fault was to say that it is gone: who believes that leaves it.
    let gone = |r: &Record| {
        r.fault == Some(Deed::Answer(404)) && parameter(&r.query, "uploadId") == Some(upload)
    };
    if evidence.store.iter().any(gone) {
        return true;
    }
    let known = recorded(evidence, upload);
    let kills = evidence.store.iter().chain(&evidence.cluster);
    let mut kills = kills.filter(|r| r.fault.as_ref().is_some_and(Deed::kills));
    if known.is_none() && kills.any(|kill| kill.answered > Some(create.begun)) {
        return true;
    }
    // A refused Abort is named, and never repeated into more orphans.
    evidence.store.iter().any(|r| {
        matches!(r.kind, Kind::Abort | Kind::ProofAbort | Kind::ReceiptAbort)
            && matches!(r.fault, Some(Deed::Answer(403) | Deed::Hang))
            && parameter(&r.query, "uploadId") == Some(upload)
            && (evidence.log.contains(upload)
                || r.kind == Kind::ProofAbort && names_orphan(evidence))
    })
}

/// Whether the destination's status told of an upload that its proof could not abort.
fn names_orphan(evidence: &Evidence) -> bool {
    evidence.destinations.iter().any(|object| {
        let ready = find_condition(object, "Ready").cloned().unwrap_or_default();
        let message = ready["message"].as_str().unwrap_or_default();
        message.contains("One upload of the access check stays open")
    })
}

/// The source's bytes go over the wire once, but for what a fault may invalidate.
fn sent(plan: &Plan, store: &[Record]) -> Vec<String> {
    let sources = workload::sources(plan);
    // What doesn't shrink becomes a little larger: a 256th at most.
    let made = |bytes: usize| match plan.workload {
        Workload::Gzip | Workload::Zstd => bytes + bytes / 256,
        _ => bytes,
    };
    let total: usize = sources.values().map(|bytes| made(bytes.len())).sum();
    // The key is refused to the parts in flight, before the new one is read.
    let rotated = if plan.workload == Workload::Rotated {
        CONCURRENT * PART
    } else {
        0
    };
    let allowed: usize = total
        + rotated
        + plan
            .faults
            .iter()
            .map(|fault| allowance(plan, fault, &sources))
            .sum::<usize>();
    let sent: u64 = store
        .iter()
        .filter(|r| r.kind.carries_source())
        .map(|r| r.bytes)
        .sum();
    let extra = sent.saturating_sub(allowed as u64);
    if extra == 0 {
        return Vec::new();
    }
    vec![format!(
        "resume: {extra} bytes more than the {allowed} allowed were sent"
    )]
}

/// Bytes that may be sent again because of a fault.
fn allowance(plan: &Plan, fault: &Fault, sources: &BTreeMap<String, Vec<u8>>) -> usize {
    let file = sources.values().map(Vec::len).max().unwrap_or_default();
    let object = if plan.workload == Workload::Files {
        SPLIT
    } else {
        file
    };
    let part = object.min(PART);
    let in_flight = CONCURRENT * part;
    match (fault.at.kind, &fault.deed) {
        // What was on its way when the process died.
        (_, deed) if deed.kills() => in_flight,
        // The object starts again.
        (Kind::ListParts, Deed::Answer(403 | 404)) => object,
        (Kind::Complete, Deed::Answer(404 | 409)) => object,
        (kind, Deed::Answer(404)) if kind.carries_source() => object + in_flight,
        // That request's own bytes.
        (kind, Deed::Stall(_)) if kind.carries_source() => 0,
        (kind, _) if kind.carries_source() => part,
        // Puts have no parts to find again: those that land while the run ends are sent once more.
        (Kind::ReplaceLedger, _) if plan.read_back == ReadBack::Granted => in_flight,
        _ => 0,
    }
}

/// It ended as it has to, and says so of its present generation.
fn ending(plan: &Plan, evidence: &Evidence) -> Vec<String> {
    let Some(last) = evidence.deliveries.last() else {
        return vec!["ending: no delivery was ever seen".to_owned()];
    };
    let condition = |type_| find_condition(last, type_).cloned().unwrap_or_default();
    let (ready, failed) = (condition("Ready"), condition("Failed"));
    let reason = ready["reason"].as_str().unwrap_or_default();
    if evidence.settled.is_none() {
        return Vec::new();
    }
    let must_fail = plan.failed.is_some();
    let right = match plan.end() {
        (End::Deleted, _) => true,
        (End::Delivered, _) => ready["status"] == "True" && reason == "Delivered",
        (End::Stalled, wanted) => {
            ready["status"] == "False"
                && reason == wanted
                && (!must_fail || failed["status"] == "True")
        }
    };
    let mut problems = Vec::new();
    if !right {
        problems.push(format!("ending: {ready}"));
    }
    let current = last["metadata"]["generation"] == last["status"]["observedGeneration"];
    if !current && plan.end().0 != End::Deleted {
        problems.push("ending: observedGeneration is behind".to_owned());
    }
    problems
}

/// Each version of an object keeps kstatus' rules, and its times move with its conditions.
fn history_of(versions: &[Value]) -> Vec<String> {
    let mut problems: Vec<String> = versions.iter().filter_map(rules).collect();
    problems.extend(
        versions
            .windows(2)
            .flat_map(|pair| moved(&pair[0], &pair[1])),
    );
    problems.sort();
    problems.dedup();
    problems
}

fn rules(object: &Value) -> Option<String> {
    let status = |type_| {
        let found = find_condition(object, type_);
        found
            .and_then(|condition| condition["status"].as_str())
            .unwrap_or("absent")
    };
    object["status"]["conditions"]
        .as_array()
        .filter(|list| !list.is_empty())?;
    let reason =
        find_condition(object, "Ready").map_or(Value::Null, |ready| ready["reason"].clone());
    let seen = (status("Ready"), status("Reconciling"), status("Stalled"));
    let right = match seen {
        ("Unknown", "True", "absent")
        | ("False", "absent", "True")
        | ("True", "absent", "absent") => true,
        ("Unknown", "absent", "absent") => reason == "Suspended",
        _ => false,
    };
    let generation = object["metadata"]["generation"].as_i64();
    let observed = object["status"]["observedGeneration"].as_i64();
    if right && observed <= generation {
        return None;
    }
    Some(format!(
        "conditions: {} says {seen:?} for {reason}, observed {observed:?} of {generation:?}",
        object["kind"]
    ))
}

fn moved(before: &Value, after: &Value) -> Vec<String> {
    let conditions = after["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let wrong = conditions.into_iter().filter(|now| {
        let type_ = now["type"].as_str().unwrap_or_default();
        let Some(old) = find_condition(before, type_) else {
            return false;
        };
        let flipped = old["status"] != now["status"];
        let (then, now) = (
            old["lastTransitionTime"].as_str(),
            now["lastTransitionTime"].as_str(),
        );
        // Whole seconds: two flips may share one.
        if flipped { now < then } else { now != then }
    });
    wrong
        .map(|condition| {
            format!("conditions: lastTransitionTime of {condition} moved without a flip, or back")
        })
        .collect()
}

/// Once it has settled nothing is written, not to the cluster and not to the store.
fn quiet(evidence: &Evidence, settling: Duration) -> Vec<String> {
    let Some(settled) = evidence.settled else {
        return Vec::new();
    };
    let late = evidence
        .store
        .iter()
        .chain(&evidence.cluster)
        .filter(|record| {
            record.writes() && !record.kind.is_lease() && record.begun > settled + settling
        });
    let late: Vec<_> = late.map(|record| format!("{:?}", record.kind)).collect();
    if late.is_empty() {
        Vec::new()
    } else {
        vec![format!("quiet: {} after it had settled", late.join(", "))]
    }
}
