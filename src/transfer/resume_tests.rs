//! Whatever the store has of an upload, the same bytes come out, and only what is missing is sent.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::plan::ObjectDigest;
use crate::store::UploadId;
use crate::transfer::checksum::crc64;

/// What the store has of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Nothing,
    /// As it should be.
    Right,
    /// Of the right size, with other bytes.
    Wrong,
    /// The right beginning alone.
    Short,
}

fn stored() -> impl Strategy<Value = Stored> {
    prop_oneof![
        Just(Stored::Nothing),
        Just(Stored::Right),
        Just(Stored::Wrong),
        Just(Stored::Short)
    ]
}

/// Opens an upload as an earlier process did, puts `parts` into it, and returns its id.
pub(super) async fn earlier(server: &Server, parts: &[(i32, Bytes)]) -> UploadId {
    use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType};
    let client = server.client();
    let key = format!("{PREFIX}f00.csv");
    let created = client.create_multipart_upload().bucket(BUCKET).key(&key);
    let created = created
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .checksum_type(ChecksumType::FullObject);
    let upload = created.send().await.unwrap().upload_id.unwrap();
    for (number, bytes) in parts {
        let part = client.upload_part().bucket(BUCKET).key(&key);
        part.upload_id(&upload)
            .part_number(*number)
            .checksum_crc64_nvme(crc64(bytes).to_string())
            .body(bytes.clone().into())
            .send()
            .await
            .unwrap();
    }
    UploadId::new(upload)
}

/// The parts as an earlier process left them: those of the object, and one behind its end where there is one.
fn left(file: &Bytes, part: usize, stored: &[Stored]) -> Vec<(i32, Bytes)> {
    let numbered = (1..).zip(stored);
    numbered
        .filter_map(|(number, stored)| {
            let start = (number as usize - 1) * part;
            let range = start.min(file.len())..(start + part).min(file.len());
            let right = file.slice(range);
            let bytes = match stored {
                Stored::Nothing => return None,
                Stored::Right => right,
                Stored::Wrong => right.iter().map(|byte| byte ^ 1).collect(),
                Stored::Short => right.slice(..right.len() / 2),
            };
            (!bytes.is_empty()).then_some((number, bytes))
        })
        .collect()
}

async fn resumes(len: usize, part: usize, stored: &[Stored]) {
    let server = Server::start().await;
    let file = records(len, 70);
    let left = left(&file, part, stored);
    let upload = earlier(&server, &left).await;
    let before = server.logged(&["s3_UploadPart ", "f00.csv"]);
    let mut case = Case::new(std::slice::from_ref(&file), ReadBack::WriteOnly);
    case.job.part_size = part as u64;
    let open = ObjectState::Open {
        upload,
        started_at: Timestamp::now(),
    };
    let ledger = Arc::new(MemoryLedger {
        states: BTreeMap::from([(Slot::Object(1), open)]).into(),
        ..MemoryLedger::default()
    });
    case.delivered(&server, &ledger).await;
    case.verify(&server).await;
    let parts = len.div_ceil(part);
    let kept = |number: &usize| stored.get(*number) == Some(&Stored::Right);
    let missing = parts - (0..parts).filter(kept).count();
    let sent = server.logged(&["s3_UploadPart ", "f00.csv"]) - before;
    assert_eq!(sent, missing, "{stored:?}");
    assert_eq!(server.logged(&["s3_CreateMultipartUpload ", "f00.csv"]), 1);
}

/// The parts of a file that has two.
fn halves(file: &Bytes) -> [(i32, Bytes); 2] {
    [(1, file.slice(..PART)), (2, file.slice(PART..))]
}

/// A ledger by which Complete was about to be sent for `upload`, of all of `file`.
fn completing(upload: &UploadId, file: &Bytes) -> Arc<MemoryLedger> {
    let lines = file.iter().filter(|byte| **byte == b'\n').count() as u64;
    let state = ObjectState::Completing {
        upload: upload.clone(),
        started_at: Timestamp::now(),
        digest: ObjectDigest {
            bytes: file.len() as u64,
            lines,
            records: lines + 1,
            crc64: crc64(file),
            md5: Some(Md5Digest::new(Md5::digest(file).into())),
        },
    };
    Arc::new(MemoryLedger {
        states: BTreeMap::from([(Slot::Object(1), state)]).into(),
        ..MemoryLedger::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_upload_lost_before_complete_is_sent_again() {
    let server = Server::start().await;
    let file = records(2 * PART, 72);
    let upload = earlier(&server, &[(2, file.slice(PART..))]).await;
    let case = Case::new(std::slice::from_ref(&file), ReadBack::WriteOnly);
    case.delivered(&server, &completing(&upload, &file)).await;
    case.verify(&server).await;
    let sent = server.logged(&["s3_UploadPart ", "f00.csv"]) - 1;
    assert_eq!(sent, 1, "the part that was missing");
    assert_eq!(server.logged(&["s3_CreateMultipartUpload ", "f00.csv"]), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_lists_the_parts_whether_it_is_complete_stays_open() {
    let server = Server::start().await;
    let file = records(2 * PART, 73);
    let parts = halves(&file);
    let upload = earlier(&server, &parts).await;
    let case = Case::new(std::slice::from_ref(&file), ReadBack::WriteOnly);
    let ledger = completing(&upload, &file);
    let before = ledger.states();
    let proxy = unlisted(&server).await;
    let (ended, _) = case.run(proxy.bucket(), &ledger).await;
    let Err(TransferError::CompletionUnconfirmed { upload: named, .. }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(named.as_ref(), Some(&upload), "for whoever looks");
    assert_eq!(ledger.states(), before);
    // Once they are listed, it is completed without a byte.
    case.delivered(&server, &ledger).await;
    case.verify(&server).await;
    assert_eq!(server.logged(&["s3_UploadPart ", "f00.csv"]), parts.len());
}

/// No right is missing: there is nothing to settle before the key is in order again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_that_does_not_work_the_access_is_lost_and_nothing_is_settled() {
    for read_back in [ReadBack::WriteOnly, ReadBack::Granted] {
        let server = Server::start().await;
        let file = records(2 * PART, 79);
        let parts = halves(&file);
        let upload = earlier(&server, &parts).await;
        let case = Case::new(std::slice::from_ref(&file), read_back);
        let ledger = completing(&upload, &file);
        let before = ledger.states();
        let (ended, _) = case.run(server.bucket_with("wrong"), &ledger).await;
        assert!(
            matches!(ended, Err(TransferError::AccessLost { .. })),
            "{ended:?}"
        );
        assert_eq!(ledger.states(), before);
        case.delivered(&server, &ledger).await;
        case.verify(&server).await;
        assert_eq!(server.logged(&["s3_UploadPart ", "f00.csv"]), parts.len());
    }
}

/// What a policy answers that grants nothing.
const DENIED: Way = Way::Refused("403 Forbidden", "AccessDenied");

/// The bucket, whose policy lets nobody list parts.
async fn unlisted(server: &Server) -> Forgetful {
    Forgetful::deciding(server, |line| match is_list_parts(line) {
        true => DENIED,
        false => Way::Through,
    })
    .await
}

fn is_list_parts(line: &str) -> bool {
    line.starts_with("GET ") && line.contains("uploadId=")
}

fn is_complete(line: &str) -> bool {
    line.starts_with("POST ") && line.contains("f00.csv") && line.contains("uploadId=")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_lists_the_parts_an_object_of_ours_is_found_by_looking() {
    let server = Server::start().await;
    let file = records(2 * PART, 74);
    let case = Case::new(std::slice::from_ref(&file), ReadBack::Granted);
    case.delivered(&server, &ledger()).await;
    // An upload beside it, as one that was created again leaves: it must not stay.
    let upload = earlier(&server, &[(1, file.slice(..PART))]).await;
    let sent = server.logged(&["s3_UploadPart ", "f00.csv"]);
    let proxy = unlisted(&server).await;
    let (ended, _) = case.run(proxy.bucket(), &completing(&upload, &file)).await;
    assert_eq!(ended.unwrap().objects[0].landing, Landing::Sent);
    assert_eq!(server.logged(&["s3_UploadPart ", "f00.csv"]), sent);
    case.verify(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_lists_the_parts_and_nothing_is_there_the_object_starts_again() {
    let server = Server::start().await;
    let file = records(2 * PART, 75);
    let parts = halves(&file);
    let upload = earlier(&server, &parts).await;
    let case = Case::new(std::slice::from_ref(&file), ReadBack::Granted);
    let proxy = unlisted(&server).await;
    let (ended, progress) = case.run(proxy.bucket(), &completing(&upload, &file)).await;
    ended.unwrap();
    assert_eq!(progress.bytes_done, progress.bytes_total);
    case.verify(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_lists_the_parts_somebody_elses_object_is_told_by_looking() {
    let server = Server::start().await;
    let file = records(2 * PART, 76);
    let parts = halves(&file);
    let upload = earlier(&server, &parts).await;
    server.put("f00.csv", b"theirs").await;
    let case = Case::new(std::slice::from_ref(&file), ReadBack::Granted);
    let proxy = unlisted(&server).await;
    let (ended, _) = case.run(proxy.bucket(), &completing(&upload, &file)).await;
    assert!(
        matches!(ended, Err(TransferError::ObjectExists { .. })),
        "{ended:?}"
    );
    assert_eq!(server.get("f00.csv").await, b"theirs");
    assert_eq!(server.holds().await, (vec!["f00.csv".to_owned()], vec![]));
}

/// The look is refused as well: nothing is guessed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_lists_the_parts_nor_may_look_it_stays_open() {
    let server = Server::start().await;
    let file = records(2 * PART, 77);
    let upload = earlier(&server, &[(1, file.slice(..PART))]).await;
    let case = Case::new(std::slice::from_ref(&file), ReadBack::Granted);
    let proxy = Forgetful::deciding(&server, |line| {
        match is_list_parts(line) || line.starts_with("HEAD ") {
            true => DENIED,
            false => Way::Through,
        }
    })
    .await;
    let ledger = completing(&upload, &file);
    let before = ledger.states();
    let (ended, _) = case.run(proxy.bucket(), &ledger).await;
    assert!(
        matches!(ended, Err(TransferError::CompletionUnconfirmed { .. })),
        "{ended:?}"
    );
    assert_eq!(ledger.states(), before);
    assert_eq!(server.holds().await.1, ["f00.csv"]);
}

/// Complete is applied, its answer lost, and the next is told of a conflict.
async fn conflict_behind_a_lost_answer(server: &Server) -> Forgetful {
    let completes = std::sync::atomic::AtomicUsize::new(0);
    Forgetful::deciding(server, move |line| {
        if is_list_parts(line) {
            return DENIED;
        }
        match is_complete(line).then(|| completes.fetch_add(1, Ordering::SeqCst)) {
            Some(0) => Way::AnswerLost,
            Some(1) => Way::Refused("409 Conflict", "ConditionalRequestConflict"),
            _ => Way::Through,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_where_nobody_lists_the_parts_is_settled_by_looking() {
    let server = Server::start().await;
    let case = Case::new(&[records(2 * PART, 78)], ReadBack::Granted);
    let proxy = conflict_behind_a_lost_answer(&server).await;
    let (ended, _) = case.run(proxy.bucket(), &ledger()).await;
    assert_eq!(ended.unwrap().objects[0].landing, Landing::Sent);
    assert_eq!(server.logged(&["s3_UploadPart ", "f00.csv"]), 2);
    case.verify(&server).await;
}

/// Sent again, it meets itself: that isn't somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_again_after_a_conflict_and_is_there_already_stays_open() {
    let server = Server::start().await;
    let case = Case::new(&[records(2 * PART, 80)], ReadBack::WriteOnly);
    let proxy = conflict_behind_a_lost_answer(&server).await;
    let (ended, _) = case.run(proxy.bucket(), &ledger()).await;
    assert!(
        matches!(ended, Err(TransferError::CompletionUnconfirmed { .. })),
        "{ended:?}"
    );
    assert_eq!(server.logged(&["s3_UploadPart ", "f00.csv"]), 4);
    assert_eq!(server.holds().await, (vec!["f00.csv".to_owned()], vec![]));
}

proptest! {
    // Each case has a server of its own, so few of them; the seed of one that fails is kept by proptest.
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn only_what_is_missing_is_sent(
        len in 1..4 * PART,
        part in PART..2 * PART,
        stored in proptest::collection::vec(stored(), 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(resumes(len, part, &stored));
    }
}
