//! A receipt is JSON that says what was delivered, whatever the names, and adds up.
#![no_main]

#[path = "../everywhere.rs"]
mod everywhere;

use everywhere::Everywhere;
use jiff::Timestamp;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use outbound_operator::plan::{
    Compression, Crc64, Fingerprint, KeyPrefix, KeyTemplate, Md5Digest, Names, ObjectDigest,
    PlanRequest, ReceiptTemplate, SourceFile, SplitSize, SplitSpec, plan,
};
use outbound_operator::transfer::{DeliveryToken, ReceiptFacts, TokenParts, render_receipt};
use serde_json::Value;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    names: Vec<&'a str>,
    facts: [&'a str; 4],
    seconds: [i64; 3],
    prefix: &'a str,
    version: Option<&'a str>,
    md5: Option<[u8; 16]>,
    lines: u32,
}

fuzz_target!(|input: Input<'_>| {
    let (Ok(prefix), Ok(size)) = (KeyPrefix::new(input.prefix), SplitSize::new(1 << 20)) else {
        return;
    };
    let times: Vec<_> = input
        .seconds
        .iter()
        .filter_map(|second| Timestamp::from_second(*second).ok())
        .collect();
    let [created, logical_time, planned_at] = times[..] else {
        return;
    };
    let request = PlanRequest {
        split: SplitSpec::new(size),
        key: KeyTemplate::parse("{name}").unwrap(),
        receipt: ReceiptTemplate::parse("{delivery}.info").unwrap(),
        separator: "-".into(),
        prefix: prefix.clone(),
        names: Names {
            delivery: "d".into(),
            namespace: "n".into(),
            destination: "a".into(),
        },
        logical_time,
        folder: String::new(),
        compression: Compression::None,
    };
    let mut names = input.names.clone();
    names.sort_unstable();
    names.dedup();
    let file = |(number, name): (usize, &&str)| SourceFile {
        path: (*name).to_owned(),
        fingerprint: Fingerprint::File {
            size: number as u64,
            mtime_ns: 1,
            ctime_ns: 2,
        },
    };
    let files = names.iter().enumerate().map(file).collect();
    let Ok(plan) = plan(&request, files, &mut Everywhere) else {
        return;
    };
    let done: Vec<_> = plan
        .objects()
        .iter()
        .map(|object| {
            let digest = ObjectDigest {
                bytes: object.range.len,
                lines: u64::from(input.lines),
                records: 1,
                crc64: Crc64::new(u64::from(object.sequence)),
                md5: input.md5.map(Md5Digest::new),
            };
            (digest, input.version.map(str::to_owned))
        })
        .collect();
    let [namespace, name, uid, destination] = input.facts.map(str::to_owned);
    let token = DeliveryToken::new(&TokenParts {
        cluster_id: "c",
        namespace: &namespace,
        name: &name,
        destination: "h",
        plan: &plan.hash(),
    });
    let facts = ReceiptFacts {
        namespace,
        name,
        uid,
        token,
        destination,
        bucket: "b".into(),
        prefix: prefix.clone(),
        created,
        logical_time,
        planned_at,
    };
    let bytes = render_receipt(&facts, &plan, &done).unwrap();
    assert_eq!(bytes, render_receipt(&facts, &plan, &done).unwrap());
    assert_eq!(bytes.last(), Some(&b'\n'));
    let receipt: Value = serde_json::from_slice(&bytes).unwrap();
    let files = receipt["Files"].as_array().unwrap();
    assert_eq!(files.len(), plan.objects().len());
    let mut total = 0;
    for (file, object) in files.iter().zip(plan.objects()) {
        let key = format!("{}{}", prefix.as_str(), file["FileName"].as_str().unwrap());
        assert_eq!(key, object.key.as_str());
        assert_eq!(file["FileSequenceNumber"], object.sequence);
        assert_eq!(
            file["source"]["path"].as_str(),
            Some(plan.sources()[object.source].path.as_str())
        );
        total += file["FileByteSize"].as_u64().unwrap();
    }
    assert_eq!(receipt["Totals"]["TotalByteSize"], total);
    assert_eq!(
        receipt["delivery"]["name"].as_str(),
        Some(facts.name.as_str())
    );
});
