//! How fast objects are compressed, beside the programs that people compress with: `cargo bench --bench compression`.
//!
//! All of them in one run and over the same bytes, so that what counts is the ratio: a machine's speed isn't ours.
//! The bytes are those of the file that is named as the argument, or a table of 256 MiB.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement ends where it can't go on"
)]

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outbound_operator::plan::Compression;
use outbound_operator::transfer::compress;

/// Bytes of the table that is made where no file is named.
const TABLE: usize = 256 << 20;

/// Rounds, of which the fastest counts: what disturbs it only makes it slower.
const ROUNDS: u32 = 3;

/// Counts what is written to it.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hourly measurements, as a weather service's tables have them.
fn table(path: &Path) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut text = String::with_capacity(TABLE + 200);
    let mut temperature = 40.0;
    for row in 0.. {
        if text.len() >= TABLE {
            break;
        }
        temperature += random.f64() * 4.0 - 2.0;
        text.push_str(&format!(
            "{},2026,{},{},{},{temperature:.2},{:.2},{},{:.5},{}\n",
            ["EWR", "JFK", "LGA"][random.usize(..3)],
            row / 720 % 12 + 1,
            row / 24 % 30 + 1,
            row % 24,
            random.f64() * 100.0,
            random.u16(..36) * 10,
            f64::from(random.u16(..30)) * 1.15078,
            random.u8(..11),
        ));
    }
    std::fs::write(path, text).expect("room for the table");
}

/// The fastest of some rounds, and the bytes that came out.
fn fastest(mut round: impl FnMut() -> u64) -> (Duration, u64) {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        let bytes = round();
        (begun.elapsed(), bytes)
    });
    rounds.min().expect("a round")
}

fn ours(compression: Compression, path: &Path) -> (Duration, u64) {
    fastest(|| {
        let mut file = File::open(path).unwrap();
        let len = file.metadata().unwrap().len();
        let mut out = Counted(0);
        compress(compression, len, &mut file, &mut out).unwrap();
        out.0
    })
}

/// A program's, where it is installed.
fn program(command: &[&str], path: &Path) -> Option<(Duration, u64)> {
    Command::new(command[0]).arg("--version").output().ok()?;
    Some(fastest(|| {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdin(File::open(path).unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = 0;
        loop {
            match out.read(&mut buffer).unwrap() {
                0 => break,
                read => bytes += read as u64,
            }
        }
        assert!(child.wait().unwrap().success(), "{command:?}");
        bytes
    }))
}

fn main() {
    let named = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let scratch = tempfile::tempdir().unwrap();
    let path = named.map_or_else(|| scratch.path().join("table.csv"), PathBuf::from);
    if !path.exists() {
        table(&path);
    }
    let len = std::fs::metadata(&path).unwrap().len();
    println!(
        "{} MiB, {} cores",
        len >> 20,
        std::thread::available_parallelism().unwrap()
    );
    println!("{:<16} {:>10} {:>10} {:>10}", "", "MB/s", "of ours", "size");
    let others: [(&str, Compression, &[&[&str]]); 2] = [
        (
            "ours, gzip",
            Compression::Gzip,
            &[&["gzip", "-6", "-c"], &["pigz", "-6", "-c"]],
        ),
        (
            "ours, zstd",
            Compression::Zstd,
            &[
                &["zstd", "-3", "-c", "-q"],
                &["zstd", "-3", "-c", "-q", "-T0"],
            ],
        ),
    ];
    for (name, compression, commands) in others {
        let (own, bytes) = ours(compression, &path);
        let line = |name: &str, time: Duration, bytes: u64| {
            println!(
                "{name:<16} {:>10.0} {:>9.2}x {:>9.1}%",
                len as f64 / 1e6 / time.as_secs_f64(),
                own.as_secs_f64() / time.as_secs_f64(),
                bytes as f64 * 100.0 / len as f64,
            );
        };
        line(name, own, bytes);
        for command in commands {
            match program(command, &path) {
                Some((time, bytes)) => line(&command.join(" "), time, bytes),
                None => println!("{:<16} {:>10}", command[0], "missing"),
            }
        }
    }
}
