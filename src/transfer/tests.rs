//! The engine against a real S3 server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::md5::{Digest as _, Md5};
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::testkit::*;
use super::testledger::*;
use super::*;
use crate::plan::{Crc64, KeyPrefix, Md5Digest, RecordFormat};
use crate::store::{Bucket, ReadBack};

const MIB: usize = 1 << 20;
const PART: usize = 5 * MIB;

/// A delivery of `files` and what runs it.
struct Case {
    job: Job,
    source: Arc<MemorySource>,
    resources: Resources,
    stop: CancellationToken,
}

impl Case {
    fn new(files: &[Bytes], read_back: ReadBack) -> Self {
        let plan = Arc::new(plan_of(files));
        let time = "2026-11-24T00:00:00Z".parse().unwrap();
        let token = DeliveryToken::new(&TokenParts {
            cluster_id: "test",
            namespace: "marketing",
            name: "d",
            destination: "hash",
            plan: &plan.hash(),
        });
        let facts = ReceiptFacts {
            namespace: "marketing".to_owned(),
            name: "d".to_owned(),
            uid: "uid-1".to_owned(),
            token,
            destination: "acme".to_owned(),
            bucket: BUCKET.to_owned(),
            prefix: KeyPrefix::new(PREFIX).unwrap(),
            created: time,
            logical_time: time,
            planned_at: time,
        };
        let job = Job {
            plan,
            states: BTreeMap::new(),
            facts,
            part_size: PART as u64,
            md5: Md5Wanted::Yes,
            records: RecordFormat::default(),
            read_back,
            if_exists: IfExists::Fail,
            backoff_limit: 3,
            retry: RetryPolicy {
                base: Duration::from_millis(1),
                cap: Duration::from_millis(5),
            },
        };
        Self {
            job,
            source: Arc::new(MemorySource::new(files)),
            resources: Resources::new(64 << 20, 4),
            stop: CancellationToken::new(),
        }
    }

    /// Runs it from `states`, and says how far it came.
    async fn run(
        &self,
        bucket: Bucket,
        ledger: &Arc<MemoryLedger>,
    ) -> (Result<Delivered, TransferError>, Progress) {
        let (_keep, buckets) = watch::channel(bucket);
        let (sender, progress) = watch::channel(Progress::default());
        let job = Job {
            states: ledger.states(),
            ..self.job.clone()
        };
        let ledger: Arc<dyn Ledger> = ledger.clone();
        let source: Arc<dyn Source> = Arc::new(Arc::clone(&self.source));
        let resources = self.resources.clone();
        let ended = run(
            job,
            buckets,
            ledger,
            source,
            resources,
            sender,
            self.stop.clone(),
        );
        let ended = tokio::time::timeout(Duration::from_secs(120), ended).await;
        let progress = progress.borrow().clone();
        (ended.unwrap(), progress)
    }

    async fn delivered(&self, server: &Server, ledger: &Arc<MemoryLedger>) -> Delivered {
        let (ended, progress) = self.run(server.bucket(), ledger).await;
        let delivered = ended.unwrap();
        assert_eq!(progress.bytes_done, progress.bytes_total);
        assert_eq!(progress.objects_done, progress.objects_total);
        assert_eq!(progress.phase, TransferPhase::Complete);
        delivered
    }

    /// Everything is there, byte for byte, nothing else is, and the receipt says so.
    async fn verify(&self, server: &Server) {
        let (objects, uploads) = server.holds().await;
        assert_eq!(uploads, Vec::<String>::new(), "nothing is left behind");
        let mut expected = vec!["d.info".to_owned()];
        let receipt = server.get("d.info").await;
        assert!(receipt.ends_with(b"}\n"));
        let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
        let (mut bytes, mut lines) = (0, 0);
        for (n, file) in self.source.files.iter().enumerate() {
            let name = format!("f{n:02}.csv");
            assert!(server.get(&name).await == *file, "{name} is the file");
            let newlines = file.iter().filter(|b| **b == b'\n').count();
            let entry = &receipt["Files"][n];
            let md5: [u8; 16] = Md5::digest(file).into();
            assert_eq!(entry["FileName"], name);
            assert_eq!(entry["FileByteSize"], file.len());
            assert_eq!(entry["FileLineCount"], newlines);
            assert_eq!(entry["FileSequenceNumber"], n + 1);
            assert_eq!(entry["md5"], Md5Digest::new(md5).as_str());
            let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, file);
            assert_eq!(entry["crc64nvme"], Crc64::new(crc).to_string());
            assert_eq!(entry["source"]["path"], name);
            assert_eq!(entry["source"]["offset"], 0);
            assert_eq!(entry["source"]["length"], file.len());
            bytes += file.len();
            lines += newlines;
            expected.push(name);
        }
        assert_eq!(objects, expected);
        assert_eq!(receipt["Totals"]["FileName"], "d.info");
        assert_eq!(receipt["Totals"]["TotalByteSize"], bytes);
        assert_eq!(
            receipt["Totals"]["TotalNumberFiles"],
            self.source.files.len()
        );
        assert_eq!(receipt["Totals"]["TotalNumberLines"], lines);
        assert_eq!(receipt["delivery"]["uid"], "uid-1");
        assert_eq!(receipt["delivery"]["token"], self.job.facts.token.as_str());
        assert_eq!(receipt["destination"]["name"], "acme");
        assert_eq!(receipt["times"]["plannedAt"], "2026-11-24T00:00:00Z");
        assert_eq!(receipt["schemaVersion"], 1);
    }
}

fn small_files() -> Vec<Bytes> {
    [3, 0, 100_000, 1, 700_001]
        .iter()
        .map(|len| records(*len, 7))
        .collect()
}

fn ledger() -> Arc<MemoryLedger> {
    Arc::default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_twenty_parts() {
    let server = Server::start().await;
    let case = Case::new(&[records(19 * PART + 12345, 1)], ReadBack::WriteOnly);
    case.delivered(&server, &ledger()).await;
    case.verify(&server).await;
    assert_eq!(server.logged(&["s3_UploadPart ", "f00.csv"]), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_and_empty_objects_in_both_modes() {
    for (read_back, puts) in [(ReadBack::WriteOnly, 0), (ReadBack::Granted, 6)] {
        let server = Server::start().await;
        let case = Case::new(&small_files(), read_back);
        let delivered = case.delivered(&server, &ledger()).await;
        assert!(!delivered.was_there_already());
        case.verify(&server).await;
        let parts = server.logged(&["s3_UploadPart "]);
        assert_eq!(parts, 6 - puts, "a small object is one request or one part");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_plan_again_adopts_what_is_there_where_it_may_look() {
    let server = Server::start().await;
    let mut files = small_files();
    files.push(records(PART + 5, 9));
    let mut case = Case::new(&files, ReadBack::Granted);
    case.delivered(&server, &ledger()).await;
    let receipt = server.get("d.info").await;
    // Created again by GitOps: another uid and another time, the same token.
    case.job.facts.uid = "uid-two".to_owned();
    case.job.facts.created = "2026-11-25T00:00:00.5Z".parse().unwrap();
    let sent = server.logged(&["s3_PutObject "]) + server.logged(&["s3_UploadPart "]);
    let again = case.delivered(&server, &ledger()).await;
    assert!(again.was_there_already());
    let after = server.logged(&["s3_PutObject "]) + server.logged(&["s3_UploadPart "]);
    assert_eq!(after, sent, "nothing is sent again");
    assert_eq!(server.get("d.info").await, receipt);
    assert_eq!(again.receipt.digest.bytes, receipt.len() as u64);
    case.verify(&server).await;
    let write_only = Case::new(&files, ReadBack::WriteOnly);
    let (ended, _) = write_only.run(server.bucket(), &ledger()).await;
    assert!(
        matches!(ended, Err(TransferError::ObjectExists { .. })),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_object_is_never_touched() {
    for (read_back, len) in [
        (ReadBack::WriteOnly, 10),
        (ReadBack::WriteOnly, 2 * PART),
        (ReadBack::Granted, 10),
        (ReadBack::Granted, 2 * PART),
    ] {
        let server = Server::start().await;
        server.put("f00.csv", b"theirs").await;
        let case = Case::new(&[records(len, 3)], read_back);
        let ledger = ledger();
        // Twice: what the first try leaves in the ledger mustn't make the second believe it delivered.
        for round in 0..2 {
            let (ended, _) = case.run(server.bucket(), &ledger).await;
            let Err(TransferError::ObjectExists { key }) = ended else {
                panic!("{read_back:?} {len} {round}: {ended:?}");
            };
            assert_eq!(key.as_str(), "audience/f00.csv");
            assert_eq!(server.get("f00.csv").await, b"theirs");
            assert_eq!(server.holds().await, (vec!["f00.csv".to_owned()], vec![]));
        }
    }
}

/// The process dies at each of the ledger's records, with it written and without, and another goes on.
async fn dies_at_every_record(read_back: ReadBack) {
    let files = [records(2 * PART + 9, 5), records(1000, 6)];
    let case = Case::new(&files, read_back);
    let mut receipts = Vec::new();
    for at in 0.. {
        let mut survived = false;
        for crash in [Crash::Before, Crash::After] {
            let server = Server::start().await;
            let dying = Arc::new(MemoryLedger {
                dies: Some((at, crash)),
                ..MemoryLedger::default()
            });
            let (ended, _) = case.run(server.bucket(), &dying).await;
            survived = ended.is_ok();
            if !survived {
                assert!(matches!(ended, Err(TransferError::Ledger(_))), "{ended:?}");
            }
            let next = Arc::new(MemoryLedger {
                states: dying.states().into(),
                ..MemoryLedger::default()
            });
            case.delivered(&server, &next).await;
            case.verify(&server).await;
            receipts.push(server.get("d.info").await);
            // Creates, and the one upload that a record's failure gave up at once.
            let parts = server.logged(&["s3_UploadPart ", "f00.csv"]);
            assert!(parts <= 3, "{at} {crash:?}: {parts} parts were sent");
        }
        if survived {
            assert!(at >= 5, "only {at} records");
            break;
        }
    }
    receipts.dedup();
    assert_eq!(receipts.len(), 1, "the receipt is the same after any crash");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_record_ends_the_same_write_only() {
    dies_at_every_record(ReadBack::WriteOnly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_record_ends_the_same_with_read_back() {
    dies_at_every_record(ReadBack::Granted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_in_mid_upload_it_goes_on_without_sending_a_part_twice() {
    let server = Server::start().await;
    let files = [records(8 * PART, 11)];
    let mut case = Case::new(&files, ReadBack::WriteOnly);
    let stop = case.stop.clone();
    let mut source = MemorySource::new(&files);
    source.on_read = Box::new(move |_, offset| {
        if offset >= 4 * PART as u64 {
            stop.cancel();
        }
    });
    case.source = Arc::new(source);
    let ledger = ledger();
    let (ended, progress) = case.run(server.bucket(), &ledger).await;
    assert!(matches!(ended, Err(TransferError::Stopped)), "{ended:?}");
    assert!(progress.bytes_done < progress.bytes_total);
    assert!(matches!(
        ledger.states()[&Slot::Object(1)],
        ObjectState::Open { .. }
    ));
    let before = server.logged(&["s3_UploadPart ", "f00.csv"]);
    assert!((1..8).contains(&before), "{before} parts landed");
    assert_eq!(progress.bytes_done, (before * PART) as u64);
    assert_eq!(server.holds().await, (vec![], vec!["f00.csv".to_owned()]));
    let next = Case::new(&files, ReadBack::WriteOnly);
    next.delivered(&server, &ledger).await;
    next.verify(&server).await;
    assert_eq!(server.logged(&["s3_UploadPart ", "f00.csv"]), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_before_complete_it_completes_without_reading_again() {
    let server = Server::start().await;
    let files = [records(2 * PART, 12)];
    let case = Case::new(&files, ReadBack::WriteOnly);
    let stop = case.stop.clone();
    let first = Arc::new(MemoryLedger {
        on_record: Some(Box::new(move |_, state| {
            if matches!(state, ObjectState::Completing { .. }) {
                stop.cancel();
            }
        })),
        ..MemoryLedger::default()
    });
    let (ended, _) = case.run(server.bucket(), &first).await;
    assert!(matches!(ended, Err(TransferError::Stopped)), "{ended:?}");
    let mut next = Case::new(&files, ReadBack::WriteOnly);
    let mut source = MemorySource::new(&files);
    source.on_read = Box::new(|_, _| panic!("it was read again"));
    next.source = Arc::new(source);
    let ledger = Arc::new(MemoryLedger {
        states: first.states().into(),
        ..MemoryLedger::default()
    });
    next.delivered(&server, &ledger).await;
    next.verify(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_in_the_middle_ends_the_delivery() {
    let server = Server::start().await;
    let files = [records(4 * PART, 13)];
    let mut case = Case::new(&files, ReadBack::WriteOnly);
    let mut source = MemorySource::new(&files);
    let changed = Arc::clone(&source.changed);
    source.on_read = Box::new(move |_, offset| {
        changed.fetch_or(offset >= 2 * PART as u64, Ordering::SeqCst);
    });
    case.source = Arc::new(source);
    let ledger = ledger();
    let (ended, _) = case.run(server.bucket(), &ledger).await;
    let Err(TransferError::SourceChanged { key, fault }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(key.as_str(), "audience/f00.csv");
    assert_eq!(fault, SourceFault::Changed("the file grew".to_owned()));
    let (plan, states) = (&case.job.plan, ledger.states());
    let within = Duration::from_secs(10);
    let (aborted, of, from) = (Arc::clone(plan), states.clone(), server.bucket());
    let left = tokio::spawn(async move { abort_open(&aborted, &of, &from, within).await });
    let left = left.await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(server.holds().await, (vec![], vec![]));
    // Once more: an upload that is gone is fine, and one that can't be asked about is named.
    assert!(
        abort_open(plan, &states, &server.bucket(), within)
            .await
            .is_empty()
    );
    let left = abort_open(plan, &states, &server.bucket_with("wrong"), within).await;
    assert_eq!(left.len(), 1);
    assert!(
        left[0].to_string().contains("audience/f00.csv"),
        "{}",
        left[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_after_its_last_read_gets_no_receipt() {
    let server = Server::start().await;
    let files = small_files();
    let case = Case::new(&files, ReadBack::WriteOnly);
    let changed = Arc::clone(&case.source.changed);
    let ledger = Arc::new(MemoryLedger {
        on_record: Some(Box::new(move |slot, state| {
            let last = matches!(
                (slot, state),
                (Slot::Object(1), ObjectState::Delivered { .. })
            );
            changed.fetch_or(last, Ordering::SeqCst);
        })),
        ..MemoryLedger::default()
    });
    let (ended, _) = case.run(server.bucket(), &ledger).await;
    assert!(
        matches!(ended, Err(TransferError::SourceChanged { .. })),
        "{ended:?}"
    );
    assert!(!server.holds().await.0.contains(&"d.info".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_outgrow_the_budget_are_streamed_within_it() {
    const BUDGET: u64 = 6 << 20;
    for read_back in [ReadBack::WriteOnly, ReadBack::Granted] {
        let server = Server::start().await;
        let files = [records(3 * PART + 77, 21), records(PART, 22)];
        let mut case = Case::new(&files, read_back);
        case.resources = Resources::new(BUDGET, 4);
        let pool = case.resources.memory().clone();
        let mut source = MemorySource::new(&files);
        let watched = pool.clone();
        source.on_read = Box::new(move |_, _| {
            assert!(watched.allocated() as u64 <= BUDGET);
        });
        case.source = Arc::new(source);
        case.delivered(&server, &ledger()).await;
        case.verify(&server).await;
        assert!(pool.allocated() as u64 <= BUDGET, "{read_back:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_loses_the_access_and_a_new_one_goes_on() {
    let server = Server::start().await;
    let case = Case::new(&small_files(), ReadBack::WriteOnly);
    let ledger = ledger();
    let (ended, _) = case.run(server.bucket_with("wrong"), &ledger).await;
    let Err(TransferError::AccessLost { error, .. }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(error.code, "SignatureDoesNotMatch");
    case.delivered(&server, &ledger).await;
    case.verify(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_ends_it_at_the_backoff_limit() {
    let case = Case::new(&[records(10, 1)], ReadBack::WriteOnly);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let (ended, progress) = case.run(bucket_at(&endpoint, "secret"), &ledger()).await;
    let Err(TransferError::BackoffLimitExceeded {
        failures,
        limit,
        last,
    }) = ended
    else {
        panic!("{ended:?}");
    };
    assert_eq!((failures, limit, progress.attempts), (4, 3, 4));
    assert!(
        last.contains("audience/f00.csv: CreateMultipartUpload"),
        "{last}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vanished_upload_starts_that_object_again() {
    let server = Arc::new(Server::start().await);
    let files = [records(3 * PART, 31)];
    let mut case = Case::new(&files, ReadBack::WriteOnly);
    // This server resets a connection whose body it refuses, so its answer may be lost some times.
    case.job.backoff_limit = 50;
    let ledger = ledger();
    // Another hand aborts the upload between the first part and the second: this server doesn't
    // bear an Abort beside a part.
    let log = Arc::clone(&server);
    let (bucket, plan, states) = (
        server.bucket(),
        Arc::clone(&case.job.plan),
        Arc::clone(&ledger),
    );
    let (handle, once) = (tokio::runtime::Handle::current(), std::sync::Once::new());
    let mut source = MemorySource::new(&files);
    source.on_read = Box::new(move |_, offset| {
        if offset >= PART as u64 {
            once.call_once(|| {
                until("the first part is there", || {
                    log.logged(&["s3_UploadPart "]) == 1
                });
                let states = states.states();
                let abort = abort_open(&plan, &states, &bucket, Duration::from_secs(10));
                assert!(handle.block_on(abort).is_empty());
            });
        }
    });
    case.source = Arc::new(source);
    case.delivered(&server, &ledger).await;
    case.verify(&server).await;
    let sent = server.logged(&["s3_UploadPart ", "f00.csv", " 200 "]);
    assert_eq!(
        sent,
        1 + 3,
        "nothing of the first upload is taken for the second's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_settled_and_nothing_is_sent_twice() {
    const COMPLETE: &[&str] = &["POST ", "f00.csv", "uploadId="];
    const CREATE: &[&str] = &["POST ", "f00.csv", "uploads"];
    const PART: &[&str] = &["PUT ", "f00.csv", "partNumber=1"];
    const PUT: &[&str] = &["PUT ", "f00.csv"];
    for (read_back, words, uploads_left) in [
        (ReadBack::WriteOnly, COMPLETE, 0),
        (ReadBack::WriteOnly, PART, 0),
        // The one upload that nobody can know of.
        (ReadBack::WriteOnly, CREATE, 1),
        (ReadBack::Granted, PUT, 0),
    ] {
        let server = Server::start().await;
        let proxy = Forgetful::before(&server, words).await;
        let case = Case::new(&[records(1000, 40)], read_back);
        let (ended, _) = case.run(proxy.bucket(), &ledger()).await;
        let delivered = ended.unwrap();
        assert_eq!(proxy.lost.load(Ordering::SeqCst), 1, "{words:?}");
        assert_eq!(delivered.objects[0].landing, Landing::Sent, "{words:?}");
        let open = server.holds().await.1;
        assert_eq!(open.len(), uploads_left, "{words:?}");
        assert!(server.get("f00.csv").await == case.source.files[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_before_somebody_elses_object_is_no_success() {
    for (read_back, words) in [
        (ReadBack::WriteOnly, &["POST ", "f00.csv", "uploadId="][..]),
        (ReadBack::Granted, &["HEAD ", "f00.csv"][..]),
    ] {
        let server = Server::start().await;
        server.put("f00.csv", b"theirs").await;
        let proxy = Forgetful::before(&server, words).await;
        let case = Case::new(&[records(1000, 41)], read_back);
        let (ended, _) = case.run(proxy.bucket(), &ledger()).await;
        assert!(
            matches!(ended, Err(TransferError::ObjectExists { .. })),
            "{ended:?}"
        );
        assert_eq!(proxy.lost.load(Ordering::SeqCst), 1);
        assert_eq!(server.get("f00.csv").await, b"theirs");
        assert_eq!(server.holds().await, (vec!["f00.csv".to_owned()], vec![]));
    }
}

#[path = "compressed_tests.rs"]
mod compressed;

#[path = "dialect_tests.rs"]
mod dialects;

#[path = "hang_tests.rs"]
mod hang;

#[path = "resume_tests.rs"]
mod resume;

#[path = "throttle_tests.rs"]
mod throttle;
