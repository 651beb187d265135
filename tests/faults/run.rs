//! One plan from its beginning to a delivery that has settled, and what the checkers say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::check;
use crate::observe::{self, History, Observer, Seen};
use crate::plan::{End, Plan, Workload};
use crate::support::control_plane::resource;
use crate::support::process::Scratch;
use crate::support::proxy::Kill;
use crate::support::proxy::{Dialect, Kind, Proxy, Record, Upstream};
use crate::support::world::find_condition;
use crate::support::{ControlPlane, OperatorConfig, S3Server, World};
use crate::workload::{self, CONCURRENT};

/// How long a plan may take: the longest pauses in it are a Lease's 15 s and the engine's backoff. Generous, as only a
/// failure waits it out.
const DEADLINE: Duration = Duration::from_secs(200);

/// The same where nobody answers: S3's clients wait for two minutes.
const DEADLINE_WITH_PATIENCE: Duration = Duration::from_secs(400);

/// How long an operator may be deaf to what somebody did before it is left to do the wrong thing, and is found out.
const UNHEARD: Duration = Duration::from_secs(30);

/// How often the objects are looked at.
const LOOK: Duration = Duration::from_millis(150);

/// Writes that were on their way when the delivery settled.
const SETTLING: Duration = Duration::from_secs(1);

/// The operator's part buffers, in bytes.
pub(crate) const BUDGET: u64 = 32 << 20;

/// A source's bytes go slowly where somebody does something in flight.
const SLOW: Duration = Duration::from_millis(300);

/// What a plan came to.
pub(crate) struct Outcome {
    pub(crate) problems: Vec<String>,
    /// For a person who looks for the reason.
    pub(crate) evidence: String,
}

/// All that the checkers look at.
pub(crate) struct Evidence {
    pub(crate) world: World,
    pub(crate) store: Vec<Record>,
    pub(crate) cluster: Vec<Record>,
    pub(crate) destinations: Vec<Value>,
    pub(crate) deliveries: Vec<Value>,
    pub(crate) settled: Option<Instant>,
    pub(crate) problems: Vec<String>,
    pub(crate) peak: u64,
    pub(crate) log: String,
}

struct Stage {
    world: World,
    store: Proxy,
    cluster: Proxy,
    kills: mpsc::UnboundedReceiver<Kill>,
    pid: Arc<Mutex<Option<u32>>>,
    deliveries: Api<DynamicObject>,
    ledgers: Api<DynamicObject>,
    problems: Vec<String>,
    _scratch: Scratch,
}

pub(crate) async fn run(plan: &Plan, quiet: Duration) -> Outcome {
    let mut stage = Stage::set(plan).await;
    let client = ControlPlane::shared().client().await;
    let namespace = stage.world.namespace.name().to_owned();
    let watch = async |kind: &str, plural: &str| -> (History, Observer) {
        observe::history(client.clone(), &namespace, &resource(kind, plural)).await
    };
    let destinations = watch("OutboundDestination", "outbounddestinations").await;
    let deliveries = watch("OutboundDelivery", "outbounddeliveries").await;
    let bucket: (Arc<Mutex<Seen>>, Observer) = observe::bucket(&stage.world, stage.pid.clone());
    workload::prepare(plan, &stage.world).await;
    let manifests = workload::manifests(plan, &stage.world, &stage.store.url());
    stage.world.apply(&manifests);
    let settled = stage.play(plan).await;
    if settled.is_some() {
        stage.wait(plan, SETTLING + quiet).await;
    }
    let seen = std::mem::take(&mut *bucket.0.lock().unwrap());
    let mut problems = std::mem::take(&mut stage.problems);
    problems.extend(seen.problems);
    let evidence = Evidence {
        store: stage.store.records(),
        cluster: stage.cluster.records(),
        destinations: destinations.0.lock().unwrap().clone(),
        deliveries: deliveries.0.lock().unwrap().clone(),
        settled,
        problems,
        peak: seen.peak,
        log: stage.world.operator.log(),
        world: stage.world,
    };
    let problems = check::all(plan, &evidence, SETTLING).await;
    let evidence = if problems.is_empty() {
        String::new()
    } else {
        tell(&evidence)
    };
    Outcome { problems, evidence }
}

impl Stage {
    async fn set(plan: &Plan) -> Stage {
        let s3 = S3Server::shared();
        let (sender, kills) = mpsc::unbounded_channel();
        let of_store = |kind| is_of_store(kind);
        let latency = match workload::is_eventful(plan) {
            true => BTreeMap::from([(Kind::MiddlePart, SLOW), (Kind::LastPart, SLOW)]),
            false => BTreeMap::new(),
        };
        let store = Proxy::start(
            Upstream::plain(s3.url()),
            Dialect::S3 { parts: plan.parts },
            plan.faults_of(of_store),
            latency,
            sender.clone(),
        )
        .await;
        let cluster = Proxy::start(
            Upstream::apiserver(&ControlPlane::shared().kubeconfig()),
            Dialect::Kubernetes,
            plan.faults_of(|kind| !of_store(kind)),
            BTreeMap::new(),
            sender,
        )
        .await;
        let scratch = Scratch::new("faults");
        let kubeconfig = scratch.path().join("kubeconfig");
        std::fs::write(&kubeconfig, cluster.kubeconfig()).expect("write a kubeconfig");
        let kubeconfig = kubeconfig.to_str().expect("a path in UTF-8").to_owned();
        let configure = |config: OperatorConfig| configure(plan, config, &store.url(), &kubeconfig);
        let world = World::start_with("faults", &s3, configure).await;
        let client = ControlPlane::shared().client().await;
        let api = |kind: &str, plural: &str| {
            Api::namespaced_with(
                client.clone(),
                world.namespace.name(),
                &resource(kind, plural),
            )
        };
        Stage {
            pid: Arc::new(Mutex::new(world.operator.pid())),
            deliveries: api("OutboundDelivery", "outbounddeliveries"),
            ledgers: api("OutboundLedger", "outboundledgers"),
            world,
            store,
            cluster,
            kills,
            problems: Vec::new(),
            _scratch: scratch,
        }
    }

    /// Runs until the delivery has settled; `None` when it didn't in time.
    async fn play(&mut self, plan: &Plan) -> Option<Instant> {
        let begun = Instant::now();
        let mut intervened = !workload::is_eventful(plan);
        let mut acted = None;
        if !intervened {
            // However slow this machine is, it isn't over before.
            self.store.hold(|asked| asked.kind == Kind::LastPart);
        }
        let deadline = if plan.hangs() {
            DEADLINE_WITH_PATIENCE
        } else {
            DEADLINE
        };
        while begun.elapsed() < deadline {
            self.wait(plan, LOOK).await;
            let since = acted.map(|acted: Instant| acted.elapsed());
            if since.is_some_and(|since| since > UNHEARD || self.may_land(plan)) {
                self.store.hold(|_| false);
            }
            if !intervened
                && self
                    .store
                    .records()
                    .iter()
                    .filter(|r| r.kind == Kind::MiddlePart)
                    .count()
                    >= 2
            {
                intervened = true;
                workload::intervene(plan, &self.world).await;
                acted = Some(Instant::now());
            }
            if intervened && self.has_settled(plan).await {
                return Some(Instant::now());
            }
        }
        let now = self.deliveries.get_opt("day").await;
        let status = now
            .ok()
            .flatten()
            .map(|object| object.data["status"].clone());
        self.problems.push(format!(
            "settled: not within {deadline:?}: {}",
            status.unwrap_or_default()
        ));
        None
    }

    /// Whether what somebody did has come to the run, so that its last part may land.
    fn may_land(&self, plan: &Plan) -> bool {
        match plan.workload {
            // A run that was killed instead has nothing to land.
            Workload::Delete | Workload::Redirected => self
                .world
                .operator
                .log()
                .contains("the run is told to stop"),
            _ => true,
        }
    }

    /// Lets that much time pass; starts the operator again whenever it was killed or ended.
    async fn wait(&mut self, plan: &Plan, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(Some(killed)) = tokio::time::timeout_at(end, self.kills.recv()).await {
            self.world.operator.restart();
            *self.pid.lock().unwrap() = self.world.operator.pid();
            let _ = killed.send(());
        }
        if let Some(status) = self.world.operator.ended() {
            if !plan.leader_election {
                self.problems
                    .push(format!("process: it ended by itself: {status}"));
            }
            self.world.operator.restart();
            *self.pid.lock().unwrap() = self.world.operator.pid();
        }
    }

    /// Whether the delivery has ended for good, with what only a running one needs gone.
    async fn has_settled(&self, plan: &Plan) -> bool {
        let Ok(delivery) = self.deliveries.get_opt("day").await else {
            return false;
        };
        let Some(delivery) = delivery else {
            return true;
        };
        let delivery = serde_json::to_value(&delivery).expect("JSON");
        let is =
            |condition| find_condition(&delivery, condition).is_some_and(|c| c["status"] == "True");
        let held = delivery["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        match (plan.end().0, plan.workload) {
            (End::Deleted, _) => false,
            (_, Workload::Redirected) if is("Stalled") => true,
            _ if is("Failed") => !held,
            _ if is("Complete") => {
                let ledgers = self.ledgers.list(&ListParams::default()).await;
                !held && ledgers.is_ok_and(|ledgers| ledgers.items.is_empty())
            }
            _ => false,
        }
    }
}

/// The store's kinds come first in the enum.
fn is_of_store(kind: Kind) -> bool {
    kind < Kind::ListDestinations
}

fn configure(plan: &Plan, config: OperatorConfig, store: &str, kubeconfig: &str) -> OperatorConfig {
    let at_once = if workload::is_eventful(plan) {
        1
    } else {
        CONCURRENT
    };
    let document: Value = serde_json::from_str(&config.render()).expect("JSON");
    let namespace = document["watch"]["namespaces"][0]
        .as_str()
        .expect("a namespace")
        .to_owned();
    config
        .with("endpoints.allow", vec![store.to_owned()])
        .with("endpoints.s3", store)
        .with("transfer.memory", BUDGET)
        .with("transfer.partSize", workload::PART)
        .with("transfer.maxConcurrentParts", at_once)
        .with("leaderElection.enabled", plan.leader_election)
        .with("leaderElection.namespace", namespace)
        .environment("KUBECONFIG", kubeconfig)
}

/// For whoever looks into a failed plan: what went over the wires, each status, the operator's log.
fn tell(evidence: &Evidence) -> String {
    let mut text = String::new();
    let mut records: Vec<&Record> = evidence.store.iter().chain(&evidence.cluster).collect();
    records.sort_by_key(|record| record.begun);
    let Some(first) = records.first().map(|record| record.begun) else {
        return text;
    };
    for record in records {
        let at = record.begun.duration_since(first).as_secs_f64();
        let fault = record
            .fault
            .as_ref()
            .map(|deed| format!("  <== {}", String::from(deed.clone())));
        let _ = writeln!(
            text,
            "{at:8.3} {:?}{} {} {} {} B -> {:?}{}",
            record.kind,
            record.n,
            record.method,
            record.subject,
            record.bytes,
            record.status,
            fault.unwrap_or_default()
        );
    }
    for object in evidence.destinations.iter().chain(&evidence.deliveries) {
        let _ = writeln!(text, "{} {}", object["kind"], object["status"]);
    }
    text + "\n" + &evidence.log
}
