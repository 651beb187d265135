//! A file of any bytes is cut at records: the pieces are the file, none is too large, no record is in two of them, and
//! each is as large as it can be.
#![no_main]

use std::sync::OnceLock;

use jiff::Timestamp;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use outbound_operator::plan::{
    Compression, Delimiter, KeyPrefix, KeyTemplate, Names, PlanErrorKind, PlanRequest,
    ReceiptTemplate, RecordFormat, SplitSize, SplitSpec, plan,
};
use outbound_operator::source::{PathPattern, RecordBoundaries, ScannedFiles, VolumeRoot};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    format: u8,
    delimiter: u8,
    size: u32,
    look_back: u32,
    /// A search reads blocks of 64 KiB and more: so much of one byte stands before the bytes.
    padding: (u8, u32),
    bytes: &'a [u8],
}

/// A folder in memory, where there is one.
fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        std::fs::create_dir(folder.path().join("n")).unwrap();
        folder
    })
}

/// Where records end, found byte by byte.
fn ends(bytes: &[u8], records: RecordFormat) -> Vec<u64> {
    let mut quoted = false;
    let mut is_end = |at: usize| match records {
        RecordFormat::Lines(Delimiter::Byte(byte)) => bytes[at] == byte,
        RecordFormat::Lines(Delimiter::Crlf) => {
            at > 0 && bytes[at - 1] == b'\r' && bytes[at] == b'\n'
        }
        RecordFormat::Csv => {
            quoted ^= bytes[at] == b'"';
            bytes[at] == b'\n' && !quoted
        }
    };
    (0..bytes.len())
        .filter(|at| is_end(*at))
        .map(|at| at as u64 + 1)
        .collect()
}

fuzz_target!(|input: Input<'_>| {
    let mut bytes = vec![input.padding.0; input.padding.1 as usize % (300 << 10)];
    bytes.extend_from_slice(input.bytes);
    let Ok(size) = SplitSize::new(u64::from(input.size) % (bytes.len() as u64 * 2 + 2)) else {
        return;
    };
    let records = match input.format % 3 {
        0 => RecordFormat::Lines(Delimiter::Byte(input.delimiter)),
        1 => RecordFormat::Lines(Delimiter::Crlf),
        _ => RecordFormat::Csv,
    };
    // A quote that is never closed is refused, and no more is said of it here.
    if records == RecordFormat::Csv && bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        return;
    }
    let mut split = SplitSpec::new(size);
    split.records = records;
    split.max_record_size = u64::from(input.look_back).max(1);
    let look_back = split.max_record_size.min(size.bytes());
    std::fs::write(folder().path().join("n/f"), &bytes).unwrap();
    let root = VolumeRoot::open(folder().path(), "n").unwrap();
    let files = root
        .scan(&PathPattern::parse("f").unwrap(), &CancellationToken::new())
        .unwrap();
    let request = PlanRequest {
        split,
        key: KeyTemplate::parse(KeyTemplate::DEFAULT).unwrap(),
        receipt: ReceiptTemplate::parse(ReceiptTemplate::DEFAULT).unwrap(),
        separator: "-".into(),
        prefix: KeyPrefix::default(),
        names: Names {
            delivery: "d".into(),
            namespace: "n".into(),
            destination: "a".into(),
        },
        logical_time: Timestamp::UNIX_EPOCH,
        folder: String::new(),
        compression: Compression::None,
    };
    let scanned = ScannedFiles::new(&root, &files);
    let mut boundaries = RecordBoundaries::new(scanned, records, CancellationToken::new());
    let ends = ends(&bytes, records);
    let len = bytes.len() as u64;
    let last_before = |offset: u64, cut: u64| {
        let window = cut - look_back;
        ends.iter()
            .rev()
            .find(|end| **end <= cut)
            .copied()
            .filter(|end| *end > window.max(offset))
    };
    match plan(&request, files.clone(), &mut boundaries) {
        Ok(plan) => {
            let mut offset = 0;
            for object in plan.objects() {
                assert_eq!(object.range.offset, offset);
                assert!(object.range.len <= size.bytes());
                let end = object.range.end();
                if end < len {
                    assert_eq!(Some(end), last_before(offset, offset + size.bytes()));
                }
                offset = end;
            }
            assert_eq!(offset, len);
        }
        Err(error) => match error.kind() {
            PlanErrorKind::RecordTooLong => {
                let mut offset = 0;
                while len - offset > size.bytes() {
                    match last_before(offset, offset + size.bytes()) {
                        Some(end) => offset = end,
                        None => return,
                    }
                }
                panic!("{error}, but every cut has a record before it");
            }
            PlanErrorKind::TooManyObjects => {}
            other => panic!("{other:?}: {error}"),
        },
    }
});
