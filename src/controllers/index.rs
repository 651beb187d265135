//! Who names what: kept beside a watch's cache, so that a change finds those whom it concerns without a look at every
//! object.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Resource;
use kube::runtime::watcher::Event;

/// The objects of one watch by what each names in its own namespace. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index(Arc<Mutex<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    known: Names,
    /// A list that is under way: it counts once it is whole, as the cache's does.
    coming: Names,
}

/// A namespace, and a name in it.
pub(super) type Place = (String, String);

#[derive(Debug, Default)]
struct Names {
    named: HashMap<Place, String>,
    naming: HashMap<Place, HashSet<String>>,
}

impl Index {
    /// Notes what an event changed. `named` says what an object names; none: it isn't to be found.
    pub(super) fn follow<K: Resource>(
        &self,
        event: &Event<K>,
        named: impl Fn(&K) -> Option<String>,
    ) {
        let mut lists = self.lists();
        match event {
            Event::Init => lists.coming = Names::default(),
            Event::InitApply(object) => lists.coming.put(place(object), named(object)),
            Event::InitDone => lists.known = std::mem::take(&mut lists.coming),
            Event::Apply(object) => lists.known.put(place(object), named(object)),
            Event::Delete(object) => lists.known.put(place(object), None),
        }
    }

    /// Those in `namespace` that name `target`.
    pub(super) fn naming(&self, namespace: &str, target: &str) -> Vec<Place> {
        let place = (namespace.to_owned(), target.to_owned());
        let lists = self.lists();
        let found = lists.known.naming.get(&place).into_iter().flatten();
        found
            .map(|name| (namespace.to_owned(), name.clone()))
            .collect()
    }

    /// Whether any in `namespace` names `target`.
    pub(crate) fn is_named(&self, namespace: &str, target: &str) -> bool {
        let place = (namespace.to_owned(), target.to_owned());
        self.lists().known.naming.contains_key(&place)
    }

    /// All that name something.
    pub(super) fn all(&self) -> Vec<Place> {
        self.lists().known.named.keys().cloned().collect()
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place<K: Resource>(object: &K) -> Place {
    let metadata = object.meta();
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

impl Names {
    fn put(&mut self, place: Place, target: Option<String>) {
        if self.named.get(&place) == target.as_ref() {
            return;
        }
        if let Some(before) = self.named.remove(&place) {
            let before = (place.0.clone(), before);
            if let Some(naming) = self.naming.get_mut(&before) {
                naming.remove(&place.1);
                if naming.is_empty() {
                    self.naming.remove(&before);
                }
            }
        }
        if let Some(target) = target {
            let naming = (place.0.clone(), target.clone());
            self.naming
                .entry(naming)
                .or_default()
                .insert(place.1.clone());
            self.named.insert(place, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    /// An object that names what `generateName` says.
    fn object(namespace: &str, name: &str, target: Option<&str>) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                namespace: Some(namespace.into()),
                name: Some(name.into()),
                generate_name: target.map(str::to_owned),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    fn follow(index: &Index, event: &Event<ConfigMap>) {
        index.follow(event, |object| object.metadata.generate_name.clone());
    }

    fn naming(index: &Index, namespace: &str, target: &str) -> Vec<String> {
        let found = index.naming(namespace, target).into_iter();
        let mut names: Vec<String> = found.map(|(_, name)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn an_object_is_found_by_what_it_names_now_in_its_own_namespace() {
        let index = Index::default();
        for name in ["a", "b"] {
            follow(&index, &Event::Apply(object("here", name, Some("acme"))));
        }
        follow(&index, &Event::Apply(object("there", "c", Some("acme"))));
        assert_eq!(naming(&index, "here", "acme"), ["a", "b"]);
        follow(&index, &Event::Apply(object("here", "a", Some("globex"))));
        assert_eq!(naming(&index, "here", "acme"), ["b"]);
        assert_eq!(naming(&index, "here", "globex"), ["a"]);
        follow(&index, &Event::Apply(object("here", "a", None)));
        follow(&index, &Event::Delete(object("here", "b", Some("acme"))));
        assert_eq!(naming(&index, "here", "acme").len(), 0);
        assert!(index.is_named("there", "acme") && !index.is_named("here", "acme"));
        assert_eq!(index.all(), [("there".into(), "c".into())]);
        assert_eq!(index.lists().known.naming.len(), 1, "nothing is kept");
    }

    #[test]
    fn a_list_counts_once_it_is_whole() {
        let index = Index::default();
        follow(&index, &Event::Apply(object("here", "old", Some("acme"))));
        follow(&index, &Event::Init);
        follow(
            &index,
            &Event::InitApply(object("here", "new", Some("acme"))),
        );
        assert_eq!(naming(&index, "here", "acme"), ["old"]);
        follow(&index, &Event::InitDone);
        assert_eq!(naming(&index, "here", "acme"), ["new"]);
    }
}
