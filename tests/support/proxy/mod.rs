//! An HTTP proxy before a real server, which knows what each request is and spoils those that it is told to.
//!
//! A request's head and body go through byte for byte, the `Host` as it was signed. Every request is recorded,
//! with what the server made of it, whether or not the client heard of that.

mod classify;
mod fault;
mod hold;
mod initiators;
mod serve;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::control_plane::ControlPlane;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub(crate) use classify::{Dialect, Kind, parameter};
pub(crate) use fault::{At, Deed, Fault, Refusal};
pub(crate) use hold::Asked;
pub(crate) use upstream::Upstream;

/// A request for the operator's death: whoever owns the operator kills it, starts it again, and answers.
pub(crate) type Kill = oneshot::Sender<()>;

/// A request, as it went through.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    /// An S3 key or a Kubernetes path.
    pub(crate) subject: String,
    pub(crate) method: String,
    pub(crate) query: String,
    pub(crate) headers: http::HeaderMap,
    /// Of its kind, from 1.
    pub(crate) n: u32,
    /// Bytes in its body.
    pub(crate) bytes: u64,
    /// The body of a request to Kubernetes, the answer to a CreateMultipartUpload: what checkers read.
    pub(crate) text: String,
    /// When it came in, and when the server had answered; where the operator was killed: when it was dead.
    pub(crate) begun: Instant,
    pub(crate) answered: Option<Instant>,
    /// The server's own status; none when it never saw the request or gave no answer.
    pub(crate) status: Option<u16>,
    /// What was done to it.
    pub(crate) fault: Option<Deed>,
}

impl Record {
    /// Whether the server did as it was asked.
    pub(crate) fn applied(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    pub(crate) fn writes(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

/// A running proxy; it ends with the value.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

pub(crate) struct Shared {
    upstream: Upstream,
    dialect: Dialect,
    faults: Vec<Fault>,
    /// Every request is held for that long: a slow wire.
    latency: BTreeMap<Kind, Duration>,
    kills: mpsc::UnboundedSender<Kill>,
    gate: hold::Gate,
    initiators: initiators::Initiators,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    counts: BTreeMap<Kind, u32>,
    records: Vec<Record>,
    rules: Vec<Rule>,
}

/// Every request of that kind, with that header where one is named, is refused, until the proxy relents.
struct Rule {
    kind: Kind,
    header: Option<&'static str>,
    refusal: Refusal,
}

impl Proxy {
    pub(crate) async fn start(
        upstream: Upstream,
        dialect: Dialect,
        faults: Vec<Fault>,
        latency: BTreeMap<Kind, Duration>,
        kills: mpsc::UnboundedSender<Kill>,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            upstream,
            dialect,
            faults,
            latency,
            kills,
            gate: hold::Gate::default(),
            initiators: initiators::Initiators::default(),
            state: Mutex::default(),
        });
        let task = tokio::spawn(serve::accept(listener, shared.clone()));
        Proxy {
            address,
            shared,
            task,
        }
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One that spoils nothing before that S3 server.
    pub(crate) async fn before(url: &str) -> Proxy {
        let dialect = Dialect::S3 { parts: u32::MAX };
        let (kills, _) = mpsc::unbounded_channel();
        Proxy::start(
            Upstream::plain(url),
            dialect,
            Vec::new(),
            BTreeMap::new(),
            kills,
        )
        .await
    }

    /// One that spoils nothing before the control plane's apiserver, and who goes through it is its administrator.
    pub(crate) async fn before_apiserver(control_plane: &ControlPlane) -> Proxy {
        let upstream = Upstream::apiserver(&control_plane.kubeconfig());
        let (kills, _) = mpsc::unbounded_channel();
        Proxy::start(
            upstream,
            Dialect::Kubernetes,
            Vec::new(),
            BTreeMap::new(),
            kills,
        )
        .await
    }

    /// A kubeconfig for the way through it.
    pub(crate) fn kubeconfig(&self) -> String {
        let url = self.url();
        format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: proxy, cluster: {{server: \"{url}\"}}}}]\n\
             users: [{{name: nobody, user: {{}}}}]\n\
             contexts: [{{name: proxy, context: {{cluster: proxy, user: nobody}}}}]\ncurrent-context: proxy\n"
        )
    }

    /// From now on, and those that are held now too: requests of which `holds` says so go no further.
    pub(crate) fn hold(&self, holds: impl Fn(&Asked<'_>) -> bool + Send + Sync + 'static) {
        self.shared.gate.set(holds);
    }

    /// From now on lists of uploads say who began each: `names` by the upload's id.
    pub(crate) fn name_initiators(&self, names: impl Fn(&str) -> String + Send + Sync + 'static) {
        self.shared.initiators.set(Arc::new(names));
    }

    /// All requests so far, in the order in which they came in.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.shared
            .state
            .lock()
            .expect("no panic in a proxy")
            .records
            .clone()
    }

    /// Refuses every request of that kind, or those of them that have `header`, until [`Proxy::relent`].
    pub(crate) fn refuse(&self, kind: Kind, header: Option<&'static str>, refusal: Refusal) {
        let mut state = self.shared.state.lock().expect("no panic in a proxy");
        state.rules.push(Rule {
            kind,
            header,
            refusal,
        });
    }

    /// Refuses nothing any more.
    pub(crate) fn relent(&self) {
        let mut state = self.shared.state.lock().expect("no panic in a proxy");
        state.rules.clear();
    }

    /// How many of its faults were done.
    pub(crate) fn done(&self) -> usize {
        self.records()
            .iter()
            .filter(|record| record.fault.is_some())
            .count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Records a request that came in; returns its place and what is to be done to it.
    fn admit(&self, mut record: Record) -> (usize, Option<Deed>) {
        let mut state = self.state.lock().expect("no panic in a proxy");
        let count = state.counts.entry(record.kind).or_default();
        *count += 1;
        record.n = *count;
        let hit = self
            .faults
            .iter()
            .find(|fault| fault.at.hits(record.kind, record.n));
        let rule = state.rules.iter().find(|rule| {
            let has = |header| record.headers.contains_key(header);
            rule.kind == record.kind && rule.header.is_none_or(has)
        });
        let refused = rule.map(|rule| Deed::Refuse(rule.refusal.clone()));
        record.fault = hit.map(|fault| fault.deed.clone()).or(refused);
        let deed = record.fault.clone();
        state.records.push(record);
        (state.records.len() - 1, deed)
    }

    fn update(&self, place: usize, change: impl FnOnce(&mut Record)) {
        change(&mut self.state.lock().expect("no panic in a proxy").records[place]);
    }
}
