//! How the operator does with ten thousand destinations and ten thousand deliveries: `make scale`.
//!
//! It measures and asserts no time. What must hold at any size (no list in a reconcile, no write of what didn't change)
//! `make test` holds, in `tests/e2e/scale.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the way a test fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod count;
mod machine;
mod report;
mod seed;

use std::time::{Duration, Instant};

use count::{Calls, Memory};
use report::{Idle, Measured};
use seed::{Cluster, Size};
use support::Operator;
use support::proxy::Kind;

/// How long anything may take that is waited for; only a failure waits it out.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Between two looks at the operator's metrics, which go through all objects.
const LOOK: Duration = Duration::from_millis(250);

/// How long the operator is watched after a restart that should make it do nothing.
const AFTER_RESTART: Duration = Duration::from_secs(60);

/// How long it is watched when idle, in seconds; `SCALE_IDLE` is another.
const IDLE: u64 = 300;

/// Deliveries, one after the other, of which the time to the first byte is taken.
const ALONE: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a quarter of an hour: make scale"]
async fn ten_thousand_objects() {
    let size = Size::from_environment();
    let mut cluster = Cluster::start(&size).await;
    let seeding = Instant::now();
    cluster.seed(&size).await;
    say("seeded", seeding);
    let mut measured = Measured::new(&size);

    verify_all(&mut cluster, &size, &mut measured).await;
    deliver_some(&mut cluster, &size, &mut measured).await;
    restart(&mut cluster, &size, &mut measured).await;
    idle(&mut cluster, &size, &mut measured).await;

    report::write(&measured);
}

/// From an operator that begins to all destinations verified.
async fn verify_all(cluster: &mut Cluster, size: &Size, measured: &mut Measured) {
    let (calls, requests) = (Calls::now(cluster).await, cluster.store_requests());
    let begun = Instant::now();
    cluster.operator.restart();
    first_reconcile(&cluster.operator).await;
    measured.first_reconcile = begun.elapsed();
    let verified = "outbound_destinations{ready=\"True\",reason=\"Verified\"}";
    reaches(&cluster.operator, verified, size.destinations + 1).await;
    measured.all_verified = begun.elapsed();
    say("verified", begun);
    measured.memory_verified = Memory::of(&cluster.operator);
    measured.calls_verified = Calls::now(cluster).await.since(&calls);
    measured.requests_verified = cluster.store_requests().since(&requests).total();
}

/// Some deliveries at once, then some one after the other.
async fn deliver_some(cluster: &mut Cluster, size: &Size, measured: &mut Measured) {
    let finished = "outbound_deliveries_finished_total{reason=\"Delivered\"}";
    let begun = Instant::now();
    for number in 0..size.run {
        cluster.deliver(&format!("run-{number}")).await;
    }
    reaches(&cluster.operator, finished, size.run).await;
    measured.all_delivered = begun.elapsed();
    say("delivered", begun);
    for number in 0..ALONE {
        let name = format!("alone-{number}");
        let applied = cluster.deliver(&name).await;
        reaches(&cluster.operator, finished, size.run + number + 1).await;
        let records = cluster.wire.records();
        let first = records
            .iter()
            .find(|record| record.kind == Kind::FirstPart && record.subject.contains(&name))
            .expect("its first byte");
        measured.first_bytes.push(first.begun - applied);
    }
    measured.first_bytes.sort();
}

/// A restart at which nothing has changed.
async fn restart(cluster: &mut Cluster, size: &Size, measured: &mut Measured) {
    cluster.operator.terminate();
    let (calls, requests) = (Calls::now(cluster).await, cluster.store_requests());
    let begun = Instant::now();
    cluster.operator.restart();
    first_reconcile(&cluster.operator).await;
    measured.restarted = begun.elapsed();
    for (kind, objects) in [
        ("OutboundDestination", size.destinations + 1),
        ("OutboundDelivery", size.deliveries + 1),
    ] {
        let series = format!("outbound_reconcile_duration_seconds_count{{kind=\"{kind}\"}}");
        reaches(&cluster.operator, &series, objects).await;
    }
    measured.all_reconciled = begun.elapsed();
    tokio::time::sleep(AFTER_RESTART).await;
    measured.calls_restarted = Calls::now(cluster).await.since(&calls);
    measured.requests_restarted = cluster.store_requests().since(&requests).total();
    measured.watched_restarted = begun.elapsed();
    measured.memory_restarted = Memory::of(&cluster.operator);
    say("restarted", begun);
}

/// Nothing happens but the proofs that are due. Each of them finds a status over an hour old, the most that it may
/// have to write.
async fn idle(cluster: &mut Cluster, size: &Size, measured: &mut Measured) {
    cluster.operator.terminate();
    cluster.age(size).await;
    cluster.operator.restart();
    let series = "outbound_reconcile_duration_seconds_count{kind=\"OutboundDelivery\"}";
    reaches(&cluster.operator, series, size.deliveries).await;
    let (calls, requests) = (Calls::now(cluster).await, cluster.store_requests());
    let cpu = count::cpu(&cluster.operator);
    let begun = Instant::now();
    tokio::time::sleep(size.idle).await;
    let lasted = begun.elapsed();
    measured.idle = Some(Idle {
        calls: Calls::now(cluster).await.since(&calls),
        requests: cluster.store_requests().since(&requests),
        cpu: count::cpu(&cluster.operator) - cpu,
        memory: Memory::of(&cluster.operator),
        lasted,
    });
    say("idle", begun);
}

/// Waits until the operator has reconciled anything.
async fn first_reconcile(operator: &Operator) {
    let series = "outbound_reconcile_duration_seconds_count{kind=\"OutboundDestination\"}";
    reaches(operator, series, 1).await;
}

async fn reaches(operator: &Operator, series: &str, least: usize) {
    let begun = Instant::now();
    let mut told = begun;
    loop {
        let now = operator.metric(series).unwrap_or_default();
        if now >= least as f64 {
            return;
        }
        let late = begun.elapsed() > PATIENCE;
        assert!(
            !late,
            "{series} is {now} of {least}: {}",
            operator.log_tail()
        );
        if told.elapsed() > Duration::from_secs(20) {
            told = Instant::now();
            eprintln!("    {series}: {now} of {least}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn say(what: &str, since: Instant) {
    eprintln!("{what}, in {:.1} s", since.elapsed().as_secs_f64());
}
