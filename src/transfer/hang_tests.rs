//! Sources that hang: they cost the others nothing.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::compressed::compressed;
use super::*;
use crate::plan::Compression;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_hangs_blocks_only_its_own_delivery() {
    let server = Server::start().await;
    let hung_files = vec![records(2 * PART, 50); 6];
    let mut hung = Case::new(&hung_files, ReadBack::WriteOnly);
    let reading = Arc::new(AtomicUsize::new(0));
    let (release, gate) = mpsc::channel::<()>();
    let (gate, count) = (Mutex::new(gate), Arc::clone(&reading));
    let mut source = MemorySource::new(&hung_files);
    source.on_read = Box::new(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        // As long as the test holds the other end.
        let _ = gate.lock().map(|gate| gate.recv());
    });
    hung.source = Arc::new(source);
    let stop = hung.stop.clone();
    let (bucket, resources) = (server.bucket(), hung.resources.clone());
    let hangs = tokio::spawn(async move { hung.run(bucket, &ledger()).await.0 });
    until("it hangs", || reading.load(Ordering::SeqCst) > 0);
    let other = Server::start().await;
    let mut case = Case::new(&[records(3 * PART, 51)], ReadBack::WriteOnly);
    case.resources = resources;
    case.delivered(&other, &ledger()).await;
    case.verify(&other).await;
    stop.cancel();
    let ended = hangs.await.unwrap();
    assert!(matches!(ended, Err(TransferError::Stopped)), "{ended:?}");
    drop(release);
}

/// On a network file system it is the opening that hangs: nobody waits for what hangs there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_hangs_where_files_are_opened_holds_nothing() {
    let server = Server::start().await;
    for (compression, read_back, size) in [
        (Compression::None, ReadBack::Granted, PART / 2),
        (Compression::None, ReadBack::WriteOnly, PART / 2),
        (Compression::None, ReadBack::Granted, 2 * PART),
        (Compression::Gzip, ReadBack::Granted, PART / 2),
        (Compression::Gzip, ReadBack::WriteOnly, 2 * PART),
    ] {
        let files = vec![records(size, 52); 12];
        let mut hung = compressed(&files, read_back, compression);
        let opening = Arc::new(AtomicUsize::new(0));
        let (release, gate) = mpsc::channel::<()>();
        let (gate, count) = (Mutex::new(gate), Arc::clone(&opening));
        let mut source = MemorySource::new(&files);
        source.on_open = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = gate.lock().map(|gate| gate.recv());
        });
        hung.source = Arc::new(source);
        let (stop, resources) = (hung.stop.clone(), hung.resources.clone());
        let bucket = server.bucket();
        let hangs = tokio::spawn(async move { hung.run(bucket, &ledger()).await.0 });
        until("files are opened", || opening.load(Ordering::SeqCst) > 1);
        assert_eq!(
            resources.memory().allocated(),
            0,
            "{compression:?} {read_back:?} {size}"
        );
        // To the same destination, which takes one part at a time.
        resources.destination().limit(Limits {
            parts: NonZeroU32::new(1),
            ..Limits::default()
        });
        let other = Server::start().await;
        let mut case = compressed(&[records(3 * PART, 53)], read_back, compression);
        case.resources = resources;
        case.delivered(&other, &ledger()).await;
        stop.cancel();
        let ended = hangs.await.unwrap();
        assert!(matches!(ended, Err(TransferError::Stopped)), "{ended:?}");
        drop(release);
    }
}
