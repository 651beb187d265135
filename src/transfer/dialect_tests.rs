//! The same job on stores of every dialect, and on stores that overwrite: no setting touched.

use super::*;
use crate::dialects::{Checksums, Conditions, Dialects};
use crate::store::{Caller, Capabilities, ConditionalWrite, Dialect, Proof, RegionSource, prove};

async fn store(server: &Server, checksums: Checksums, conditions: Conditions) -> Dialects {
    let address = server.endpoint.strip_prefix("http://").unwrap();
    Dialects::before(address, server.client(), checksums, conditions).await
}

/// The bucket as a proof of access leaves it.
async fn proved(store: &Dialects) -> Bucket {
    let bucket = bucket_at(&store.endpoint(), SECRET);
    let proof = prove(&bucket, RegionSource::Named, &Caller::AccessKey)
        .await
        .proof;
    let Proof::Verified { dialect, .. } = proof else {
        panic!("{proof:?}")
    };
    bucket.with_capabilities(Capabilities {
        dialect,
        ..bucket.capabilities()
    })
}

/// Heads of requests that carry one of `words`.
fn heads(store: &Dialects, words: &[&str]) -> usize {
    let heard = store.heard();
    let heads = heard
        .iter()
        .filter(|head| words.iter().all(|word| head.contains(word)));
    heads.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_job_completes_on_every_dialect_and_nothing_is_sent_twice() {
    for (checksums, dialect) in [
        (Checksums::All, Dialect::Crc64Nvme),
        (Checksums::NoCrc64, Dialect::Crc32c),
        (Checksums::NoHeaders, Dialect::ContentMd5),
        (Checksums::Ignored, Dialect::ContentMd5),
    ] {
        for read_back in [ReadBack::WriteOnly, ReadBack::Granted] {
            let server = Server::start().await;
            let store = store(&server, checksums, Conditions::Honoured).await;
            let bucket = proved(&store).await;
            assert_eq!(bucket.capabilities().dialect, dialect, "{checksums:?}");
            assert_eq!(
                server.holds().await,
                (vec![], vec![]),
                "the proof leaves nothing"
            );
            let proof = store.heard().len();
            let case = Case::new(&[records(2 * PART + 7, 60), records(1000, 61)], read_back);
            let (ended, _) = case.run(bucket, &ledger()).await;
            let delivered = ended.unwrap();
            let known = delivered.capabilities;
            assert_eq!(known.conditional_write, ConditionalWrite::Honoured);
            assert_eq!(known.dialect, dialect);
            case.verify(&server).await;
            assert_eq!(server.logged(&["s3_UploadPart ", "f00.csv"]), 3);
            for never in [
                "x-amz-trailer",
                "aws-chunked",
                "x-amz-sdk-checksum-algorithm",
            ] {
                assert_eq!(heads(&store, &[never]), 0, "{never}");
            }
            let own = |head: &&String| dialect == Dialect::Crc64Nvme || !head.contains("crc64nvme");
            let heard = store.heard();
            assert!(heard[proof..].iter().all(|head| own(&head)), "{heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_outgrow_the_budget_have_the_checksum_of_the_dialect() {
    for checksums in [Checksums::NoCrc64, Checksums::NoHeaders] {
        let server = Server::start().await;
        let store = store(&server, checksums, Conditions::Honoured).await;
        let mut case = Case::new(&[records(2 * PART + 7, 62)], ReadBack::WriteOnly);
        case.resources = Resources::new(6 << 20, 4);
        let (ended, _) = case.run(proved(&store).await, &ledger()).await;
        ended.unwrap();
        case.verify(&server).await;
    }
}

/// Stops a delivery of 6 parts in the middle, and lets another process go on: how many were sent in all.
async fn resumed(checksums: Checksums) -> usize {
    let server = Server::start().await;
    let store = store(&server, checksums, Conditions::Honoured).await;
    let files = [records(6 * PART, 63)];
    let mut case = Case::new(&files, ReadBack::WriteOnly);
    let stop = case.stop.clone();
    let mut source = MemorySource::new(&files);
    source.on_read = Box::new(move |_, offset| {
        if offset >= 3 * PART as u64 {
            stop.cancel();
        }
    });
    case.source = Arc::new(source);
    let (bucket, ledger) = (proved(&store).await, ledger());
    let (ended, _) = case.run(bucket.clone(), &ledger).await;
    assert!(matches!(ended, Err(TransferError::Stopped)), "{ended:?}");
    let before = server.logged(&["s3_UploadPart ", "f00.csv"]);
    assert!((1..6).contains(&before), "{before} parts landed");
    let next = Case::new(&files, ReadBack::WriteOnly);
    let (ended, _) = next.run(bucket, &ledger).await;
    ended.unwrap();
    next.verify(&server).await;
    server.logged(&["s3_UploadPart ", "f00.csv"]) - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_a_store_vouches_for_is_not_sent_again() {
    assert!(resumed(Checksums::All).await < 6);
    assert!(resumed(Checksums::NoCrc64).await < 6);
    assert_eq!(
        resumed(Checksums::NoHeaders).await,
        6,
        "an ETag is no checksum"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_before_complete_nothing_is_sent_again_in_any_dialect() {
    for checksums in [Checksums::All, Checksums::NoCrc64, Checksums::NoHeaders] {
        let server = Server::start().await;
        let store = store(&server, checksums, Conditions::Honoured).await;
        let case = Case::new(&[records(2 * PART, 64)], ReadBack::WriteOnly);
        let stop = case.stop.clone();
        let first = Arc::new(MemoryLedger {
            on_record: Some(Box::new(move |_, state| {
                if matches!(state, ObjectState::Completing { .. }) {
                    stop.cancel();
                }
            })),
            ..MemoryLedger::default()
        });
        let bucket = proved(&store).await;
        let (ended, _) = case.run(bucket.clone(), &first).await;
        assert!(matches!(ended, Err(TransferError::Stopped)), "{ended:?}");
        let ledger = Arc::new(MemoryLedger {
            states: first.states().into(),
            ..MemoryLedger::default()
        });
        let next = Case::new(&case.source.files, ReadBack::WriteOnly);
        let (ended, _) = next.run(bucket, &ledger).await;
        ended.unwrap();
        next.verify(&server).await;
        let sent = server.logged(&["s3_UploadPart ", "f00.csv"]);
        assert_eq!(sent, 2, "{checksums:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_the_whole_gets_a_lesser_dialect() {
    for (read_back, len, parts) in [
        (ReadBack::WriteOnly, 2 * PART, 4),
        (ReadBack::Granted, 1000, 0),
    ] {
        let server = Server::start().await;
        let store = store(&server, Checksums::NoWholeObject, Conditions::Honoured).await;
        let bucket = proved(&store).await;
        let known = bucket.capabilities().dialect;
        assert_eq!(known, Dialect::Crc64Nvme, "no proof can tell");
        let case = Case::new(&[records(len, 65)], read_back);
        let (ended, _) = case.run(bucket, &ledger()).await;
        assert_eq!(ended.unwrap().capabilities.dialect, Dialect::Crc32c);
        case.verify(&server).await;
        let sent = server.logged(&["s3_UploadPart ", "f00.csv"]);
        assert_eq!(sent, parts, "once a dialect");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_another_dialect_starts_again() {
    let server = Server::start().await;
    let files = [records(3 * PART, 66)];
    let mut case = Case::new(&files, ReadBack::WriteOnly);
    let stop = case.stop.clone();
    let mut source = MemorySource::new(&files);
    source.on_read = Box::new(move |_, offset| {
        if offset >= PART as u64 {
            stop.cancel();
        }
    });
    case.source = Arc::new(source);
    let ledger = ledger();
    let (ended, _) = case.run(server.bucket(), &ledger).await;
    assert!(matches!(ended, Err(TransferError::Stopped)), "{ended:?}");
    let bucket = server.bucket();
    let lesser = bucket.with_capabilities(Capabilities {
        dialect: Dialect::Crc32c,
        ..bucket.capabilities()
    });
    let next = Case::new(&files, ReadBack::WriteOnly);
    let (ended, _) = next.run(lesser, &ledger).await;
    ended.unwrap();
    next.verify(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_overwrites_is_found_out_and_looked_at_before_each_write() {
    let server = Server::start().await;
    let store = store(&server, Checksums::All, Conditions::Ignored).await;
    let bucket = proved(&store).await;
    let case = Case::new(&[records(2 * PART, 67), records(9, 68)], ReadBack::Granted);
    let (ended, _) = case.run(bucket.clone(), &ledger()).await;
    let known = ended.unwrap().capabilities;
    assert_eq!(known.conditional_write, ConditionalWrite::Ignored);
    case.verify(&server).await;
    // Somebody writes a key after it was looked at first and before it is completed or put.
    for (len, reads) in [(2 * PART, PART as u64), (1000, 0)] {
        let server = Arc::new(Server::start().await);
        let store = self::store(&server, Checksums::All, Conditions::Ignored).await;
        let bucket = proved(&store).await.with_capabilities(known);
        let files = [records(len, 69)];
        let mut case = Case::new(&files, ReadBack::Granted);
        let (theirs, handle) = (Arc::clone(&server), tokio::runtime::Handle::current());
        let mut source = MemorySource::new(&files);
        source.on_read = Box::new(move |_, offset| {
            if offset == reads {
                handle.block_on(theirs.put("f00.csv", b"theirs"));
            }
        });
        case.source = Arc::new(source);
        let (ended, _) = case.run(bucket, &ledger()).await;
        let exists = matches!(ended, Err(TransferError::ObjectExists { .. }));
        assert!(exists, "{len}: {ended:?}");
        assert_eq!(server.get("f00.csv").await, b"theirs");
        assert_eq!(server.holds().await, (vec!["f00.csv".to_owned()], vec![]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receipt_tells_costs_no_second_receipt() {
    for (read_back, written) in [(ReadBack::WriteOnly, 0), (ReadBack::Granted, 1)] {
        let server = Server::start().await;
        let case = Case::new(&[records(9, 70)], read_back);
        let (ended, _) = case.run(server.bucket(), &ledger()).await;
        let known = ended.unwrap().capabilities;
        assert_eq!(known.conditional_write, ConditionalWrite::Honoured);
        let puts = |status| server.logged(&["s3_PutObject ", "d.info", status]);
        let counts = (puts(" 200 "), puts(" 412 "));
        assert_eq!(counts, (written, 1), "asked once, written never");
        // Known from then on: nothing is asked again.
        let again = Server::start().await;
        let bucket = again.bucket().with_capabilities(known);
        let (ended, _) = case.run(bucket, &ledger()).await;
        ended.unwrap();
        assert_eq!(again.logged(&["s3_PutObject ", "d.info"]), written);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skip_takes_the_same_content_and_nothing_else() {
    let files = [records(2 * PART + 3, 71), records(500, 72)];
    for (read_back, if_exists, other, delivered) in [
        (ReadBack::Granted, IfExists::Skip, false, true),
        (ReadBack::Granted, IfExists::Skip, true, false),
        (ReadBack::Granted, IfExists::Fail, false, false),
        (ReadBack::WriteOnly, IfExists::Skip, false, false),
    ] {
        let server = Server::start().await;
        // Another delivery's objects: the same bytes, another token.
        let mut first = Case::new(&files, ReadBack::Granted);
        first.job.facts.token = DeliveryToken::new(&TokenParts {
            cluster_id: "other",
            namespace: "",
            name: "",
            destination: "",
            plan: &first.job.plan.hash(),
        });
        first.delivered(&server, &ledger()).await;
        let client = server.client();
        let receipt = client.delete_object().bucket(BUCKET).key("audience/d.info");
        receipt.send().await.unwrap();
        if other {
            let key = client
                .delete_object()
                .bucket(BUCKET)
                .key("audience/f01.csv");
            key.send().await.unwrap();
            // As long as ours.
            server.put("f01.csv", &[b'x'; 500]).await;
        }
        let before = server.logged(&["s3_UploadPart "]) + server.logged(&["s3_PutObject "]);
        let mut case = Case::new(&files, read_back);
        case.job.if_exists = if_exists;
        let (ended, _) = case.run(server.bucket(), &ledger()).await;
        if delivered {
            let delivered = ended.unwrap();
            let landings: Vec<_> = delivered.objects.iter().map(|o| o.landing).collect();
            assert_eq!(landings, [Landing::Adopted, Landing::Adopted]);
            assert!(!delivered.was_there_already(), "the receipt is new");
            case.verify(&server).await;
            let sent = server.logged(&["s3_UploadPart "]) + server.logged(&["s3_PutObject "]);
            assert_eq!(
                sent - before,
                2,
                "the receipt, and what it tells of the store"
            );
        } else {
            let exists = matches!(ended, Err(TransferError::ObjectExists { .. }));
            assert!(exists, "{read_back:?} {if_exists:?} {other}: {ended:?}");
        }
    }
}
