//! What GitOps tools and `kubectl wait` make of an object in each of its states: kstatus itself (Flux's library), Argo
//! CD's Lua with our health scripts, and kubectl, each asked about a real object of a real operator. What they must say
//! stands in the tables of `docs/gitops.md`. A state is held by a proxy, a dead operator or a finalizer, never by timing.

mod deliveries;
mod destinations;
mod record;
mod repository;

use std::process::Command;

use serde_json::Value;

use crate::support::process::{Output, program};
use crate::support::proxy::{Asked, Proxy};
use crate::support::wait::PATIENCE;
use crate::support::world::find_condition;
use crate::support::{S3Server, World};

const PAGE: &str = include_str!("../../../docs/gitops.md");

/// One of our kinds, as these tests ask about it.
pub(crate) struct Kind {
    name: &'static str,
    short: &'static str,
    /// The conditions that somebody may wait for.
    awaited: &'static [&'static str],
    /// The tests, which show every row of its table.
    tests: &'static [&'static str],
}

pub(crate) const DESTINATION: Kind = Kind {
    name: "OutboundDestination",
    short: "obdest",
    awaited: &["Ready", "Stalled"],
    tests: &[
        include_str!("destinations.rs"),
        include_str!("../roles/trusted.rs"),
    ],
};

const DELIVERY: Kind = Kind {
    name: "OutboundDelivery",
    short: "obdel",
    awaited: &["Ready", "Complete", "Failed", "Stalled"],
    tests: &[include_str!("deliveries.rs")],
};

/// A row of a table in the docs: a state, and what is made of it.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    state: String,
    kstatus: String,
    argocd: String,
    /// The conditions that `kubectl wait` finds.
    met: Vec<String>,
}

/// The kind's table in the docs.
fn rows(kind: &Kind) -> Vec<Row> {
    let header = format!("| An {} that", kind.name);
    let table = PAGE.lines().skip_while(|line| !line.starts_with(&header));
    let rows = table.skip(2).map_while(|line| line.strip_prefix("| "));
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let met = cells[3]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        Row {
            state: cells[0].to_owned(),
            kstatus: cells[1].to_owned(),
            argocd: cells[2].to_owned(),
            met,
        }
    })
    .collect()
}

/// A world whose operator has a proxy before its store.
struct Stage {
    world: World,
    proxy: Proxy,
}

impl Stage {
    async fn start(topic: &str) -> Stage {
        let server = S3Server::shared();
        let proxy = Proxy::before(server.url()).await;
        let url = proxy.url();
        let world = World::start_with(topic, &server, |config| {
            config
                .with("endpoints.allow", vec![url.clone()])
                .with("endpoints.s3", url.as_str())
                .with("transfer.partSize", "5Mi")
                .with("transfer.maxConcurrentParts", 1)
        })
        .await;
        Stage { world, proxy }
    }

    fn hold(&self, holds: impl Fn(&Asked<'_>) -> bool + Send + Sync + 'static) {
        self.proxy.hold(holds);
    }

    fn hold_proofs(&self) {
        self.hold(|asked| asked.kind.is_of_proof());
    }

    fn open(&self) {
        self.hold(|_| false);
    }

    fn patch(&self, kind: &Kind, name: &str, patch: &str) {
        let arguments = ["patch", kind.short, name, "--type=merge", "-p", patch];
        self.world.namespace.kubectl(&arguments).ok();
    }

    /// Waits until Ready has that reason, said of the present generation.
    async fn says(&self, kind: &Kind, name: &str, reason: &str) {
        let what = format!("{} {name} says {reason}", kind.short);
        self.world
            .eventually(PATIENCE, &what, kind.short, name, |object| {
                let ready = find_condition(object, "Ready")?;
                let current = ready["observedGeneration"] == object["metadata"]["generation"];
                (current && ready["reason"] == reason).then_some(())
            })
            .await;
    }

    /// [`shows`], with what the proxy holds.
    #[track_caller]
    fn shows(&self, kind: &Kind, name: &str, state: &str) {
        shows(&self.world, kind, name, state);
    }
}

/// The object is in that state: all three say what the docs' table says, and the record of the state is true.
#[track_caller]
pub(crate) fn shows(world: &World, kind: &Kind, name: &str, state: &str) {
    let rows = rows(kind);
    let row = rows.iter().find(|row| row.state == state);
    let row = row.unwrap_or_else(|| panic!("no row of {} that {state:?}", kind.name));
    let object = world.get(kind.short, name);
    let verdicts = look(kind, &object);
    let found = Row {
        state: state.to_owned(),
        kstatus: text(&verdicts["kstatus"]["status"]),
        argocd: text(&verdicts["argocd"]["status"]),
        met: met(world, kind, name),
    };
    let shown = || format!("{verdicts:#}\n{object:#}\n{}", world.operator.log_tail());
    assert_eq!(&found, row, "{}", shown());
    let after = world.get(kind.short, name);
    assert_eq!(
        record::shape(&object),
        record::shape(&after),
        "it was on its way to another state: {}",
        shown()
    );
    record::check(kind, state, &object, world);
}

/// The conditions for which `kubectl wait` would end at once.
fn met(world: &World, kind: &Kind, name: &str) -> Vec<String> {
    let is_met = |condition: &&&str| {
        let condition = format!("--for=condition={condition}");
        let arguments = ["wait", &condition, "--timeout=0s", kind.short, name];
        world.namespace.kubectl(&arguments).success
    };
    let met = kind.awaited.iter().filter(is_met);
    met.map(|condition| (*condition).to_owned()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What kstatus and Argo CD say of the object: each a status and a message.
fn look(kind: &Kind, object: &Value) -> Value {
    let script = record::folder(kind).join("health.lua");
    let mut command = Command::new(program("gitops"));
    command.arg("look").arg(script);
    let answer = Output::of(&mut command, Some(&object.to_string())).ok();
    serde_json::from_str(&answer).expect("JSON")
}

#[test]
fn every_row_of_the_docs_is_shown_and_recorded() {
    for kind in [&DESTINATION, &DELIVERY] {
        let rows = rows(kind);
        assert!(rows.len() >= 12, "{}: {rows:?}", kind.name);
        for row in &rows {
            let state = format!("{:?}", row.state);
            assert!(
                kind.tests.iter().any(|test| test.contains(&state)),
                "no test shows {state}"
            );
            assert!(
                record::file(kind, &row.state).is_file(),
                "{state}: {}",
                record::AGAIN
            );
        }
        let files = std::fs::read_dir(record::folder(kind).join("testdata")).unwrap();
        assert_eq!(files.count(), rows.len(), "a record of no state");
    }
}

/// One answer: the words differ, as each tool has its own.
#[test]
fn the_three_agree_in_every_row() {
    for row in rows(&DESTINATION).into_iter().chain(rows(&DELIVERY)) {
        let done = row.met.iter().any(|met| met == "Ready");
        let stuck = row.met.iter().any(|met| met == "Stalled");
        let agreed = match (row.kstatus.as_str(), row.argocd.as_str()) {
            ("Current", "Healthy") => done && !stuck,
            ("Failed", "Degraded") => stuck && !done,
            ("InProgress", "Progressing" | "Suspended") | ("Terminating", "Progressing") => {
                row.met.is_empty()
            }
            _ => false,
        };
        assert!(agreed, "{row:?}");
    }
}

/// The recorded objects and what Argo CD must say of them, in the layout of its own repository.
#[test]
fn the_health_scripts_pass_their_tests() {
    let mut command = Command::new(program("gitops"));
    command.arg("health").arg(record::customizations());
    let said = Output::of(&mut command, None).ok();
    let states = rows(&DESTINATION).len() + rows(&DELIVERY).len();
    assert_eq!(said, format!("2 scripts, {states} tests\n"));
}
