//! The objects of a process that has no cluster, with the rules by which an apiserver keeps them.

use std::collections::BTreeMap;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use super::folder::{Folder, StateError};

/// What names an object. It sorts by its plural first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn is_in(&self, plural: &str, namespace: Option<&str>) -> bool {
        self.plural == plural && namespace.is_none_or(|namespace| namespace == self.namespace)
    }
}

/// Why a request isn't granted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Denied {
    /// There is no such object.
    #[error("there is no {} {}", .0.plural, .0.name)]
    NotFound(Key),
    /// It is there already.
    #[error("{} {} is there already", .0.plural, .0.name)]
    Exists(Key),
    /// It isn't what the writer saw.
    #[error("{} {} changed since it was seen", .0.plural, .0.name)]
    Conflict(Key),
    /// It couldn't be made durable.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What a patch changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The finalizers.
    Metadata,
    /// The status as a whole.
    Status,
}

/// The objects. Each change is durable before anybody sees it, where its kind is kept in the folder.
pub(super) struct Objects {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

struct State {
    version: u64,
    objects: BTreeMap<Key, Value>,
    /// Those that are gone, for who watches from before.
    gone: Vec<(Key, Value)>,
    watches: Vec<Watch>,
    folder: Option<Folder>,
}

struct Watch {
    plural: String,
    namespace: Option<String>,
    events: UnboundedSender<Value>,
}

impl Objects {
    /// With what nobody will change, as it is: Secrets and ConfigMaps.
    pub(super) fn new(objects: impl IntoIterator<Item = (Key, Value)>) -> Self {
        let state = State {
            version: 0,
            objects: objects.into_iter().collect(),
            gone: Vec::new(),
            watches: Vec::new(),
            folder: None,
        };
        Self {
            state: Mutex::new(state),
            changed: watch::channel(0).0,
        }
    }

    /// The same and `objects`, which are kept in memory as they are until they change.
    pub(super) fn with(mut self, objects: impl IntoIterator<Item = (Key, Value)>) -> Self {
        let state = self.state.get_mut();
        for (key, mut object) in objects {
            state.number(&mut object);
            state.objects.insert(key, object);
        }
        self
    }

    /// The same; what changes from now on is kept in `folder` too.
    pub(super) fn kept_in(mut self, folder: Folder) -> Self {
        self.state.get_mut().folder = Some(folder);
        self
    }

    /// Tells of each change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) async fn get(&self, key: &Key) -> Option<Value> {
        self.state.lock().await.objects.get(key).cloned()
    }

    /// The objects of that kind, and the version that they are of.
    pub(super) async fn list(&self, plural: &str, namespace: Option<&str>) -> (u64, Vec<Value>) {
        let state = self.state.lock().await;
        let found = state.objects.iter();
        let found = found.filter(|(key, _)| key.is_in(plural, namespace));
        (
            state.version,
            found.map(|(_, object)| object.clone()).collect(),
        )
    }

    /// What changed since that version, and everything that changes from now on.
    pub(super) async fn watch(
        &self,
        plural: &str,
        namespace: Option<&str>,
        since: u64,
    ) -> UnboundedReceiver<Value> {
        let (events, receiver) = unbounded();
        let mut state = self.state.lock().await;
        let state = &mut *state;
        let missed = state
            .objects
            .iter()
            .map(|(key, object)| (key, object, "MODIFIED"));
        let gone = state
            .gone
            .iter()
            .map(|(key, object)| (key, object, "DELETED"));
        for (key, object, what) in missed.chain(gone) {
            if key.is_in(plural, namespace) && version_of(object) > since {
                // The receiver is here.
                let _ = events.unbounded_send(event(what, object));
            }
        }
        state.watches.push(Watch {
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
            events,
        });
        receiver
    }

    pub(super) async fn create(&self, key: &Key, mut object: Value) -> Result<Value, Denied> {
        let mut state = self.state.lock().await;
        if state.objects.contains_key(key) {
            return Err(Denied::Exists(key.clone()));
        }
        fresh(&mut object);
        self.put(&mut state, key, object, "ADDED").await
    }

    pub(super) async fn replace(&self, key: &Key, mut object: Value) -> Result<Value, Denied> {
        let mut state = self.state.lock().await;
        let now = state.seen(key, &object["metadata"])?;
        for field in [
            "uid",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
        ] {
            let kept = now["metadata"][field].clone();
            if !kept.is_null() {
                object["metadata"][field] = kept;
            }
        }
        if object["spec"] != now["spec"] {
            let before = now["metadata"]["generation"].as_i64();
            object["metadata"]["generation"] = json!(before.unwrap_or_default() + 1);
        }
        self.put(&mut state, key, object, "MODIFIED").await
    }

    /// Merges that part of `patch` into the object.
    pub(super) async fn patch(
        &self,
        key: &Key,
        part: Part,
        patch: &Value,
    ) -> Result<Value, Denied> {
        let mut state = self.state.lock().await;
        let mut object = state.seen(key, &patch["metadata"])?;
        match part {
            Part::Status => object["status"] = patch["status"].clone(),
            Part::Metadata => {
                let finalizers = patch["metadata"]["finalizers"].clone();
                object["metadata"]["finalizers"] = finalizers;
            }
        }
        if is_due_to_go(&object) {
            return self.remove(&mut state, key, object).await;
        }
        self.put(&mut state, key, object, "MODIFIED").await
    }

    /// Deletes it, or says that it is to go once its finalizers are gone.
    pub(super) async fn delete(&self, key: &Key, preconditions: &Value) -> Result<Value, Denied> {
        let mut state = self.state.lock().await;
        let mut object = state.seen(key, preconditions)?;
        object["metadata"]["deletionTimestamp"] = json!(now());
        if is_due_to_go(&object) {
            return self.remove(&mut state, key, object).await;
        }
        self.put(&mut state, key, object, "MODIFIED").await
    }

    /// Forgets the object and what it owns, whatever finalizers say.
    pub(super) async fn forget(&self, key: &Key) -> Result<(), Denied> {
        let mut state = self.state.lock().await;
        match state.objects.get(key).cloned() {
            Some(object) => self.remove(&mut state, key, object).await.map(drop),
            None => Ok(()),
        }
    }

    async fn put(
        &self,
        state: &mut State,
        key: &Key,
        mut object: Value,
        what: &str,
    ) -> Result<Value, Denied> {
        state.number(&mut object);
        if let Some(folder) = &state.folder {
            folder.write(key, &object).await?;
        }
        state.objects.insert(key.clone(), object.clone());
        state.tell(key, &object, what);
        self.changed.send_replace(state.version);
        Ok(object)
    }

    /// Removes the object, then what it owns, as the garbage collector does.
    async fn remove(
        &self,
        state: &mut State,
        key: &Key,
        mut object: Value,
    ) -> Result<Value, Denied> {
        state.number(&mut object);
        let uid = object["metadata"]["uid"].clone();
        let owned = state.objects.iter().filter(|(owned, object)| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            let mut owners = owners.into_iter().flatten();
            owned.namespace == key.namespace && owners.any(|owner| owner["uid"] == uid)
        });
        let owned: Vec<Key> = owned.map(|(key, _)| key.clone()).collect();
        // The owner goes last: as long as it is there, an interrupted removal is found again.
        for key in owned.iter().chain([key]) {
            if let Some(folder) = &state.folder {
                folder.remove(key).await?;
            }
            state.objects.remove(key);
        }
        state.gone.push((key.clone(), object.clone()));
        state.tell(key, &object, "DELETED");
        self.changed.send_replace(state.version);
        Ok(object)
    }
}

impl State {
    /// Gives the object the next version.
    fn number(&mut self, object: &mut Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }

    /// The object, if it is the one that `seen` (metadata, or preconditions) names.
    fn seen(&self, key: &Key, seen: &Value) -> Result<Value, Denied> {
        let now = self.objects.get(key);
        let now = now.ok_or_else(|| Denied::NotFound(key.clone()))?;
        for field in ["resourceVersion", "uid"] {
            let (theirs, ours) = (&seen[field], &now["metadata"][field]);
            if theirs.as_str().is_some_and(|theirs| !theirs.is_empty()) && theirs != ours {
                return Err(Denied::Conflict(key.clone()));
            }
        }
        Ok(now.clone())
    }

    fn tell(&mut self, key: &Key, object: &Value, what: &str) {
        self.watches.retain(|watch| {
            let concerned = key.is_in(&watch.plural, watch.namespace.as_deref());
            !concerned || watch.events.unbounded_send(event(what, object)).is_ok()
        });
    }
}

/// Gives an object what the apiserver gives a new one.
pub(super) fn fresh(object: &mut Value) {
    let metadata = &mut object["metadata"];
    metadata["uid"] = json!(random_uid());
    metadata["generation"] = json!(1);
    if metadata["creationTimestamp"].is_null() {
        metadata["creationTimestamp"] = json!(now());
    }
}

/// Kubernetes' times are of whole seconds.
fn now() -> String {
    crate::api::time_text(Timestamp::now())
}

fn random_uid() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn is_due_to_go(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let finalizers = metadata["finalizers"].as_array();
    !metadata["deletionTimestamp"].is_null() && finalizers.is_none_or(Vec::is_empty)
}

fn version_of(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

fn event(what: &str, object: &Value) -> Value {
    json!({"type": what, "object": object})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("outbounddeliveries", "n", name)
    }

    fn object(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "n"}, "spec": {}})
    }

    #[tokio::test]
    async fn a_stale_writer_loses_and_finalizers_hold_a_deletion_up() {
        let objects = Objects::new([]);
        let first = objects.create(&key("a"), object("a")).await.unwrap();
        assert!(matches!(
            objects.create(&key("a"), object("a")).await,
            Err(Denied::Exists(_))
        ));
        let patch = json!({"metadata": {"finalizers": ["f"], "resourceVersion": first["metadata"]["resourceVersion"]}});
        objects
            .patch(&key("a"), Part::Metadata, &patch)
            .await
            .unwrap();
        let stale = objects.patch(&key("a"), Part::Metadata, &patch).await;
        assert!(matches!(stale, Err(Denied::Conflict(_))));
        let owned = json!({"metadata": {"name": "o", "ownerReferences": [{"uid": first["metadata"]["uid"]}]}});
        let ledger = Key::new("outboundledgers", "n", "o");
        objects.create(&ledger, owned).await.unwrap();
        objects.delete(&key("a"), &Value::Null).await.unwrap();
        let now = objects.get(&key("a")).await.unwrap();
        assert!(now["metadata"]["deletionTimestamp"].is_string());
        let patch = json!({"metadata": {"finalizers": []}});
        objects
            .patch(&key("a"), Part::Metadata, &patch)
            .await
            .unwrap();
        assert!(objects.get(&key("a")).await.is_none() && objects.get(&ledger).await.is_none());
    }

    #[tokio::test]
    async fn a_watch_tells_what_it_missed_and_what_comes() {
        let objects = Objects::new([]).with([(key("a"), object("a"))]);
        let (version, listed) = objects.list("outbounddeliveries", None).await;
        assert_eq!((version, listed.len()), (1, 1));
        objects.create(&key("b"), object("b")).await.unwrap();
        let mut events = objects
            .watch("outbounddeliveries", Some("n"), version)
            .await;
        objects.forget(&key("a")).await.unwrap();
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push((
                event["type"].clone(),
                event["object"]["metadata"]["name"].clone(),
            ));
        }
        assert_eq!(
            told,
            [
                (json!("MODIFIED"), json!("b")),
                (json!("DELETED"), json!("a"))
            ]
        );
        let mut elsewhere = objects.watch("outbounddeliveries", Some("m"), 0).await;
        assert!(elsewhere.try_recv().is_err());
    }
}
