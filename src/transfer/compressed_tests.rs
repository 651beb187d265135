//! Compressed objects: the same parts after any interruption, and a receipt that says both sizes.

use std::io::Read as _;

use jiff::Timestamp;

use super::resume::earlier;
use super::*;
use crate::plan::Compression;

const FORMATS: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

pub(super) fn compressed(files: &[Bytes], read_back: ReadBack, compression: Compression) -> Case {
    let mut case = Case::new(files, read_back);
    case.job.plan = Arc::new(plan_of(files).compressed(compression));
    case.job.facts.token = DeliveryToken::new(&TokenParts {
        cluster_id: "test",
        namespace: "marketing",
        name: "d",
        destination: "hash",
        plan: &case.job.plan.hash(),
    });
    case
}

fn decoded(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if compression == Compression::Gzip {
        let mut decoder = flate2::bufread::GzDecoder::new(bytes);
        decoder.read_to_end(&mut out).unwrap();
        return out;
    }
    let len = zstd_safe::get_frame_content_size(bytes).unwrap().unwrap();
    out.reserve_exact(usize::try_from(len).unwrap());
    zstd_safe::decompress(&mut out, bytes).unwrap();
    out
}

/// What is delivered is the source, and the receipt says so. Returns the objects.
async fn verify(case: &Case, server: &Server) -> Vec<Vec<u8>> {
    let (objects, uploads) = server.holds().await;
    assert_eq!(uploads, Vec::<String>::new(), "nothing is left behind");
    assert_eq!(objects.len(), case.source.files.len() + 1);
    let compression = case.job.plan.compression();
    let receipt = server.get("d.info").await;
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
    let (mut all, mut total) = (Vec::new(), 0);
    for (n, file) in case.source.files.iter().enumerate() {
        let bytes = server.get(&format!("f{n:02}.csv")).await;
        assert!(decoded(compression, &bytes) == *file, "{n} is the file");
        let entry = &receipt["Files"][n];
        let md5: [u8; 16] = Md5::digest(&bytes).into();
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes);
        assert_eq!(entry["FileByteSize"], bytes.len());
        assert_eq!(entry["uncompressedBytes"], file.len());
        assert_eq!(entry["compression"], compression.name().unwrap());
        assert_eq!(entry["source"]["length"], file.len());
        assert_eq!(
            entry["FileLineCount"],
            file.iter().filter(|b| **b == b'\n').count()
        );
        assert_eq!(entry["md5"], Md5Digest::new(md5).as_str());
        assert_eq!(entry["crc64nvme"], Crc64::new(crc).to_string());
        total += bytes.len();
        all.push(bytes);
    }
    assert_eq!(receipt["Totals"]["TotalByteSize"], total);
    all
}

fn files() -> Vec<Bytes> {
    let sizes = [3, 0, 100_000, 2 * PART + 5, 5 * PART + 77];
    sizes.iter().map(|len| records(*len, 7)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_no_one_and_many_parts_in_both_modes() {
    for compression in FORMATS {
        let mut seen = Vec::new();
        for read_back in [ReadBack::WriteOnly, ReadBack::Granted] {
            let server = Server::start().await;
            let case = compressed(&files(), read_back, compression);
            case.delivered(&server, &ledger()).await;
            seen.push(verify(&case, &server).await);
            let objects = seen.last().unwrap();
            // A small object is one request or one part, and parts are of exactly the size.
            let puts = if read_back == ReadBack::Granted { 3 } else { 0 };
            let parts: usize = objects.iter().map(|bytes| bytes.len().div_ceil(PART)).sum();
            assert!(objects[4].len() > 2 * PART, "{}", objects[4].len());
            assert_eq!(server.logged(&["s3_UploadPart ", ".csv"]), parts - puts);
            assert_eq!(server.logged(&["s3_PutObject ", ".csv"]), puts);
        }
        assert!(seen[0] == seen[1], "the same bytes in both modes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_has_of_an_upload_is_not_sent_again() {
    for compression in FORMATS {
        let files = [records(7 * PART, 31)];
        let server = Server::start().await;
        let case = compressed(&files, ReadBack::WriteOnly, compression);
        case.delivered(&server, &ledger()).await;
        let whole = Bytes::from(verify(&case, &server).await.remove(0));
        let parts: Vec<_> = whole
            .chunks(PART)
            .map(|part| whole.slice_ref(part))
            .collect();
        assert!(parts.len() >= 3, "{} parts", parts.len());
        // The first as it should be; the second of another encoder; one behind the object's end.
        let wrong: Bytes = parts[1].iter().map(|byte| byte ^ 1).collect();
        let last = i32::try_from(parts.len()).unwrap();
        let left = [(1, parts[0].clone()), (2, wrong.clone()), (last + 1, wrong)];
        let server = Server::start().await;
        let upload = earlier(&server, &left).await;
        let open = ObjectState::Open {
            upload,
            started_at: Timestamp::now(),
        };
        let ledger = Arc::new(MemoryLedger {
            states: BTreeMap::from([(Slot::Object(1), open)]).into(),
            ..MemoryLedger::default()
        });
        case.delivered(&server, &ledger).await;
        assert!(
            verify(&case, &server).await.remove(0) == whole,
            "the same bytes"
        );
        let sent = server.logged(&["s3_UploadPart ", "f00.csv"]) - left.len();
        assert_eq!(sent, parts.len() - 1);
        assert_eq!(server.logged(&["s3_CreateMultipartUpload ", "f00.csv"]), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_anywhere_it_goes_on_to_the_same_bytes() {
    let files = [records(7 * PART, 32)];
    for (compression, at) in [(Compression::Gzip, 4), (Compression::Zstd, 5)] {
        let server = Server::start().await;
        let mut case = compressed(&files, ReadBack::WriteOnly, compression);
        let stop = case.stop.clone();
        let mut source = MemorySource::new(&files);
        source.on_read = Box::new(move |_, offset| {
            if offset >= (at * PART) as u64 {
                stop.cancel();
            }
        });
        case.source = Arc::new(source);
        let ledger = ledger();
        let (ended, progress) = case.run(server.bucket(), &ledger).await;
        assert!(matches!(ended, Err(TransferError::Stopped)), "{ended:?}");
        assert!(progress.bytes_done < progress.bytes_total, "{progress:?}");
        let next = compressed(&files, ReadBack::WriteOnly, compression);
        next.delivered(&server, &ledger).await;
        let whole = verify(&next, &server).await.remove(0);
        let parts = whole.len().div_ceil(PART);
        assert_eq!(
            server.logged(&["s3_UploadPart ", "f00.csv"]),
            parts,
            "none twice"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_whose_answer_is_lost_is_sent_again_as_it_was() {
    for compression in FORMATS {
        let server = Server::start().await;
        let proxy = Forgetful::before(&server, &["PUT", "partNumber=2"]).await;
        let case = compressed(&[records(6 * PART, 33)], ReadBack::WriteOnly, compression);
        let (ended, _) = case.run(proxy.bucket(), &ledger()).await;
        ended.unwrap();
        assert_eq!(proxy.lost.load(Ordering::SeqCst), 1, "an answer was lost");
        verify(&case, &server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_already_is_known_by_its_compressed_bytes() {
    for compression in FORMATS {
        let server = Server::start().await;
        let files = [records(1000, 1), records(3 * PART, 34)];
        let mut case = compressed(&files, ReadBack::Granted, compression);
        case.delivered(&server, &ledger()).await;
        let sent = || server.logged(&["s3_PutObject "]) + server.logged(&["s3_UploadPart "]);
        let before = sent();
        // The same again is adopted by its token.
        let again = case.delivered(&server, &ledger()).await;
        assert!(again.was_there_already());
        assert_eq!(sent(), before);
        // Another delivery takes the same content where it may, and only there.
        case.job.facts.token = DeliveryToken::new(&TokenParts {
            cluster_id: "test",
            namespace: "marketing",
            name: "other",
            destination: "hash",
            plan: &case.job.plan.hash(),
        });
        let (ended, _) = case.run(server.bucket(), &ledger()).await;
        assert!(
            matches!(ended, Err(TransferError::ObjectExists { .. })),
            "{ended:?}"
        );
        case.job.if_exists = IfExists::Skip;
        // Its receipt is another's: only the objects are taken.
        let (ended, progress) = case.run(server.bucket(), &ledger()).await;
        assert!(
            matches!(&ended, Err(TransferError::ObjectExists { key }) if key.as_str() == "audience/d.info")
        );
        assert_eq!(progress.objects_done, 2);
        assert_eq!(sent(), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_while_it_is_compressed_ends_the_delivery() {
    for compression in FORMATS {
        let server = Server::start().await;
        let files = [records(6 * PART, 35)];
        let mut case = compressed(&files, ReadBack::WriteOnly, compression);
        let mut source = MemorySource::new(&files);
        let changed = Arc::clone(&source.changed);
        source.on_read = Box::new(move |_, offset| {
            changed.fetch_or(offset >= 3 * PART as u64, Ordering::SeqCst);
        });
        case.source = Arc::new(source);
        let (ended, _) = case.run(server.bucket(), &ledger()).await;
        assert!(
            matches!(ended, Err(TransferError::SourceChanged { .. })),
            "{ended:?}"
        );
        assert_eq!(server.holds().await.0, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_never_over_the_budget_and_too_little_is_said() {
    for compression in FORMATS {
        let server = Server::start().await;
        let files: Vec<_> = (0..6).map(|n| records(2 * PART + n, n as u64)).collect();
        let mut case = compressed(&files, ReadBack::WriteOnly, compression);
        let budget = 48 << 20;
        case.resources = Resources::new(budget, 4);
        let room = |case: &Case| {
            let (plan, part_size) = (&case.job.plan, case.job.part_size);
            case.resources.require_room(plan, part_size)
        };
        room(&case).unwrap();
        let pool = case.resources.memory().clone();
        let most = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut source = MemorySource::new(&files);
        let (seen, of) = (Arc::clone(&most), pool.clone());
        source.on_read = Box::new(move |_, _| {
            seen.fetch_max(of.allocated(), Ordering::SeqCst);
        });
        case.source = Arc::new(source);
        case.delivered(&server, &ledger()).await;
        verify(&case, &server).await;
        let most = most.load(Ordering::SeqCst) as u64;
        assert!((1 << 20..=budget).contains(&most), "{most}");

        case.resources = Resources::new(6 << 20, 4);
        let (ended, _) = case.run(Server::start().await.bucket(), &ledger()).await;
        let Err(error @ TransferError::TooLargeToCompress { .. }) = ended else {
            panic!("{ended:?}");
        };
        // It is known before, by the same rule; which object is the first to be refused isn't.
        let known = |error: &TransferError| match error {
            TransferError::TooLargeToCompress { needed, most, .. } => Some((*needed, *most)),
            _ => None,
        };
        assert_eq!(known(&room(&case).unwrap_err()), known(&error));
        let text = error.to_string();
        assert!(
            text.contains("transfer.memory must be ") && text.contains("Mi at least"),
            "{text}"
        );
    }
}
