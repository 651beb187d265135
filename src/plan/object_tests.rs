use super::*;
use crate::plan::KeyPrefix;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(&KeyPrefix::default(), text).unwrap()
}

fn source(path: &str, size: u64) -> SourceFile {
    SourceFile {
        path: path.to_owned(),
        fingerprint: Fingerprint::File {
            size,
            mtime_ns: 10,
            ctime_ns: 20,
        },
    }
}

const fn file(size: u64, mtime_ns: i64, ctime_ns: i64) -> Fingerprint {
    Fingerprint::File {
        size,
        mtime_ns,
        ctime_ns,
    }
}

fn stored(size: u64, etag: &str) -> Fingerprint {
    let etag = etag.to_owned();
    Fingerprint::Object { size, etag }
}

fn object(sequence: u32, source: usize, offset: u64, len: u64) -> PlannedObject {
    PlannedObject {
        sequence,
        source,
        header: 0,
        range: ByteRange { offset, len },
        key: key(&format!("k{sequence}")),
    }
}

fn sources() -> Vec<SourceFile> {
    vec![source("a", 10), source("b", 0), source("c", 3)]
}

fn objects() -> Vec<PlannedObject> {
    vec![
        object(1, 0, 0, 6),
        object(2, 0, 6, 4),
        object(3, 1, 0, 0),
        object(4, 2, 0, 3),
    ]
}

fn good() -> Plan {
    Plan::restore(sources(), objects(), key("r")).unwrap()
}

#[test]
fn what_a_plan_gives_out_makes_the_same_plan() {
    let plan = good();
    let again = Plan::restore(
        plan.sources().to_vec(),
        plan.objects().to_vec(),
        plan.receipt().clone(),
    );
    assert_eq!(again.as_ref(), Ok(&plan));
    assert_eq!(plan.bytes_total(), 13);
}

type Break = fn(&mut Vec<SourceFile>, &mut Vec<PlannedObject>);

#[test]
fn broken_plans_are_refused() {
    let coverage = |path: &str| PlanInvalid::Coverage(path.to_owned());
    let cases: [(Break, PlanInvalid); 18] = [
        (|_, o| o[1].range.offset = 7, coverage("a")),
        (|_, o| o[1].range.len = 5, coverage("a")),
        (|_, o| o[1].range.len = u64::MAX, coverage("a")),
        (|_, o| o[0].range.offset = 1, coverage("a")),
        (|_, o| drop(o.remove(2)), coverage("b")),
        (|_, o| o.swap(0, 1), coverage("a")),
        (|_, o| o[3].source = 3, coverage("c")),
        (|_, o| o.push(object(5, 3, 0, 1)), PlanInvalid::NoSource(5)),
        (|_, o| o.push(object(5, 2, 3, 0)), coverage("c")),
        (
            |_, o| o[3].sequence = 5,
            PlanInvalid::Sequence {
                expected: 4,
                found: 5,
            },
        ),
        (
            |_, o| o[3].key = key("k1"),
            PlanInvalid::KeyTwice(key("k1")),
        ),
        (|_, o| o[3].key = key("r"), PlanInvalid::KeyTwice(key("r"))),
        (
            |s, _| s[1].path = "a".into(),
            PlanInvalid::SourceOrder("a".into()),
        ),
        (
            |s, o| {
                s[2].fingerprint = file(MAX_SPLIT_SIZE + 1, 10, 20);
                o[3].range.len = MAX_SPLIT_SIZE + 1;
            },
            PlanInvalid::TooLarge(4),
        ),
        (|_, o| o[0].header = 1, PlanInvalid::Header(1)),
        (|_, o| o[3].header = 1, PlanInvalid::Header(4)),
        (|_, o| o[1].header = 7, PlanInvalid::Header(2)),
        (
            |_, o| {
                o[1].range.len = 2;
                o[2] = object(3, 0, 8, 2);
                o[2].header = 2;
                o[3] = object(4, 1, 0, 0);
                o.push(object(5, 2, 0, 3));
            },
            PlanInvalid::Header(3),
        ),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        let (mut sources, mut objects) = (sources(), objects());
        change(&mut sources, &mut objects);
        let refused = Plan::restore(sources, objects, key("r"));
        assert_eq!(refused, Err(expected), "case {index}");
    }
    let sources = (0..10_001).map(|n| source(&format!("{n:05}"), 0)).collect();
    let objects = (0..10_001)
        .map(|n| object(n + 1, n as usize, 0, 0))
        .collect();
    let refused = Plan::restore(sources, objects, key("r"));
    assert_eq!(refused, Err(PlanInvalid::TooManyObjects(10_001)));
}

#[test]
fn everything_that_decides_moves_the_hash() {
    let hash = good().hash();
    assert_eq!(hash, good().hash());
    let changes: [fn(&mut Plan); 13] = [
        |p| p.sources[0].path = "A".into(),
        |p| p.sources[0].fingerprint = file(11, 10, 20),
        |p| p.sources[0].fingerprint = file(10, 11, 20),
        |p| p.sources[0].fingerprint = file(10, 10, 21),
        |p| p.sources[0].fingerprint = stored(10, "\"a\""),
        |p| p.sources[0].fingerprint = stored(10, "\"b\""),
        |p| p.objects[0].range.len += 1,
        |p| p.objects[1].range.offset += 1,
        |p| p.objects[1].source += 1,
        |p| p.objects[1].header += 1,
        |p| p.objects[1].header += 2,
        |p| p.objects[1].key = key("other"),
        |p| p.receipt = key("other"),
    ];
    let mut seen = vec![hash];
    for (index, change) in changes.into_iter().enumerate() {
        let mut plan = good();
        change(&mut plan);
        assert!(!seen.contains(&plan.hash()), "change {index}");
        seen.push(plan.hash());
    }
}

#[test]
fn the_hash_of_what_came_later_is_pinned() {
    let mut plan = good().compressed(Compression::Gzip);
    plan.sources[0].fingerprint = stored(10, "\"e\"");
    plan.sources[1].fingerprint = file(0, -10, 20);
    plan.objects[1].header = 2;
    assert_eq!(
        plan.hash().as_str(),
        "c3e3ac0aa6bcc52decbd399d46db1828e6cea977df848be6bb6324c2ec9984ea"
    );
}

#[test]
fn the_hash_is_pinned() {
    // Ledgers hold it: another value means that every running delivery would be planned anew.
    let hash = good().hash();
    assert_eq!(
        hash.as_str(),
        "69c8b718f8b0d2fdacb81db050bf8b7281c55184072a712e9d1554175cbbb69d"
    );
    let json = serde_json::to_string(&hash).unwrap();
    assert_eq!(serde_json::from_str::<PlanHash>(&json).unwrap(), hash);
    for wrong in ["\"\"", "\"zz\"", &format!("\"{}\"", "A".repeat(64))] {
        assert!(serde_json::from_str::<PlanHash>(wrong).is_err());
    }
}
