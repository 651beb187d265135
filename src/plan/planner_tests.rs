use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::plan::{Boundary, Delimiter, Fingerprint, Header, RecordFormat, SplitSize};

/// Files in memory, searched as plainly as can be.
struct InMemory {
    contents: Vec<Vec<u8>>,
    records: RecordFormat,
    asked: Vec<ByteRange>,
}

impl Boundaries for InMemory {
    fn last_record_end(&mut self, source: usize, window: ByteRange) -> io::Result<Option<u64>> {
        self.asked.push(window);
        let content = &self.contents[source];
        let mut ends = (window.offset + 1..=window.end()).rev();
        Ok(ends.find(|end| ends_record(&content[..*end as usize], self.records)))
    }

    fn first_record_end(&mut self, source: usize, limit: u64) -> io::Result<Option<u64>> {
        let content = &self.contents[source];
        Ok((1..=limit).find(|end| ends_record(&content[..*end as usize], self.records)))
    }

    fn is_closed(&mut self, source: usize, len: u64) -> io::Result<bool> {
        let content = &self.contents[source];
        assert_eq!(content.len() as u64, len);
        Ok(self.records != RecordFormat::Csv || !in_quotes(content))
    }
}

/// Whether what follows `content` stands in quotes, by the grammar of RFC 4180 rather than by counting.
fn in_quotes(content: &[u8]) -> bool {
    let (mut quoted, mut rest) = (false, content);
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        quoted = match (quoted, byte) {
            // A doubled quote is a character of the field.
            (true, b'"') if rest.first() == Some(&b'"') => {
                rest = &rest[1..];
                true
            }
            (true, b'"') => false,
            (false, b'"') => true,
            (quoted, _) => quoted,
        };
    }
    quoted
}

fn ends_record(content: &[u8], records: RecordFormat) -> bool {
    match records {
        RecordFormat::Lines(Delimiter::Byte(byte)) => content.last() == Some(&byte),
        RecordFormat::Lines(Delimiter::Crlf) => content.ends_with(b"\r\n"),
        RecordFormat::Csv => content.ends_with(b"\n") && !in_quotes(content),
    }
}

/// For plans that must not look at any file.
struct Unasked;

impl Boundaries for Unasked {
    fn last_record_end(&mut self, source: usize, _: ByteRange) -> io::Result<Option<u64>> {
        Err(io::Error::other(format!("file {source} was read")))
    }

    fn first_record_end(&mut self, source: usize, _: u64) -> io::Result<Option<u64>> {
        Err(io::Error::other(format!("file {source} was read")))
    }

    fn is_closed(&mut self, source: usize, _: u64) -> io::Result<bool> {
        Err(io::Error::other(format!("file {source} was read")))
    }
}

fn file(path: &str, size: u64) -> SourceFile {
    let fingerprint = Fingerprint::File {
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
        folder: "in/".into(),
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
        records: request.split.records,
        asked: Vec::new(),
    };
    plan(request, files.collect(), &mut boundaries)
}

/// Keys and lengths.
fn shape(plan: &Plan) -> Vec<(&str, u64)> {
    let objects = plan.objects().iter();
    objects.map(|o| (o.key.as_str(), o.len())).collect()
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
    request.split.records = RecordFormat::Lines(Delimiter::Crlf);
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
        records: RecordFormat::default(),
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

        fn first_record_end(&mut self, _: usize, _: u64) -> io::Result<Option<u64>> {
            Ok(Some(self.0))
        }

        fn is_closed(&mut self, _: usize, _: u64) -> io::Result<bool> {
            Ok(true)
        }
    }
    for lie in [0, 6] {
        let error = plan(&request(5), vec![file("a", 9)], &mut Lying(lie)).unwrap_err();
        assert_eq!(error.kind(), PlanErrorKind::Unreadable);
        let error = plan(&with_header(5), vec![file("a", 9)], &mut Lying(lie)).unwrap_err();
        assert_eq!(error.kind(), PlanErrorKind::Unreadable);
    }
}

fn with_header(size: u64) -> PlanRequest {
    let mut request = request(size);
    request.split.header = Header::Repeat;
    request
}

/// Repeated bytes, offset and length of each object.
fn cuts(plan: &Plan) -> Vec<(u64, u64, u64)> {
    let objects = plan.objects().iter();
    objects
        .map(|o| (o.header, o.range.offset, o.range.len))
        .collect()
}

#[test]
fn a_header_opens_every_split_and_counts_in_its_size() {
    let text = "id\n1\n22\n3\n4444\n5";
    let planned = plan_text(&with_header(8), &[("a", text)]).unwrap();
    assert_eq!(
        cuts(&planned),
        [(0, 0, 8), (3, 8, 2), (3, 10, 5), (3, 15, 1)]
    );
    let lens: Vec<_> = planned.objects().iter().map(PlannedObject::len).collect();
    assert_eq!(lens, [8, 5, 8, 4]);
    assert_eq!(planned.bytes_total(), 25);
    // What isn't cut repeats nothing, and isn't read.
    let whole = vec![file("a", 18), file("b", 0)];
    let planned = plan(&with_header(18), whole, &mut Unasked).unwrap();
    assert_eq!(cuts(&planned), [(0, 0, 18), (0, 0, 0)]);
    // A last record that fits exactly, and one byte that doesn't.
    let exact = plan_text(&with_header(8), &[("a", "id\n1234\n6789\n")]).unwrap();
    assert_eq!(cuts(&exact), [(0, 0, 8), (3, 8, 5)]);
    let error = plan_text(&with_header(7), &[("a", "id\n1234\n6789\n")]).unwrap_err();
    assert_eq!(error.kind(), PlanErrorKind::RecordTooLong);
}

#[test]
fn a_header_that_leaves_no_room_is_refused() {
    for (text, size, most) in [
        ("header\n1\n2\n", 7, 100),
        ("header\n1\n2\n", 8, 6),
        ("header without an end", 8, 100),
    ] {
        let mut request = with_header(size);
        request.split.max_record_size = most;
        let error = plan_text(&request, &[("a", text)]).unwrap_err();
        assert_eq!(error.kind(), PlanErrorKind::RecordTooLong);
        let limit = size.min(most);
        let words = format!("does not end in the file's first {limit} bytes or leaves no room");
        assert!(error.to_string().contains(&words), "{error}");
    }
}

#[test]
fn a_quoted_newline_is_no_place_to_cut() {
    let mut csv = request(12);
    csv.split.records = RecordFormat::Csv;
    let text = "1,\"x\ny\"\n2,\"\n\"\n3,z";
    let planned = plan_text(&csv, &[("a", text)]).unwrap();
    assert_eq!(cuts(&planned), [(0, 0, 8), (0, 8, 9)]);
    csv.split.header = Header::Repeat;
    csv.split.size = SplitSize::new(14).unwrap();
    let planned = plan_text(&csv, &[("a", text)]).unwrap();
    assert_eq!(cuts(&planned), [(0, 0, 14), (8, 14, 3)]);
    // One quote too many: cuts behind it would be anywhere.
    let error = plan_text(&csv, &[("a", "1,\"x\"\n2\n5\" wide\n")]).unwrap_err();
    assert_eq!(error.kind(), PlanErrorKind::NotCsv);
    assert!(
        error.to_string().contains("odd number of quotes"),
        "{error}"
    );
}

#[test]
fn a_path_is_the_folders_below_the_sources_own() {
    let mut request = request(2);
    request.key = KeyTemplate::parse("{path}{stem}{split}{ext}").unwrap();
    let texts = [("in/a.csv", "1"), ("in/x/y/b.csv", "1\n2\n"), ("out/c", "")];
    let planned = plan_text(&request, &texts).unwrap();
    let keys: Vec<_> = shape(&planned).into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "audience/a.csv",
            "audience/x/y/b-001.csv",
            "audience/x/y/b-002.csv",
            "audience/out/c"
        ]
    );
}

/// The AAM's names: the split's number right behind 13 digits of milliseconds.
#[test]
fn keys_can_be_those_of_audience_manager() {
    let mut request = request(2);
    request.key =
        KeyTemplate::parse("S3_1234_20914_XYZCustomer_full_{timestamp}{split}.sync").unwrap();
    request.separator = String::new();
    request.logical_time = "2017-02-03T16:54:04Z".parse().unwrap();
    let split = plan_text(&request, &[("a", "1\n2\n")]).unwrap();
    assert_eq!(
        split.objects()[0].key.without(&request.prefix),
        "S3_1234_20914_XYZCustomer_full_1486140844000001.sync"
    );
    let whole = plan_text(&request, &[("a", "1\n")]).unwrap();
    assert_eq!(
        whole.objects()[0].key.without(&request.prefix),
        "S3_1234_20914_XYZCustomer_full_1486140844000.sync"
    );
}

fn formats() -> impl Strategy<Value = RecordFormat> {
    prop_oneof![
        Just(RecordFormat::Lines(Delimiter::NEWLINE)),
        Just(RecordFormat::Lines(Delimiter::Byte(b'\r'))),
        Just(RecordFormat::Lines(Delimiter::Crlf)),
        Just(RecordFormat::Csv),
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

fn headers() -> impl Strategy<Value = Header> {
    prop_oneof![Just(Header::None), Just(Header::Repeat)]
}

/// Whether that error is right about that file.
fn is_justified(request: &PlanRequest, error: &PlanError, content: &[u8]) -> bool {
    let split = &request.split;
    let ends = |end: u64| ends_record(&content[..end as usize], split.records);
    let size = split.size.bytes();
    match *error {
        PlanError::RecordTooLong { offset, limit, .. } => {
            let len = content.len() as u64;
            split.boundary == Boundary::Record
                && limit <= split.max_record_size.min(size)
                && offset < len
                && !(offset - limit + 1..=offset).any(ends)
        }
        PlanError::HeaderTooLong { limit, .. } => {
            split.header == Header::Repeat
                && limit == split.max_record_size.min(size)
                && !(1..=limit.min(size - 1)).any(ends)
        }
        PlanError::QuoteUnclosed { .. } => split.records == RecordFormat::Csv && in_quotes(content),
        _ => false,
    }
}

proptest! {
    #[test]
    fn objects_cover_their_files(
        contents in prop::collection::vec("[ab\r\n\"]{0,60}", 0..4),
        size in 1..20_u64,
        max_record_size in 1..30_u64,
        record in any::<bool>(),
        records in formats(),
        header in headers(),
    ) {
        let mut request = request(size);
        request.split.max_record_size = max_record_size;
        request.split.records = records;
        if record {
            request.split.header = header;
        } else {
            request.split.boundary = Boundary::Byte;
        }
        let texts: Vec<_> = ["a.x", "b", "c", "d"].into_iter().zip(contents.iter().map(String::as_str)).collect();
        let planned = match plan_text(&request, &texts) {
            Ok(planned) => planned,
            Err(error) => {
                let (PlanError::RecordTooLong { path, .. }
                | PlanError::HeaderTooLong { path, .. }
                | PlanError::QuoteUnclosed { path }) = &error
                else {
                    return Err(TestCaseError::fail(error.to_string()));
                };
                let content = texts.iter().find(|(p, _)| p == path).unwrap().1.as_bytes();
                prop_assert!(is_justified(&request, &error, content), "{error}");
                return Ok(());
            }
        };
        prop_assert!(planned.objects().iter().map(|o| &o.key).is_sorted());
        let keys: HashSet<_> = planned.objects().iter().map(|o| &o.key).collect();
        prop_assert_eq!(keys.len(), planned.objects().len());
        for (source, (_, content)) in texts.iter().enumerate() {
            let content = content.as_bytes();
            let ends = |end: u64| ends_record(&content[..end as usize], records);
            let mut end = 0;
            for object in planned.objects().iter().filter(|o| o.source == source) {
                prop_assert_eq!(object.range.offset, end);
                prop_assert!(object.len() <= size);
                let repeated = end > 0 && record && header == Header::Repeat;
                prop_assert_eq!(object.header > 0, repeated);
                if repeated {
                    prop_assert!((1..=end).find(|end| ends(*end)) == Some(object.header));
                }
                end = object.range.end();
                if record && end < content.len() as u64 {
                    prop_assert!(ends(end));
                    let next = (end + 1..=content.len() as u64).find(|end| ends(*end));
                    let with_next = next.unwrap_or(content.len() as u64) - object.range.offset;
                    prop_assert!(object.header + with_next > size, "one more would have fitted");
                }
            }
            prop_assert_eq!(end, content.len() as u64);
        }
        // The same again is the same.
        prop_assert_eq!(plan_text(&request, &texts).unwrap().hash(), planned.hash());
    }
}
