use std::fs;

use super::*;
use crate::plan::{Delimiter, Fingerprint};
use crate::source::PathPattern;

fn boundaries<'a>(
    root: &'a VolumeRoot,
    files: &'a [SourceFile],
    records: RecordFormat,
) -> VolumeBoundaries<'a> {
    RecordBoundaries::new(
        ScannedFiles::new(root, files),
        records,
        CancellationToken::new(),
    )
}

fn lines<'a>(root: &'a VolumeRoot, files: &'a [SourceFile]) -> VolumeBoundaries<'a> {
    boundaries(root, files, RecordFormat::Lines(Delimiter::NEWLINE))
}

fn range(offset: u64, end: u64) -> ByteRange {
    ByteRange {
        offset,
        len: end - offset,
    }
}

#[test]
fn boundaries_of_a_volume_notice_a_changed_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ns/a");
    fs::create_dir(dir.path().join("ns")).unwrap();
    fs::write(&path, "1\n22\n333").unwrap();
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let files = root.scan(&pattern("a"), &CancellationToken::new()).unwrap();
    let mut boundaries = lines(&root, &files);
    assert_eq!(boundaries.last_record_end(0, range(0, 7)).unwrap(), Some(5));
    assert_eq!(boundaries.last_record_end(0, range(0, 4)).unwrap(), Some(2));
    assert_eq!(boundaries.bytes_read(), 11);
    assert!(boundaries.last_record_end(1, range(0, 4)).is_err());

    fs::write(&path, "1\n22\n333\n").unwrap();
    let error = boundaries.last_record_end(0, range(0, 7)).unwrap_err();
    let error = SourceError::from_io(error).unwrap();
    assert!(error.to_string().contains("size from 8 to 9"), "{error}");
    let other = SourceError::from_io(io::Error::other("x"));
    assert_eq!(other.unwrap_err().to_string(), "x");
}

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

#[test]
fn a_sparse_terabyte_is_planned_from_a_few_blocks() {
    use std::os::unix::fs::FileExt;
    use std::time::Instant;

    use crate::plan::{
        KeyPrefix, KeyTemplate, Names, PlanRequest, ReceiptTemplate, SplitSize, SplitSpec, plan,
    };

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ns")).unwrap();
    let file = fs::File::create(dir.path().join("ns/big.csv")).unwrap();
    let terabyte = 1_000_000_000_000_u64;
    let size = 100_000_000_000;
    file.set_len(terabyte).unwrap();
    for cut in 1..10 {
        // The last record before each cut ends up to 180 kB before it.
        file.write_at(b"\n", cut * size - cut * 20_000 - 1).unwrap();
    }
    let begun = Instant::now();
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let files = root
        .scan(&pattern("*.csv"), &CancellationToken::new())
        .unwrap();
    let mut split = SplitSpec::new(SplitSize::new(size).unwrap());
    split.max_record_size = 1 << 20;
    let request = PlanRequest {
        compression: crate::plan::Compression::None,
        split,
        key: KeyTemplate::parse(KeyTemplate::DEFAULT).unwrap(),
        receipt: ReceiptTemplate::parse(ReceiptTemplate::DEFAULT).unwrap(),
        separator: "-".into(),
        prefix: KeyPrefix::default(),
        folder: String::new(),
        names: Names {
            delivery: "d".into(),
            namespace: "n".into(),
            destination: "t".into(),
        },
        logical_time: "2026-11-24T00:00:00Z".parse().unwrap(),
    };
    let mut boundaries = lines(&root, &files);
    let planned = plan(&request, files.clone(), &mut boundaries);
    let bytes_read = boundaries.bytes_read();
    // What is left behind each cut adds up, so that the cuts move forward and miss the later newlines.
    let error = planned.unwrap_err().to_string();
    assert!(
        error.contains("no record ends in the 1048576 bytes"),
        "{error}"
    );
    assert!(bytes_read <= 2 << 20, "{bytes_read}");

    // Newlines right before where each cut falls.
    let mut offset = 0;
    while terabyte - offset > size {
        offset += size - 20_000;
        file.write_at(b"\n", offset - 1).unwrap();
    }
    let files = root
        .scan(&pattern("*.csv"), &CancellationToken::new())
        .unwrap();
    let mut boundaries = lines(&root, &files);
    let planned = plan(&request, files.clone(), &mut boundaries).unwrap();
    assert_eq!(planned.objects().len(), 11);
    assert_eq!(planned.bytes_total(), terabyte);
    assert!(boundaries.bytes_read() <= 11 * (64 << 10));
    assert!(begun.elapsed().as_secs_f64() < 1.0, "{:?}", begun.elapsed());
}

#[test]
fn an_unplanned_file_is_no_file() {
    let fingerprint = Fingerprint::File {
        size: 1,
        mtime_ns: 0,
        ctime_ns: 0,
    };
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ns")).unwrap();
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let files = [SourceFile {
        path: "gone".into(),
        fingerprint,
    }];
    let mut boundaries = lines(&root, &files);
    let error = boundaries.last_record_end(0, range(0, 1)).unwrap_err();
    let error = SourceError::from_io(error).unwrap();
    assert!(error.to_string().contains("it is gone"), "{error}");
}

#[test]
fn csv_is_counted_from_the_first_byte_and_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ns")).unwrap();
    let record = b"1,\"two\nlines\",\"\"\"\"\n".as_slice();
    let text = record.repeat(100_000);
    fs::write(dir.path().join("ns/a.csv"), &text).unwrap();
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let files = root
        .scan(&pattern("a.csv"), &CancellationToken::new())
        .unwrap();
    let mut csv = boundaries(&root, &files, RecordFormat::Csv);
    let len = record.len() as u64;
    assert_eq!(csv.first_record_end(0, 100).unwrap(), Some(len));
    assert_eq!(csv.first_record_end(0, len - 1).unwrap(), None);
    for records in [1, 10, 50_000, 99_999] {
        // Between a quoted newline and the record's end.
        let end = records * len + 9;
        let found = csv.last_record_end(0, range(end - len, end)).unwrap();
        assert_eq!(found, Some(records * len));
    }
    assert!(csv.is_closed(0, text.len() as u64).unwrap());
    let whole = text.len() as u64;
    assert!(csv.bytes_read() < whole + 6 * (64 << 10));

    // Where it is asked for again, it starts over.
    assert_eq!(csv.last_record_end(0, range(0, len)).unwrap(), Some(len));
    fs::write(dir.path().join("ns/a.csv"), b"a,\"b\nc,d\n").unwrap();
    let files = root
        .scan(&pattern("a.csv"), &CancellationToken::new())
        .unwrap();
    let mut csv = boundaries(&root, &files, RecordFormat::Csv);
    assert!(!csv.is_closed(0, 9).unwrap());
}

#[test]
fn a_pass_that_is_stopped_reads_no_further() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ns")).unwrap();
    let terabyte = 1_000_000_000_000;
    fs::File::create(dir.path().join("ns/a.csv"))
        .unwrap()
        .set_len(terabyte)
        .unwrap();
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let files = root
        .scan(&pattern("a.csv"), &CancellationToken::new())
        .unwrap();
    let stop = CancellationToken::new();
    let scanned = ScannedFiles::new(&root, &files);
    let read = Arc::new(AtomicU64::new(0));
    let csv = RecordBoundaries::new(scanned, RecordFormat::Csv, stop.clone());
    let mut csv = csv.counting(Arc::clone(&read));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| csv.is_closed(0, terabyte));
        while read.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        stop.cancel();
        let stopped = asking.join().unwrap().unwrap_err();
        assert_eq!(stopped.kind(), io::ErrorKind::Interrupted);
    });
    assert!(read.load(Ordering::Relaxed) < terabyte);
}
