use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::plan::{Boundary, Delimiter, Fingerprint, SplitSize};

/// Files in memory, searched as plainly as can be.
struct InMemory {
    contents: Vec<Vec<u8>>,
    delimiter: Delimiter,
    asked: Vec<ByteRange>,
}

impl Boundaries for InMemory {
    fn last_record_end(&mut self, source: usize, window: ByteRange) -> io::Result<Option<u64>> {
        self.asked.push(window);
        let content = &self.contents[source];
        let mut ends = (window.offset + 1..=window.end()).rev();
        Ok(ends.find(|end| ends_record(&content[..*end as usize], self.delimiter)))
    }
}

fn ends_record(content: &[u8], delimiter: Delimiter) -> bool {
    match delimiter {
        Delimiter::Byte(byte) => content.last() == Some(&byte),
        Delimiter::Crlf => content.ends_with(b"\r\n"),
    }
}

/// For plans that must not look at any file.
struct Unasked;

impl Boundaries for Unasked {
    fn last_record_end(&mut self, source: usize, _: ByteRange) -> io::Result<Option<u64>> {
        Err(io::Error::other(format!("file {source} was read")))
    }
}

fn file(path: &str, size: u64) -> SourceFile {
    let fingerprint = Fingerprint {
        size,
        mtime_ns: 1,
        ctime_ns: 2,
    };
    SourceFile {
        path: path.to_owned(),
        fingerprint,
    }
}

fn request(size: u64) -> PlanRequest {
    PlanRequest {
        split: SplitSpec::new(SplitSize::new(size).unwrap()),
        key: KeyTemplate::parse(KeyTemplate::DEFAULT).unwrap(),
        receipt: ReceiptTemplate::parse(ReceiptTemplate::DEFAULT).unwrap(),
        separator: "-".into(),
        prefix: KeyPrefix::new("audience/").unwrap(),
        names: Names {
            delivery: "daily".into(),
            namespace: "marketing".into(),
            destination: "acme".into(),
        },
        logical_time: "2026-11-24T00:00:00Z".parse().unwrap(),
        compression: Compression::None,
    }
}

fn plan_text(request: &PlanRequest, texts: &[(&str, &str)]) -> Result<Plan, PlanError> {
    let files = texts
        .iter()
        .map(|(path, text)| file(path, text.len() as u64));
    let mut boundaries = InMemory {
        contents: texts
            .iter()
            .map(|(_, text)| text.as_bytes().into())
            .collect(),
        delimiter: request.split.delimiter,
        asked: Vec::new(),
    };
    plan(request, files.collect(), &mut boundaries)
}

/// Keys and lengths.
fn shape(plan: &Plan) -> Vec<(&str, u64)> {
    let objects = plan.objects().iter();
    objects.map(|o| (o.key.as_str(), o.range.len)).collect()
}

#[test]
fn a_file_is_cut_behind_the_last_record_that_fits() {
    let planned = plan_text(&request(5), &[("in/a.csv", "1\n22\n333\n4")]).unwrap();
    let expected = [("audience/a-001.csv", 5), ("audience/a-002.csv", 5)];
    assert_eq!(shape(&planned), expected);
    assert_eq!(planned.receipt().as_str(), "audience/daily.info");
    let sequences: Vec<_> = planned.objects().iter().map(|o| o.sequence).collect();
    assert_eq!(sequences, [1, 2]);
    assert_eq!(planned.bytes_total(), 10);
}

#[test]
fn a_delimiter_that_ends_on_the_cut_counts() {
    let planned = plan_text(&request(4), &[("a", "123\n567\n9")]).unwrap();
    let lens: Vec<_> = planned.objects().iter().map(|o| o.range.len).collect();
    assert_eq!(lens, [4, 4, 1]);
}

#[test]
fn a_file_of_exactly_the_size_is_whole_and_so_is_an_empty_one() {
    let files = vec![file("a.csv", 10), file("b.csv", 0)];
    let planned = plan(&request(10), files, &mut Unasked).unwrap();
    let expected = [("audience/a.csv", 10), ("audience/b.csv", 0)];
    assert_eq!(shape(&planned), expected);
}

#[test]
fn no_file_is_a_plan_of_no_object() {
    let planned = plan(&request(10), vec![], &mut Unasked).unwrap();
    assert_eq!(planned.objects(), []);
    assert_eq!(planned.receipt().as_str(), "audience/daily.info");
}

#[test]
fn bytes_are_cut_without_reading() {
    let mut request = request(4);
    request.split.boundary = Boundary::Byte;
    request.separator = "_".into();
    let planned = plan(&request, vec![file("a", 9)], &mut Unasked).unwrap();
    let expected = [
        ("audience/a_001", 4),
        ("audience/a_002", 4),
        ("audience/a_003", 1),
    ];
    assert_eq!(shape(&planned), expected);
}

#[test]
fn crlf_is_not_cut_in_two() {
    let mut request = request(4);
    request.split.delimiter = Delimiter::Crlf;
    let planned = plan_text(&request, &[("a", "1\r\n4\r\n7\n8")]).unwrap();
    let lens: Vec<_> = planned.objects().iter().map(|o| o.range.len).collect();
    assert_eq!(lens, [3, 3, 3]);
}

#[test]
fn a_record_too_long_names_file_offset_and_limit() {
    let mut request = request(6);
    request.split.max_record_size = 3;
    let error = plan_text(&request, &[("a\u{7}", "1\n345678\n")]).unwrap_err();
    assert_eq!(error.kind(), PlanErrorKind::RecordTooLong);
    let message = error.to_string();
    assert!(
        message.starts_with("\"a\\u{7}\": no record ends in the 3 bytes before the cut at byte 6")
    );

    // Never over the size: the search stays behind the cut before.
    request.split.max_record_size = 100;
    let error = plan_text(&request, &[("a", "12345\n890abcdef")]).unwrap_err();
    assert!(matches!(
        error,
        PlanError::RecordTooLong {
            offset: 12,
            limit: 6,
            ..
        }
    ));
}

#[test]
fn numbers_have_as_many_digits_as_the_largest_needs() {
    let mut request = request(1);
    request.split.boundary = Boundary::Byte;
    for (count, first, last) in [
        (2, "a-001", "a-002"),
        (999, "a-001", "a-999"),
        (1000, "a-0001", "a-1000"),
        (10_000, "a-00001", "a-10000"),
    ] {
        let planned = plan(&request, vec![file("a", count)], &mut Unasked).unwrap();
        let keys: Vec<_> = planned.objects().iter().map(|o| &o.key).collect();
        assert!(keys.is_sorted());
        assert_eq!(keys[0].without(&request.prefix), first);
        assert_eq!(keys[keys.len() - 1].without(&request.prefix), last);
    }
}

#[test]
fn two_files_of_one_key_collide() {
    let texts = [("x/a.csv", "1"), ("y/a.csv", "2")];
    let error = plan_text(&request(9), &texts).unwrap_err();
    assert_eq!(error.kind(), PlanErrorKind::KeyCollision);
    let message = error.to_string();
    assert!(message.contains("\"x/a.csv\"") && message.contains("\"y/a.csv\""));
    assert!(message.contains("audience/a.csv"), "{message}");
}

#[test]
fn an_object_and_the_receipt_collide_and_so_do_unnumbered_splits() {
    let error = plan_text(&request(9), &[("daily.info", "1")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the receipt and bytes 0..1 of \"daily.info\" both")
    );

    let mut request = request(2);
    request.key = KeyTemplate::parse("{name}").unwrap();
    let error = plan_text(&request, &[("a", "1\n2\n")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("bytes 0..2 of \"a\" and bytes 2..4 of \"a\" both")
    );
}

#[test]
fn keys_that_s3_or_a_consumer_cannot_take_are_refused() {
    for (template, name) in [
        ("{name}", "a\nb"),
        ("{stem}/..", "a"),
        ("/{name}", "a"),
        ("{name}/", "a"),
        ("{ext}", "plain"),
        ("{name}", "x".repeat(1016).as_str()),
    ] {
        let mut request = request(9);
        request.key = KeyTemplate::parse(template).unwrap();
        let error = plan_text(&request, &[(name, "1")]).unwrap_err();
        assert_eq!(error.kind(), PlanErrorKind::KeyInvalid, "{error}");
        assert!(!error.to_string().contains('\n'));
    }
    let longest = "x".repeat(1015);
    assert!(plan_text(&request(9), &[(&longest, "1")]).is_ok());

    let mut request = request(9);
    request.receipt = ReceiptTemplate::parse("{timestamp}.info").unwrap();
    request.logical_time = "1969-07-20T20:17:40Z".parse().unwrap();
    let error = plan_text(&request, &[]).unwrap_err();
    assert_eq!(error.kind(), PlanErrorKind::KeyInvalid);
}

#[test]
fn too_many_objects_are_refused_before_anything_is_read() {
    let terabyte = vec![file("a", 1_000_000_000_000)];
    let error = plan(&request(1), terabyte, &mut Unasked).unwrap_err();
    assert!(matches!(
        error,
        PlanError::TooManyObjects {
            at_least: 1_000_000_000_000
        }
    ));
    let huge = vec![file("a", u64::MAX), file("b", u64::MAX)];
    let error = plan(&request(1), huge, &mut Unasked).unwrap_err();
    assert_eq!(error.kind(), PlanErrorKind::TooManyObjects);
    let many = (0..10_001).map(|n| file(&format!("{n:05}"), 0)).collect();
    let error = plan(&request(1), many, &mut Unasked).unwrap_err();
    assert!(matches!(
        error,
        PlanError::TooManyObjects { at_least: 10_001 }
    ));
    let most = (0..10_000).map(|n| file(&format!("{n:05}"), 1)).collect();
    assert!(plan(&request(1), most, &mut Unasked).is_ok());
}

#[test]
fn too_many_short_pieces_are_noticed_while_cutting() {
    // Every piece is 2 of at most 3 bytes: 9,999 would be enough by size, 14,998 are needed.
    let text = "1\n".repeat(14_998);
    let mut boundaries = InMemory {
        contents: vec![text.into()],
        delimiter: Delimiter::NEWLINE,
        asked: Vec::new(),
    };
    let files = vec![file("a", 29_996)];
    let error = plan(&request(3), files, &mut boundaries).unwrap_err();
    assert!(matches!(
        error,
        PlanError::TooManyObjects { at_least: 10_001 }
    ));
    assert!(boundaries.asked.len() <= MAX_OBJECTS);
}

#[test]
fn disorder_and_false_boundaries_are_seen() {
    let texts = [("b", "1"), ("a", "2")];
    let error = plan_text(&request(9), &texts).unwrap_err();
    assert_eq!(error.kind(), PlanErrorKind::Inconsistent);

    struct Lying(u64);
    impl Boundaries for Lying {
        fn last_record_end(&mut self, _: usize, _: ByteRange) -> io::Result<Option<u64>> {
            Ok(Some(self.0))
        }
    }
    for lie in [0, 6] {
        let error = plan(&request(5), vec![file("a", 9)], &mut Lying(lie)).unwrap_err();
        assert_eq!(error.kind(), PlanErrorKind::Unreadable);
    }
}

fn delimiters() -> impl Strategy<Value = Delimiter> {
    prop_oneof![
        Just(Delimiter::NEWLINE),
        Just(Delimiter::Byte(b'\r')),
        Just(Delimiter::Crlf),
    ]
}

/// The objects' keys, and the receipt's.
fn compressed_keys(
    template: &str,
    compression: Compression,
    files: &[(&str, &str)],
) -> Result<(Vec<String>, String), PlanError> {
    let mut request = request(4);
    request.key = KeyTemplate::parse(template).unwrap();
    request.compression = compression;
    let plan = plan_text(&request, files)?;
    let keys = shape(&plan).into_iter().map(|(key, _)| key.to_owned());
    Ok((keys.collect(), plan.receipt().to_string()))
}

#[test]
fn a_compressed_object_says_so_at_the_end_of_its_key() {
    use Compression::{Gzip, None, Zstd};
    for (template, compression, file, expected) in [
        ("{stem}{split}{ext}", Gzip, "a.csv", "a.csv.gz"),
        ("{stem}{split}{ext}", Zstd, "a.csv", "a.csv.zst"),
        ("{stem}{split}{ext}", Zstd, "plain", "plain.zst"),
        // The file is compressed once more.
        ("{name}", Gzip, "a.csv.gz", "a.csv.gz.gz"),
        // The template says it itself.
        ("f_{date}.sync.gz", Gzip, "a", "f_2026-11-24.sync.gz"),
        ("f_{date}.sync", Gzip, "a", "f_2026-11-24.sync.gz"),
        ("f.sync.gz", Zstd, "a", "f.sync.gz.zst"),
        ("f.sync.gz", None, "a", "f.sync.gz"),
    ] {
        let (keys, receipt) = compressed_keys(template, compression, &[(file, "1\n")]).unwrap();
        assert_eq!(keys, [format!("audience/{expected}")]);
        assert_eq!(receipt, "audience/daily.info");
    }
    let whole = [("a.csv", "1\n2\n3\n")];
    let (cut, _) = compressed_keys("{stem}{split}{ext}", Gzip, &whole).unwrap();
    assert_eq!(cut, ["audience/a-001.csv.gz", "audience/a-002.csv.gz"]);
}

#[test]
fn compressed_keys_collide_as_they_are_sent() {
    let two = [("a", "1\n"), ("b", "1\n")];
    let Err(PlanError::KeyCollision { key, .. }) = compressed_keys("same", Compression::Gzip, &two)
    else {
        panic!("both have the key same.gz");
    };
    assert_eq!(key.as_str(), "audience/same.gz");
    // The receipt's own key, but for what stands behind it.
    let (keys, _) = compressed_keys("daily.info", Compression::Gzip, &[("a", "1\n")]).unwrap();
    assert_eq!(keys, ["audience/daily.info.gz"]);
}

#[test]
fn the_compression_is_part_of_the_plan() {
    let of = |compression| {
        let mut request = request(4);
        request.compression = compression;
        // A template that names the same key in each case.
        request.key = KeyTemplate::parse("{stem}.gz").unwrap();
        plan_text(&request, &[("a", "1\n")]).unwrap()
    };
    let (none, gzip) = (of(Compression::None), of(Compression::Gzip));
    assert_eq!(none.objects(), gzip.objects());
    assert_ne!(none.hash(), gzip.hash());
    assert_ne!(
        gzip.hash(),
        gzip.clone().compressed(Compression::Zstd).hash()
    );
    assert_eq!(none.hash(), gzip.compressed(Compression::None).hash());
}

proptest! {
    #[test]
    fn objects_cover_their_files(
        contents in prop::collection::vec("[ab\r\n]{0,60}", 0..4),
        size in 1..20_u64,
        max_record_size in 1..30_u64,
        record in any::<bool>(),
        delimiter in delimiters(),
    ) {
        let mut request = request(size);
        request.split.max_record_size = max_record_size;
        request.split.delimiter = delimiter;
        if !record {
            request.split.boundary = Boundary::Byte;
        }
        let texts: Vec<_> = ["a.x", "b", "c", "d"].into_iter().zip(contents.iter().map(String::as_str)).collect();
        let planned = match plan_text(&request, &texts) {
            Ok(planned) => planned,
            Err(PlanError::RecordTooLong { path, offset, limit }) => {
                prop_assert!(record);
                prop_assert_eq!(limit, max_record_size.min(size));
                let content = texts.iter().find(|(p, _)| *p == path).unwrap().1.as_bytes();
                prop_assert!((offset as usize) < content.len());
                for end in offset - limit + 1..=offset {
                    prop_assert!(!ends_record(&content[..end as usize], delimiter));
                }
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert!(planned.objects().iter().map(|o| &o.key).is_sorted());
        let keys: HashSet<_> = planned.objects().iter().map(|o| &o.key).collect();
        prop_assert_eq!(keys.len(), planned.objects().len());
        for (source, (_, content)) in texts.iter().enumerate() {
            let objects = planned.objects().iter().filter(|o| o.source == source);
            let mut end = 0;
            for object in objects {
                prop_assert_eq!(object.range.offset, end);
                prop_assert!(object.range.len <= size);
                if record && end > 0 {
                    prop_assert!(ends_record(&content.as_bytes()[..end as usize], delimiter));
                }
                end = object.range.end();
            }
            prop_assert_eq!(end, content.len() as u64);
        }
        // The same again is the same.
        prop_assert_eq!(plan_text(&request, &texts).unwrap().hash(), planned.hash());
    }
}
