//! What the operator asks of others, and what it takes: counted by those whom it asks, and by the kernel.

use std::collections::BTreeMap;

use crate::seed::Cluster;
use crate::support::Operator;
use crate::support::process::Resident;

/// Requests to the apiserver that the operator makes, by verb and resource. Nobody else makes such ones meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(BTreeMap<(String, String), u64>);

/// What only the operator asks for; `/version` is the question whether the apiserver answers.
const ASKED: [&str; 7] = [
    "outbounddestinations",
    "outbounddeliveries",
    "outboundledgers",
    "secrets",
    "events",
    "leases",
    "/version",
];

impl Calls {
    /// As the apiserver counts them: since it began.
    pub(crate) async fn now(cluster: &Cluster) -> Calls {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let text = cluster.client.request_text(request).await.unwrap();
        let mut calls = Calls::default();
        for line in text.lines() {
            let Some(labels) = line.strip_prefix("apiserver_request_total{") else {
                continue;
            };
            let (labels, count) = labels.rsplit_once("} ").unwrap();
            let label = |name: &str| {
                let value = labels.split_once(&format!("{name}=\"")).unwrap().1;
                value.split_once('"').unwrap().0
            };
            let (resource, subresource) = (label("resource"), label("subresource"));
            let what = match (resource, subresource) {
                ("", path) => path.to_owned(),
                (resource, "") => resource.to_owned(),
                (resource, subresource) => format!("{resource}/{subresource}"),
            };
            if ASKED.iter().any(|asked| what.starts_with(asked)) {
                let count = count.parse::<f64>().unwrap() as u64;
                *calls.0.entry((label("verb").to_owned(), what)).or_default() += count;
            }
        }
        calls
    }

    pub(crate) fn since(&self, before: &Calls) -> Calls {
        Calls(gained(&self.0, &before.0))
    }

    /// All but those for the Lease.
    pub(crate) fn total(&self) -> u64 {
        let others = self.0.iter().filter(|((_, what), _)| what != "leases");
        others.map(|(_, count)| count).sum()
    }

    pub(crate) fn status_writes(&self) -> u64 {
        let writes = |what: &str| what.starts_with("outbound") && what.ends_with("/status");
        let writes = self.0.iter().filter(|((_, what), _)| writes(what));
        writes.map(|(_, count)| count).sum()
    }

    /// Each, the most frequent first.
    pub(crate) fn each(&self) -> Vec<(String, u64)> {
        let mut each: Vec<_> = self
            .0
            .iter()
            .map(|((verb, what), count)| (format!("{verb} {what}"), *count))
            .collect();
        each.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        each
    }
}

/// Requests to the store by the second in which they ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(BTreeMap<String, u64>);

impl Requests {
    /// By the server's access log.
    pub(crate) fn of(log: &str) -> Requests {
        let mut requests = Requests::default();
        for line in log.lines() {
            // Owner, bucket, [time...
            if let Some(time) = line.split(' ').nth(2) {
                *requests.0.entry(time.to_owned()).or_default() += 1;
            }
        }
        requests
    }

    pub(crate) fn since(&self, before: &Requests) -> Requests {
        Requests(gained(&self.0, &before.0))
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The most in one second.
    pub(crate) fn most(&self) -> u64 {
        self.0.values().copied().max().unwrap_or_default()
    }
}

/// What was counted since `before`, where anything was.
fn gained<K: Ord + Clone>(now: &BTreeMap<K, u64>, before: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let gained = now.iter().map(|(what, count)| {
        let before = before.get(what).copied().unwrap_or_default();
        (what.clone(), count - before)
    });
    gained.filter(|(_, count)| *count > 0).collect()
}

/// The operator's memory that is in RAM, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) most: u64,
}

impl Memory {
    pub(crate) fn of(operator: &Operator) -> Memory {
        let mib = |what| operator.memory(what) >> 20;
        Memory {
            now: mib(Resident::Now),
            most: mib(Resident::Peak),
        }
    }
}

/// Ticks a second in /proc/PID/stat (proc(5)), whatever the kernel's own.
const USER_HZ: f64 = 100.0;

/// Seconds of a core that the operator took so far.
pub(crate) fn cpu(operator: &Operator) -> f64 {
    let pid = operator.pid().expect("a running operator");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name, which may hold spaces: state is the 3rd field, the times are the 14th and 15th.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / USER_HZ
}
