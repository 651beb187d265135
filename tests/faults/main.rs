//! Whatever goes wrong between the operator and its servers, a delivery ends as promised.
//!
//! `make faults` runs every plan, `make faults PLAN=file` one; `make test` a sample of 40. Plans that failed are
//! kept in `tests/faults/failed/`, with what was seen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the way a test fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod observe;
mod plan;
mod run;
mod workload;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use outbound_operator::yaml;
use plan::Plan;

/// Plans at once: most of a plan's time is waiting, and all the more so where it is quiet for longer.
const AT_ONCE: usize = 6;
const AT_ONCE_OF_ALL: usize = 14;

/// What `make test` runs of all plans.
const SAMPLE: usize = 40;

/// The sample's seed; `OUTBOUND_FAULT_SEED` is another.
const SEED: u64 = 4;

/// How long nothing may be written once a delivery has settled.
const QUIET: Duration = Duration::from_secs(2);
const QUIET_OF_ALL: Duration = Duration::from_secs(10);

struct Line {
    name: String,
    seconds: f64,
    problems: Vec<String>,
}

#[test]
fn a_sample_of_all_plans() {
    let seed = std::env::var("OUTBOUND_FAULT_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let plans = plan::sample(plan::matrix(6), SAMPLE, seed);
    assert_eq!(plans.len(), SAMPLE);
    run_all(plans, QUIET, AT_ONCE);
}

#[test]
#[ignore = "takes a quarter of an hour: make faults"]
fn every_plan() {
    let mut plans = plan::matrix(20);
    assert!(plans.len() >= 200, "{}", plans.len());
    if let Ok(only) = std::env::var("OUTBOUND_FAULT_ONLY") {
        plans.retain(|plan| plan.name().contains(&only));
    }
    // The longest first.
    plans.sort_by_key(|plan| !plan.hangs());
    run_all(plans, QUIET_OF_ALL, AT_ONCE_OF_ALL);
}

#[test]
#[ignore = "needs a plan: make faults PLAN=file"]
fn one_plan() {
    let file = std::env::var("OUTBOUND_FAULT_PLAN").expect("OUTBOUND_FAULT_PLAN names a file");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let plan: Plan = yaml::read(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    run_all(vec![plan], QUIET, 1);
}

#[test]
fn a_plan_is_the_same_after_a_trip_through_its_file_and_has_a_name_of_its_own() {
    let plans = plan::matrix(20);
    let mut names: Vec<String> = plans.iter().map(Plan::name).collect();
    for plan in &plans {
        assert_eq!(
            &yaml::read::<Plan>(&yaml::write(plan).unwrap()).unwrap(),
            plan
        );
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), plans.len());
}

/// Runs them side by side, prints a table, and fails when one failed.
fn run_all(plans: Vec<Plan>, quiet: Duration, at_once: usize) {
    let begun = Instant::now();
    let (waiting, lines) = (Mutex::new(VecDeque::from(plans)), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().pop_front();
                    let Some(plan) = next else { return };
                    let line = run_one(&plan, quiet);
                    print(&line);
                    lines.lock().unwrap().push(line);
                }
            });
        }
    });
    let lines = lines.into_inner().unwrap();
    let failed: Vec<&Line> = lines
        .iter()
        .filter(|line| !line.problems.is_empty())
        .collect();
    let count = lines.len();
    eprintln!(
        "{} of {count} plans kept every promise, in {:.0} s",
        count - failed.len(),
        begun.elapsed().as_secs_f64()
    );
    let names: Vec<_> = failed
        .iter()
        .map(|line| format!("{}: {}", line.name, line.problems.join("; ")))
        .collect();
    assert!(
        failed.is_empty(),
        "failed plans are kept in tests/faults/failed:\n{}",
        names.join("\n")
    );
}

fn print(line: &Line) {
    let verdict = if line.problems.is_empty() {
        "ok  "
    } else {
        "FAIL"
    };
    eprintln!("{verdict} {:5.1} s  {}", line.seconds, line.name);
    for problem in &line.problems {
        eprintln!("       {}", problem.replace('\n', "\n       "));
    }
}

fn run_one(plan: &Plan, quiet: Duration) -> Line {
    let begun = Instant::now();
    let name = plan.name();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    // A panic of the environment is that plan's problem, not the end of all others.
    let ended = std::panic::catch_unwind(|| runtime.block_on(run::run(plan, quiet)));
    runtime.shutdown_background();
    let outcome = ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        run::Outcome {
            problems: vec![format!("environment: {}", text.unwrap_or_default())],
            evidence: String::new(),
        }
    });
    if !outcome.problems.is_empty() {
        keep(&name, plan, &outcome);
    }
    Line {
        name,
        seconds: begun.elapsed().as_secs_f64(),
        problems: outcome.problems,
    }
}

/// Keeps a failed plan, and beside it what was seen.
fn keep(name: &str, plan: &Plan, outcome: &run::Outcome) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/failed");
    std::fs::create_dir_all(&folder).unwrap();
    let file = |ending: &str| -> PathBuf { folder.join(format!("{name}.{ending}")) };
    std::fs::write(file("yaml"), yaml::write(plan).unwrap()).unwrap();
    let problems = outcome.problems.join("\n");
    std::fs::write(file("log"), format!("{problems}\n\n{}", outcome.evidence)).unwrap();
}
