//! The quickstart's script, with the build that the tests have.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::process::{Leashed, Scratch};
use crate::support::wait::eventually;

/// Over all that the script waits for in turn on a machine that is busy.
const DEMO: Duration = Duration::from_secs(600);

/// How the script ended, and what it printed, where cargo has built `operator`. Its folder must be gone then.
async fn demo(operator: &Path) -> (Option<i32>, String) {
    let scratch = Scratch::new("demo");
    let cargo = scratch.path().join("cargo");
    let artifact = serde_json::json!({"executable": operator});
    let answers = format!("#!/bin/sh\ncase \"$*\" in *json*) echo '{artifact}' ;; esac\n");
    fs::write(&cargo, answers).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/demo");
    let mut command = Command::new(script);
    // In a folder of its own making: of a path as long as ours no socket can be made.
    command.env("CARGO", &cargo);
    let log = scratch.path().join("log");
    let mut running = Leashed::program(command.env_remove("KEEP"), &log);
    let status = eventually(DEMO, "the demo ends", async || {
        running.ended().ok_or("it runs")
    });
    let status = status.await;
    let printed = fs::read_to_string(&log).unwrap();
    let deleted = printed
        .lines()
        .find_map(|line| line.split_once("started, delete "));
    let (_, folder) = deleted.expect("it says what it deletes");
    assert!(!Path::new(folder).exists(), "{printed}");
    (status.code(), printed)
}

#[tokio::test]
async fn the_demo_ends_with_what_was_owed_wherever_cargo_builds() {
    let operator = Path::new(env!("CARGO_BIN_EXE_outbound-operator"));
    let (code, printed) = demo(operator).await;
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("Both deliveries were Complete"),
        "{printed}"
    );
}

#[tokio::test]
async fn the_demo_notices_at_once_that_the_operator_has_ended() {
    let scratch = Scratch::new("ends-at-once");
    let missing = scratch.path().join("outbound-operator");
    let (code, printed) = demo(&missing).await;
    assert_eq!(code, Some(1), "{printed}");
    let started = printed.split_once("$operator run --config");
    let (_, after) = started.expect("it was started");
    assert!(after.contains("operator has ended"), "{printed}");
    assert!(after.contains("No such file"), "its log: {printed}");
    // Nothing was waited for in vain: the wait for a destination would take three minutes.
    assert!(!printed.contains("timed out"), "{printed}");
}
