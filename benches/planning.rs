//! How fast files are cut: a sparse terabyte of lines into a thousand splits, and the pass over a CSV file's quotes
//! beside `wc -l` on the same file. Numbers are printed and never asserted: `cargo bench --bench planning`.
//!
//! `PLANNING_BYTES` is the CSV file's size (default 1 GiB); it lies in `TMPDIR`, best in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that can't be made says so by failing"
)]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outbound_operator::plan::{
    Boundaries as _, KeyPrefix, KeyTemplate, Names, Plan, PlanRequest, ReceiptTemplate,
    RecordFormat, SplitSize, SplitSpec, plan,
};
use outbound_operator::source::{PathPattern, RecordBoundaries, ScannedFiles, VolumeRoot};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "bench";

/// The argument that makes this program measure one pass and print nanoseconds: with fewer cores, say.
const PASS: &str = "--pass";

/// The best of so many runs counts: others were disturbed.
const RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == PASS) {
        println!("{}", csv_pass(Path::new(&arguments[at + 1])).as_nanos());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(NAMESPACE)).unwrap();
    sparse_terabyte(folder.path());
    let bytes = std::env::var("PLANNING_BYTES").map_or(1 << 30, |bytes| bytes.parse().unwrap());
    for (name, record) in [
        (
            "no quote",
            "1044,Lansdowne Airport,41.1304722,-80.6195833\n",
        ),
        (
            "one field in four",
            "1044,\"Lansdowne\n(\"\"LA\"\")\",41.1304722,-80.6195833\n",
        ),
        (
            "every field",
            "\"1044\",\"Lansdowne Airport\",\"41.1304722\",\"-80.6195833\"\n",
        ),
    ] {
        beside_wc(folder.path(), name, record, bytes);
    }
}

fn request(size: u64) -> PlanRequest {
    PlanRequest {
        compression: outbound_operator::plan::Compression::None,
        split: SplitSpec::new(SplitSize::new(size).unwrap()),
        key: KeyTemplate::parse(KeyTemplate::DEFAULT).unwrap(),
        receipt: ReceiptTemplate::parse(ReceiptTemplate::DEFAULT).unwrap(),
        separator: "-".into(),
        prefix: KeyPrefix::default(),
        folder: String::new(),
        names: Names {
            delivery: "d".into(),
            namespace: NAMESPACE.into(),
            destination: "t".into(),
        },
        logical_time: "2026-11-24T00:00:00Z".parse().unwrap(),
    }
}

/// Scans and plans `path`; also gives the bytes that were read.
fn planned(folder: &Path, path: &str, size: u64) -> (Plan, u64) {
    let root = VolumeRoot::open(folder, NAMESPACE).unwrap();
    let files = root
        .scan(
            &PathPattern::parse(path).unwrap(),
            &CancellationToken::new(),
        )
        .unwrap();
    let scanned = ScannedFiles::new(&root, &files);
    let stop = CancellationToken::new();
    let mut boundaries = RecordBoundaries::new(scanned, RecordFormat::default(), stop);
    let planned = plan(&request(size), files.clone(), &mut boundaries).unwrap();
    let read = boundaries.bytes_read();
    (planned, read)
}

/// A file of 10^12 bytes and no block, but for a newline some thousand bytes before each cut.
fn sparse_terabyte(folder: &Path) {
    const TERABYTE: u64 = 1_000_000_000_000;
    const SPLIT: u64 = 1_001_000_000;
    let file = File::create(folder.join(NAMESPACE).join("lines.txt")).unwrap();
    file.set_len(TERABYTE).unwrap();
    let mut end = 0;
    for number in 0.. {
        // Up to 50 kB before the cut.
        end += SPLIT - 1 - number * 997 % 50_000;
        if end > TERABYTE {
            break;
        }
        file.write_at(b"\n", end - 1).unwrap();
    }
    let begun = Instant::now();
    let (plan, read) = planned(folder, "lines.txt", SPLIT);
    println!(
        "1 TB of lines, sparse, into {} splits: {:.1} ms, {:.1} MiB read",
        plan.objects().len(),
        begun.elapsed().as_secs_f64() * 1e3,
        read as f64 / f64::from(1 << 20),
    );
}

fn beside_wc(folder: &Path, name: &str, record: &str, bytes: usize) {
    let path = folder.join(NAMESPACE).join("table.csv");
    let mut file = File::create(&path).unwrap();
    let block = record.repeat((1 << 20) / record.len());
    for _ in 0..bytes / block.len() {
        file.write_all(block.as_bytes()).unwrap();
    }
    drop(file);
    let wc = best(|| {
        let begun = Instant::now();
        let mut wc = Command::new("wc");
        let status = wc.arg("-l").arg(&path).stdout(Stdio::null()).status();
        assert!(status.unwrap().success());
        begun.elapsed()
    });
    let itself = std::env::current_exe().unwrap();
    // One core is one thread: the program asks the system how many it may use.
    let on = |cores: &str| {
        best(|| {
            let mut pass = Command::new("taskset");
            pass.args(["-c", cores]).arg(&itself).arg(PASS).arg(&path);
            let output = pass.output().unwrap();
            let nanoseconds = String::from_utf8(output.stdout).unwrap();
            Duration::from_nanos(nanoseconds.trim().parse().unwrap())
        })
    };
    let cores = std::thread::available_parallelism().unwrap().get();
    let (one, all) = (on("0"), on(&format!("0-{}", cores - 1)));
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / f64::from(1 << 30);
    println!(
        "CSV, quotes: {name}: wc -l {:.2} GiB/s; one thread {:.2} GiB/s, {:.2} times that; {cores} cores {:.2} GiB/s, \
         {:.2} times",
        rate(wc),
        rate(one),
        wc.as_secs_f64() / one.as_secs_f64(),
        rate(all),
        wc.as_secs_f64() / all.as_secs_f64(),
    );
}

fn best(mut run: impl FnMut() -> Duration) -> Duration {
    (0..RUNS).map(|_| run()).min().unwrap()
}

/// One pass over the quotes of a file, as planning makes it.
fn csv_pass(path: &Path) -> Duration {
    let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap());
    let namespace = folder.file_name().unwrap().to_str().unwrap();
    let root = VolumeRoot::open(folder.parent().unwrap(), namespace).unwrap();
    let pattern = PathPattern::parse(name.to_str().unwrap()).unwrap();
    let files = root.scan(&pattern, &CancellationToken::new()).unwrap();
    let scanned = ScannedFiles::new(&root, &files);
    let stop = CancellationToken::new();
    let mut csv = RecordBoundaries::new(scanned, RecordFormat::Csv, stop);
    let begun = Instant::now();
    assert!(csv.is_closed(0, files[0].fingerprint.size()).unwrap());
    begun.elapsed()
}
