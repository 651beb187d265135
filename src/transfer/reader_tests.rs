//! A reader's threads: when one opens the file, and that no command is lost where one ends.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::super::checksum::{Md5Wanted, crc64};
use super::super::memory::MemoryPool;
use super::*;
use crate::plan::RecordFormat;
use crate::store::Dialect;

const TEXT: &[u8] = b"one\ntwo\n";

/// A reader of `text`, and how often it was opened.
fn reader(text: &'static [u8]) -> (Reader, Arc<AtomicUsize>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let open = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Bytes::from_static(text)) as Box<dyn Readable>)
    };
    (of(Arc::new(open), text.len()), opened)
}

fn of(open: Opener, len: usize) -> Reader {
    let in_order = InOrder::new(Md5Wanted::No, RecordFormat::default(), Dialect::Crc64Nvme);
    Reader::new(open, in_order, Compression::None, len as u64)
}

async fn buffer(pool: &MemoryPool, len: usize) -> PooledBuffer {
    pool.acquire(len).await.unwrap()
}

#[tokio::test]
async fn one_thread_reads_on_until_all_is_hashed() {
    let (pool, (reader, opened)) = (MemoryPool::new(1 << 20), reader(TEXT));
    assert_eq!(opened.load(Ordering::Relaxed), 0);
    reader.hash(0, buffer(&pool, 4).await).await.unwrap();
    let again = reader.read(0, buffer(&pool, 2).await).await.unwrap();
    assert_eq!(again.freeze(), TEXT[..2]);
    let (hashed, end) = reader.hash_to_end(4, buffer(&pool, 4).await).await.unwrap();
    assert_eq!(hashed.crc64, crc64(&TEXT[4..]));
    assert_eq!(end.checksum, None);
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    // What is sent again is read again: by another thread, which stays for more.
    for _ in 0..3 {
        let again = reader.read(0, buffer(&pool, 8).await).await.unwrap();
        assert_eq!(again.freeze(), TEXT);
    }
    assert_eq!(opened.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_is_lost_while_a_thread_ends() {
    let pool = MemoryPool::new(1 << 20);
    for _ in 0..500 {
        let (reader, _) = reader(TEXT);
        let (whole, part) = (buffer(&pool, 8).await, buffer(&pool, 8).await);
        let other = reader.clone();
        let read = tokio::spawn(async move { other.read(0, part).await });
        reader.hash_to_end(0, whole).await.unwrap();
        assert_eq!(read.await.unwrap().unwrap().freeze(), TEXT);
    }
}

#[tokio::test]
async fn what_can_not_be_opened_is_told_to_who_reads_first() {
    let pool = MemoryPool::new(1 << 20);
    let gone = SourceFault::Changed("a.csv is gone".to_owned());
    let fault = gone.clone();
    let reader = of(Arc::new(move || Err(fault.clone())), TEXT.len());
    let refused = reader.hash_to_end(0, buffer(&pool, 8).await).await;
    assert_eq!(refused.err(), Some(gone));
    // What would be hashed now isn't the object's beginning.
    assert!(reader.hash(0, buffer(&pool, 8).await).await.is_err());
}

#[tokio::test]
async fn an_object_of_no_byte_that_was_opened_before_is_read_by_the_same_thread() {
    let (reader, opened) = reader(b"");
    reader.open().await.unwrap();
    let pool = MemoryPool::new(1 << 20);
    let (hashed, _) = reader.hash_to_end(0, buffer(&pool, 0).await).await.unwrap();
    assert_eq!(hashed.crc64, crc64(b""));
    assert_eq!(opened.load(Ordering::Relaxed), 1);
}

/// Parts that are sent again, whose file was replaced meanwhile.
#[tokio::test]
async fn what_can_not_be_opened_is_told_to_all_who_ask() {
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let open = move || {
        let _ = gate.lock().map(|gate| gate.recv());
        Err(SourceFault::Changed("a.csv is gone".to_owned()))
    };
    let (pool, reader) = (MemoryPool::new(1 << 20), of(Arc::new(open), TEXT.len()));
    let (one, two) = (buffer(&pool, 8).await, buffer(&pool, 8).await);
    let reads = futures::future::join(reader.read(0, one), reader.read(0, two));
    // Both have asked before one thread answers both.
    let release = async { drop(release) };
    let ((one, two), ()) = futures::future::join(reads, release).await;
    for read in [one, two] {
        assert!(matches!(read, Err(SourceFault::Changed(_))));
    }
}
