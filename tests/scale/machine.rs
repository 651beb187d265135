//! When, of which commit and on what it was measured: no number without it.

use std::fs;
use std::process::Command;

use jiff::Timestamp;

/// What stands below a table.
pub(crate) fn caption() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}; outbound-operator {}; {cores} cores, {}, Linux {}.",
        Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        commit(),
        memory(),
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .expect("the kernel's release")
            .trim(),
    )
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
        git.output()
    };
    let Ok(short) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let short = String::from_utf8_lossy(&short.stdout).trim().to_owned();
    // What the page itself says isn't what was measured.
    let paths = ["src", "Cargo.lock", "Cargo.toml"];
    let changed = git(&[&["diff", "--quiet", "HEAD", "--"][..], &paths].concat());
    match changed {
        _ if short.is_empty() => "unknown".to_owned(),
        Ok(changed) if changed.status.success() => short,
        _ => format!("{short} with changes"),
    }
}

fn memory() -> String {
    let facts = fs::read_to_string("/proc/meminfo").expect("the memory's size");
    let total = facts
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"));
    let kib: u64 = total
        .and_then(|kib| kib.trim().parse().ok())
        .expect("MemTotal");
    format!("{:.0} GiB", kib as f64 / f64::from(1 << 20))
}
