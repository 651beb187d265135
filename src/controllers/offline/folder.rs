//! The folder that keeps deliveries and their ledgers between two runs of a command: a file an object.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::objects::Key;
use crate::api::{OutboundDelivery, OutboundLedger};

/// The state folder can't be worked with.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or folder can't be read or written.
    #[error("the state folder can't be used: {path:?}: {error}; name another with --state")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What came back.
        error: std::io::Error,
    },
    /// Somebody else works with it.
    #[error(
        "the state folder {0:?} is in use by another deliver; wait for its end, or name another with --state"
    )]
    InUse(PathBuf),
    /// A file isn't what was written.
    #[error(
        "the state file {path:?} can't be read: {error}; move it away to begin anew, then what it knew to be open stays open"
    )]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
}

/// The folder, ours alone for as long as this lives.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: Arc<File>,
}

impl Folder {
    /// Opens the folder, which is made where it isn't there.
    ///
    /// # Errors
    /// When it can't be used, or another process works with it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        for plural in kept() {
            let folder = path.join(plural);
            std::fs::create_dir_all(&folder).map_err(unusable(&folder))?;
        }
        let file = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file);
        let lock = lock.map_err(unusable(&file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(&file)(error)),
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: Arc::new(lock),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The object of that key, where it is kept.
    pub(super) fn read(&self, key: &Key) -> Result<Option<Value>, StateError> {
        let path = self.file(key);
        match std::fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&path)(error)),
        }
    }

    /// All ledgers: those of other deliveries too, because what they know to be open isn't to be taken for left.
    pub(super) fn ledgers(&self) -> Result<Vec<(Key, Value)>, StateError> {
        let plural = plural::<OutboundLedger>();
        let folder = self.path.join(&plural);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unusable(&folder))? {
            let path = entry.map_err(unusable(&folder))?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let bytes = std::fs::read(&path).map_err(unusable(&path))?;
            let object = parse(&path, &bytes)?;
            let word = |field: &str| {
                object["metadata"][field]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            found.push((Key::new(&plural, &word("namespace"), &word("name")), object));
        }
        Ok(found)
    }

    /// Makes the object durable, where its kind is kept.
    pub(super) async fn write(&self, key: &Key, object: &Value) -> Result<(), StateError> {
        if !kept().contains(&key.plural) {
            return Ok(());
        }
        let path = self.file(key);
        let bytes = object.to_string().into_bytes();
        blocking(&path.clone(), move || replace(&path, &bytes)).await
    }

    /// Removes it.
    pub(super) async fn remove(&self, key: &Key) -> Result<(), StateError> {
        let path = self.file(key);
        blocking(&path.clone(), move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    /// Names and namespaces have no "/", and a namespace has no ".".
    fn file(&self, key: &Key) -> PathBuf {
        let Key {
            plural,
            namespace,
            name,
        } = key;
        self.path
            .join(plural)
            .join(format!("{namespace}.{name}.json"))
    }
}

/// The plurals of the kinds that are kept.
fn kept() -> [String; 2] {
    [plural::<OutboundDelivery>(), plural::<OutboundLedger>()]
}

/// A kind's name in paths.
pub(super) fn plural<K: kube::Resource<DynamicType = ()>>() -> String {
    K::plural(&()).into_owned()
}

/// A file is the old or the new one at any instant, and the new one once this returns.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

async fn blocking(
    path: &Path,
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> Result<(), StateError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(unusable(path))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Value, StateError> {
    serde_json::from_slice(bytes).map_err(|error| StateError::Corrupt {
        path: path.to_owned(),
        error,
    })
}

fn unusable(path: &Path) -> impl Fn(std::io::Error) -> StateError {
    let path = path.to_owned();
    move |error| StateError::Unusable {
        path: path.clone(),
        error,
    }
}
