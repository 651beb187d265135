//! Whatever template, prefix and file name there are: a key is one that S3 takes, below the prefix, or there is none.
#![no_main]

#[path = "../everywhere.rs"]
mod everywhere;

use everywhere::Everywhere;
use jiff::Timestamp;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use outbound_operator::plan::{
    Compression, Fingerprint, KeyPrefix, KeyTemplate, MAX_KEY_BYTES, Names, PlanRequest,
    ReceiptTemplate, SourceFile, SplitSize, SplitSpec, plan,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    key: &'a str,
    receipt: &'a str,
    prefix: &'a str,
    separator: &'a str,
    path: &'a str,
    names: (&'a str, &'a str, &'a str),
    second: i64,
    size: u16,
}

fuzz_target!(|input: Input<'_>| {
    let (Ok(key), Ok(receipt)) = (
        KeyTemplate::parse(input.key),
        ReceiptTemplate::parse(input.receipt),
    ) else {
        return;
    };
    let (Ok(prefix), Ok(logical_time)) = (
        KeyPrefix::new(input.prefix),
        Timestamp::from_second(input.second),
    ) else {
        return;
    };
    let Ok(size) = SplitSize::new(100) else {
        return;
    };
    let (delivery, namespace, destination) = input.names;
    let request = PlanRequest {
        split: SplitSpec::new(size),
        key,
        receipt,
        separator: input.separator.to_owned(),
        prefix: prefix.clone(),
        names: Names {
            delivery: delivery.to_owned(),
            namespace: namespace.to_owned(),
            destination: destination.to_owned(),
        },
        logical_time,
        folder: String::new(),
        compression: Compression::None,
    };
    let file = SourceFile {
        path: input.path.to_owned(),
        fingerprint: Fingerprint::File {
            size: u64::from(input.size) % 1000,
            mtime_ns: 0,
            ctime_ns: 0,
        },
    };
    let Ok(plan) = plan(&request, vec![file], &mut Everywhere) else {
        return;
    };
    for key in plan
        .objects()
        .iter()
        .map(|object| &object.key)
        .chain([plan.receipt()])
    {
        let text = key.as_str();
        assert!(
            text.starts_with(prefix.as_str()) && text.len() <= MAX_KEY_BYTES,
            "{text:?}"
        );
        assert!(!text.chars().any(char::is_control), "{text:?}");
        let rest = key.without(&prefix);
        assert!(!rest.is_empty());
        assert!(
            rest.split('/').all(|part| !matches!(part, "" | "." | "..")),
            "{text:?}"
        );
    }
    let keys: Vec<&str> = plan
        .objects()
        .iter()
        .map(|object| object.key.as_str())
        .collect();
    let mut unique = keys.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), keys.len(), "two objects under one key");
});
