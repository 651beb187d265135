//! The table of what was measured, and its place in the documentation.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::count::{Calls, Memory, Requests};
use crate::machine::caption;
use crate::seed::Size;

const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- make scale: begin -->";
const END: &str = "<!-- make scale: end -->";

/// The size whose numbers the documentation has.
const DOCUMENTED: usize = 10_000;

/// What was measured.
#[derive(Default)]
pub(crate) struct Measured {
    size: Size,
    pub(crate) first_reconcile: Duration,
    pub(crate) all_verified: Duration,
    pub(crate) memory_verified: Memory,
    pub(crate) calls_verified: Calls,
    pub(crate) requests_verified: u64,
    pub(crate) all_delivered: Duration,
    pub(crate) first_bytes: Vec<Duration>,
    pub(crate) restarted: Duration,
    pub(crate) all_reconciled: Duration,
    pub(crate) watched_restarted: Duration,
    pub(crate) calls_restarted: Calls,
    pub(crate) requests_restarted: u64,
    pub(crate) memory_restarted: Memory,
    pub(crate) idle: Option<Idle>,
}

/// An operator that has nothing to do but proofs.
pub(crate) struct Idle {
    pub(crate) calls: Calls,
    pub(crate) requests: Requests,
    pub(crate) cpu: f64,
    pub(crate) memory: Memory,
    pub(crate) lasted: Duration,
}

impl Measured {
    pub(crate) fn new(size: &Size) -> Measured {
        Measured {
            size: size.clone(),
            ..Measured::default()
        }
    }
}

/// Prints the table, and puts it into the documentation where the size is that one's.
pub(crate) fn write(measured: &Measured) {
    let table = table(measured);
    println!("{table}");
    if measured.size.destinations != DOCUMENTED {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let text = std::fs::read_to_string(&page).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where the table ends");
    std::fs::write(&page, format!("{before}{BEGIN}\n{table}{END}{after}")).expect("write the page");
}

#[allow(
    clippy::too_many_lines,
    reason = "the rows of one table, one behind the other"
)]
fn table(measured: &Measured) -> String {
    let size = &measured.size;
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let memory = |memory: Memory| format!("{} MiB, at most {}", memory.now, memory.most);
    let proofs = size.destinations as f64 / 3600.0;
    let middle = measured.first_bytes[measured.first_bytes.len() / 2].as_millis();
    let slowest = measured.first_bytes.last().map_or(0, Duration::as_millis);
    let mut rows = vec![
        (
            "**new destinations**: first reconcile after the start",
            String::new(),
            seconds(measured.first_reconcile),
        ),
        (
            "all are verified",
            String::new(),
            seconds(measured.all_verified),
        ),
        (
            "memory then",
            "under 256 MiB".into(),
            memory(measured.memory_verified),
        ),
        (
            "calls of the apiserver, of S3",
            String::new(),
            format!(
                "{}, {}",
                measured.calls_verified.total(),
                measured.requests_verified
            ),
        ),
        (
            "**new deliveries**: from apply to the first byte, median and slowest",
            "under 1 s".into(),
            format!("{middle} ms, {slowest} ms"),
        ),
        (
            "applied at once and all complete",
            String::new(),
            format!("{} in {}", size.run, seconds(measured.all_delivered)),
        ),
        (
            "**restart**: first reconcile, all are reconciled",
            String::new(),
            format!(
                "{}, {}",
                seconds(measured.restarted),
                seconds(measured.all_reconciled)
            ),
        ),
        (
            "status writes for what did not change",
            "0".into(),
            measured.calls_restarted.status_writes().to_string(),
        ),
        (
            "calls of S3 in the first minute",
            format!(
                "some {:.0}",
                proofs * 3.0 * measured.watched_restarted.as_secs_f64()
            ),
            measured.requests_restarted.to_string(),
        ),
        (
            "memory then",
            "under 256 MiB".into(),
            memory(measured.memory_restarted),
        ),
    ];
    let idle = measured.idle.as_ref().expect("measured when idle");
    let each = |count: u64| format!("{:.2}", count as f64 / idle.lasted.as_secs_f64());
    rows.extend([
        (
            "**idle**: calls of the apiserver a second, but for the Lease",
            "under 6".into(),
            each(idle.calls.total()),
        ),
        (
            "status writes a second, where each proof writes",
            "under 3".into(),
            each(idle.calls.status_writes()),
        ),
        (
            "calls of S3 a second, most in one second",
            format!("{:.2}", proofs * 3.0),
            format!("{}, {}", each(idle.requests.total()), idle.requests.most()),
        ),
        ("memory", "under 256 MiB".into(), memory(idle.memory)),
        (
            "of one core",
            String::new(),
            format!("{:.1} %", idle.cpu * 100.0 / idle.lasted.as_secs_f64()),
        ),
    ]);
    let mut table = format!(
        "{} destinations and as many finished deliveries in {} namespaces:\n\n| | goal | measured |\n|---|---|---|\n",
        size.destinations, size.namespaces
    );
    for (what, goal, found) in rows {
        writeln!(table, "| {what} | {goal} | {found} |").expect("a text");
    }
    let calls = |calls: &Calls| {
        let each = calls
            .each()
            .into_iter()
            .map(|(call, count)| format!("{count} {call}"));
        each.collect::<Vec<_>>().join(", ")
    };
    writeln!(table, "\nCalls of the apiserver until all were verified: {}; in the minute after the restart: {}; when idle, in {}: {}.",
        calls(&measured.calls_verified), calls(&measured.calls_restarted), seconds(idle.lasted), calls(&idle.calls)).expect("a text");
    writeln!(table, "\n{}", caption()).expect("a text");
    table
}
