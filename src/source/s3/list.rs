//! Which objects are delivered, and whether they still are what was listed.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use super::SourceBucket;
use crate::plan::{ByteRange, Fingerprint, KeyPrefix, MAX_OBJECTS, ObjectKey, SourceFile};
use crate::source::error::{ObjectChange, SourceError};
use crate::source::glob::{PathPattern, PatternInvalid};
use crate::source::walk::MAX_ENTRIES;
use crate::store::{ListedObject, PageSize, PageToken, Storage};

/// What a delivery takes when it names no pattern: every object, but for hidden names.
const EVERYTHING: &str = "**";

/// How many objects a listing keeps: what a delivery may have, and the marker, which may be among them.
const MAX_MATCHES: usize = MAX_OBJECTS + 1;

/// Which objects below a prefix are delivered. Patterns are of paths relative to the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    prefix: KeyPrefix,
    include: Vec<PathPattern>,
    exclude: Vec<PathPattern>,
}

impl Selection {
    /// The objects below `prefix` that match one of `include` (all, where there is none) and none of `exclude`.
    ///
    /// # Errors
    /// When a pattern breaks a rule of [`PatternInvalid`].
    pub fn new(
        prefix: KeyPrefix,
        include: &[String],
        exclude: &[String],
    ) -> Result<Self, PatternInvalid> {
        let parse = |patterns: &[String]| {
            let patterns = patterns.iter().map(|pattern| PathPattern::parse(pattern));
            patterns.collect::<Result<Vec<_>, _>>()
        };
        let mut include = parse(include)?;
        if include.is_empty() {
            include.push(PathPattern::parse(EVERYTHING)?);
        }
        Ok(Self {
            prefix,
            include,
            exclude: parse(exclude)?,
        })
    }

    /// The prefix that all is below.
    #[must_use]
    pub const fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }

    /// Whether a pattern is exactly that path: then that object is meant, and not its like.
    #[must_use]
    pub fn names(&self, path: &str) -> bool {
        self.include.iter().any(|pattern| pattern.as_str() == path)
    }

    /// Whether the object at that path, relative to the prefix, is delivered.
    fn takes(&self, path: &str) -> bool {
        let any = |patterns: &[PathPattern]| patterns.iter().any(|pattern| pattern.matches(path));
        any(&self.include) && !any(&self.exclude)
    }

    /// The path relative to the prefix, where that is one: the markers of folders that consoles make aren't.
    ///
    /// # Errors
    /// When a tool that writes it to a disk might leave its folder, or fail. None is left out silently.
    fn path_of<'a>(&self, key: &'a str) -> Result<Option<&'a str>, SourceError> {
        let Some(path) = key.strip_prefix(self.prefix.as_str()) else {
            return Ok(None);
        };
        if path.is_empty() || path.ends_with('/') {
            return Ok(None);
        }
        ObjectKey::new(&self.prefix, path)?;
        Ok(Some(path))
    }

    fn to_text(&self, bucket: &SourceBucket) -> String {
        let text = |patterns: &[PathPattern]| {
            let texts: Vec<_> = patterns.iter().map(PathPattern::as_str).collect();
            texts.join(", ")
        };
        let mut words = format!(
            "{} include {}",
            bucket.place(self.prefix.as_str()),
            text(&self.include)
        );
        if !self.exclude.is_empty() {
            words.push_str(" exclude ");
            words.push_str(&text(&self.exclude));
        }
        words
    }
}

impl SourceBucket {
    /// The objects that are selected, in byte order of their keys, each as it is now. Looks at no more than
    /// [`MAX_ENTRIES`], and keeps no more than `MAX_MATCHES` of them. Looks at no further one once `stop` is cancelled.
    ///
    /// # Errors
    /// [`SourceError::Empty`] when there is none, [`SourceError::Ended`] once it is stopped,
    /// [`SourceError::KeyInvalid`] for a key that is no path, and whatever keeps the bucket from being listed, or a selected object from being read.
    pub fn scan(
        &self,
        selection: &Selection,
        stop: &CancellationToken,
    ) -> Result<Vec<SourceFile>, SourceError> {
        let (mut entries, mut found) = (0, Vec::new());
        self.pages(selection.prefix(), |object| {
            if stop.is_cancelled() {
                return Err(SourceError::Ended);
            }
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(SourceError::TooManyEntries {
                    pattern: selection.to_text(self),
                    limit: MAX_ENTRIES,
                });
            }
            if let Some(path) = selection.path_of(&object.key)?
                && selection.takes(path)
            {
                found.push(object);
            }
            if found.len() > MAX_MATCHES {
                return Err(SourceError::TooManyMatches {
                    pattern: selection.to_text(self),
                    limit: MAX_OBJECTS,
                });
            }
            Ok(More::Wanted)
        })?;
        if found.is_empty() {
            let pattern = selection.to_text(self);
            return Err(SourceError::Empty { pattern, entries });
        }
        for object in &found {
            self.can_be_read(object)?;
        }
        let mut files: Vec<_> = found.into_iter().map(file).collect();
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    /// Makes sure that each of `files` is there, and what it was.
    ///
    /// # Errors
    /// [`SourceError::ObjectChanged`] when one isn't, and what keeps the bucket from being listed.
    pub fn recheck(&self, prefix: &KeyPrefix, files: &[SourceFile]) -> Result<(), SourceError> {
        let planned = files.iter().map(|file| (&*file.path, &file.fingerprint));
        let mut planned: HashMap<&str, &Fingerprint> = planned.collect();
        self.pages(prefix, |object| {
            let Some(fingerprint) = planned.remove(&*object.key) else {
                return Ok(More::Wanted);
            };
            let now = file(object);
            if now.fingerprint != *fingerprint {
                return Err(SourceError::ObjectChanged {
                    place: self.place(&now.path),
                    change: ObjectChange::Overwritten,
                });
            }
            Ok(match planned.is_empty() {
                true => More::Unwanted,
                false => More::Wanted,
            })
        })?;
        match planned.keys().min() {
            None => Ok(()),
            Some(key) => Err(SourceError::ObjectChanged {
                place: self.place(key),
                change: ObjectChange::Gone,
            }),
        }
    }

    /// Whether there is an object of exactly that key. A listing asks for no right that reading the others doesn't.
    ///
    /// # Errors
    /// What keeps the bucket from being listed.
    pub fn has(&self, key: &str) -> Result<bool, SourceError> {
        // Of all keys that begin so, the key itself comes first.
        let page = self.page(key.to_owned(), PageSize::One, None)?;
        Ok(page.0.first().is_some_and(|object| object.key == key))
    }

    /// Shows `see` every object below `prefix`, until it has seen enough.
    fn pages(
        &self,
        prefix: &KeyPrefix,
        mut see: impl FnMut(ListedObject) -> Result<More, SourceError>,
    ) -> Result<(), SourceError> {
        let mut token = None;
        loop {
            let (objects, next) =
                self.page(prefix.as_str().to_owned(), PageSize::Full, token.clone())?;
            for object in objects {
                if see(object)? == More::Unwanted {
                    return Ok(());
                }
            }
            // A store that gives the same page again would keep us for ever.
            if next.is_none() || next == token {
                return Ok(());
            }
            token = next;
        }
    }

    fn page(
        &self,
        prefix: String,
        size: PageSize,
        token: Option<PageToken>,
    ) -> Result<(Vec<ListedObject>, Option<PageToken>), SourceError> {
        let (here, place) = (self.clone(), self.place(&prefix));
        let page = self.wait(async move {
            here.ask(|bucket| {
                let (prefix, token) = (prefix.clone(), token.clone());
                async move { bucket.list_objects(&prefix, size, token).await }
            })
            .await
        });
        let page = page.map_err(|error| error.at(place))?;
        Ok((page.objects, page.next))
    }

    /// An object of an archive can be read while a restored copy of it is there: its first byte tells.
    fn can_be_read(&self, object: &ListedObject) -> Result<(), SourceError> {
        if object.storage == Storage::Online || object.size == 0 {
            return Ok(());
        }
        let (here, place) = (self.clone(), self.place(&object.key));
        let (key, etag) = (object.key.clone(), object.etag.clone());
        let first = ByteRange { offset: 0, len: 1 };
        let read = self.wait(async move {
            here.ask(|bucket| {
                let (key, etag) = (key.clone(), etag.clone());
                async move { bucket.read_range(&key, &etag, first).await }
            })
            .await
        });
        read.map(drop).map_err(|error| error.at(place))
    }
}

/// Whether more objects are to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Wanted,
    Unwanted,
}

fn file(object: ListedObject) -> SourceFile {
    SourceFile {
        path: object.key,
        fingerprint: Fingerprint::Object {
            size: object.size,
            etag: object.etag,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let texts = |patterns: &[&str]| -> Vec<String> {
            patterns.iter().map(|text| (*text).to_owned()).collect()
        };
        let prefix = KeyPrefix::new("marketing/").unwrap();
        Selection::new(prefix, &texts(include), &texts(exclude)).unwrap()
    }

    #[test]
    fn patterns_are_of_paths_below_the_prefix() {
        let all = selection(&[], &[]);
        for (key, taken) in [
            ("marketing/a.csv", true),
            ("marketing/x/y/a", true),
            ("marketing/_SUCCESS", false),
            ("marketing/.hidden/a", false),
            ("marketing/a.tmp", false),
        ] {
            let path = all.path_of(key).unwrap().unwrap();
            assert_eq!(all.takes(path), taken, "{key}");
        }
        let some = selection(&["*.csv", "eu/*"], &["*-old.csv", "eu/x*"]);
        for (path, taken) in [
            ("a.csv", true),
            ("a-old.csv", false),
            ("x/a.csv", false),
            ("eu/y", true),
            ("eu/x1", false),
            ("marketing/a.csv", false),
        ] {
            assert_eq!(some.takes(path), taken, "{path}");
        }
        assert!(Selection::new(KeyPrefix::default(), &["../a".to_owned()], &[]).is_err());
    }

    #[test]
    fn markers_of_folders_are_none_and_keys_that_lead_elsewhere_are_refused() {
        let all = selection(&[], &[]);
        for key in ["marketing/", "marketing/x/", "marketing-secret/a", "other"] {
            assert_eq!(all.path_of(key).unwrap(), None, "{key}");
        }
        for key in [
            "marketing/../secret/a",
            "marketing/x/../a",
            "marketing/./a",
            "marketing//a",
            "marketing/x//a",
            "marketing/a\n",
            "marketing/\u{1b}[0m",
        ] {
            let refused = all.path_of(key).unwrap_err();
            assert!(
                matches!(refused, SourceError::KeyInvalid(_)),
                "{key:?}: {refused}"
            );
            assert!(!refused.to_string().contains(['\n', '\u{1b}']));
        }
    }
}
