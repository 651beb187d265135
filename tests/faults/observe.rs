//! What is seen while a plan runs, beside the proxies: each version of our objects, and the bucket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::World;
use crate::support::process::{Resident, memory_kib};

/// How often the bucket is listed.
const LISTING: Duration = Duration::from_millis(100);

/// The versions of one object, oldest first.
pub(crate) type History = Arc<Mutex<Vec<Value>>>;

/// A task that ends with the value.
pub(crate) struct Observer(JoinHandle<()>);

impl Drop for Observer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Collects every version of the namespace's objects of that kind, straight from the apiserver.
pub(crate) async fn history(
    client: kube::Client,
    namespace: &str,
    resource: &ApiResource,
) -> (History, Observer) {
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, resource);
    // Longer than any plan: a watch that ends is missed versions.
    let parameters = WatchParams::default().timeout(294);
    let mut events = api.watch(&parameters, "0").await.expect("a watch").boxed();
    let history = History::default();
    let kept = history.clone();
    let task = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) = event {
                let object = serde_json::to_value(&object).expect("JSON");
                kept.lock().unwrap().push(object);
            }
        }
    });
    (history, Observer(task))
}

/// What the bucket's watcher saw wrong, and the largest memory of the operator so far, in KiB.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) problems: Vec<String>,
    pub(crate) peak: u64,
}

/// Looks every 100 ms: once there is a receipt, all that it names must be there.
pub(crate) fn bucket(world: &World, pid: Arc<Mutex<Option<u32>>>) -> (Arc<Mutex<Seen>>, Observer) {
    let folder = world.bucket.folder();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let kept = seen.clone();
    let task = tokio::spawn(async move {
        let mut turns = tokio::time::interval(LISTING);
        loop {
            turns.tick().await;
            let problem = look(&folder);
            let pid = *pid.lock().unwrap();
            let mut seen = kept.lock().unwrap();
            if seen.problems.is_empty() {
                seen.problems.extend(problem);
            }
            let peak = pid.and_then(|pid| memory_kib(pid, Resident::Peak));
            seen.peak = seen.peak.max(peak.unwrap_or_default());
        }
    });
    (seen, Observer(task))
}

/// The receipt is read first, so an object that appears after it is never taken for one before it.
fn look(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join("audience/day.info")).ok()?;
    let receipt: Value = match serde_json::from_slice(&text) {
        Ok(receipt) => receipt,
        Err(error) => return Some(format!("receipt: it is there and can't be read: {error}")),
    };
    let missing: BTreeMap<&str, u64> = receipt["Files"]
        .as_array()?
        .iter()
        .filter_map(|file| Some((file["FileName"].as_str()?, file["FileByteSize"].as_u64()?)))
        .filter(|(name, size)| {
            let file = std::fs::metadata(folder.join("audience").join(name));
            !file.is_ok_and(|file| file.len() == *size)
        })
        .collect();
    (!missing.is_empty()).then(|| format!("receipt: it was there before {missing:?}"))
}
