//! What a delivery learns of its store on the way, that no proof could tell.

use std::sync::{Mutex, PoisonError};

use crate::store::{Bucket, Capabilities, ConditionalWrite, Dialect, Met, StoreError, Use};

/// What was learned. Empty at first: then what the bucket says of itself holds.
#[derive(Debug, Default)]
pub(super) struct Learned(Mutex<Lessons>);

#[derive(Clone, Copy, Debug, Default)]
struct Lessons {
    /// No dialect that verifies more than this one works.
    at_most: Dialect,
    conditional_write: ConditionalWrite,
    met: Met,
    ground: Ground,
}

/// Whether somebody was under a delivery's keys before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nobody looked yet.
    #[default]
    Unknown,
    /// Nothing was found so far.
    Fresh,
    /// Something was: most likely an earlier run of the same delivery.
    Trodden,
}

impl Learned {
    /// `bucket` with what was learned since it was made.
    pub(super) fn applied_to(&self, bucket: &Bucket) -> Bucket {
        let lessons = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = bucket.capabilities();
        bucket.with_capabilities(Capabilities {
            dialect: known.dialect.lesser(lessons.at_most),
            conditional_write: match known.conditional_write {
                ConditionalWrite::Unknown => lessons.conditional_write,
                known => known,
            },
            met: known.met.and(lessons.met),
        })
    }

    /// The store took every part in `dialect` and then refused the whole. Whether there is a lesser one.
    pub(super) fn does_not_work(&self, dialect: Dialect) -> Option<Dialect> {
        let place = Dialect::ALL.iter().position(|known| *known == dialect)?;
        let next = *Dialect::ALL.get(place + 1)?;
        let mut lessons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lessons.at_most = lessons.at_most.lesser(next);
        Some(next)
    }

    /// Notes what an answer to ListParts tells of our right to ask.
    pub(super) fn list_parts<T>(&self, answer: &Result<T, StoreError>) {
        let met = Met {
            list_parts: Use::told_by(answer),
            ..Met::default()
        };
        self.met(met);
    }

    /// HeadObject was allowed. That it is refused no answer tells: a missing object's is the same, where we
    /// may not list.
    pub(super) fn may_look(&self) {
        let met = Met {
            head: Use::Allowed,
            ..Met::default()
        };
        self.met(met);
    }

    /// What was under a key that we looked at, or wrote to.
    pub(super) fn found(&self, ground: Ground) {
        let mut lessons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lessons.ground != Ground::Trodden {
            lessons.ground = ground;
        }
    }

    /// What was under the keys so far.
    pub(super) fn ground(&self) -> Ground {
        let lessons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lessons.ground
    }

    fn met(&self, met: Met) {
        let mut lessons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lessons.met = lessons.met.and(met);
    }

    pub(super) fn conditional_write(&self, found: ConditionalWrite) {
        let mut lessons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lessons.conditional_write = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ground_that_was_trodden_is_never_fresh_again() {
        let learned = Learned::default();
        assert_eq!(learned.ground(), Ground::Unknown);
        for (found, then) in [
            (Ground::Fresh, Ground::Fresh),
            (Ground::Trodden, Ground::Trodden),
            (Ground::Fresh, Ground::Trodden),
        ] {
            learned.found(found);
            assert_eq!(learned.ground(), then);
        }
    }

    #[test]
    fn goes_down_and_never_up() {
        let learned = Learned::default();
        let now = || learned.0.lock().unwrap().at_most;
        assert_eq!(now(), Dialect::Crc64Nvme);
        let next = learned.does_not_work(Dialect::Crc32c);
        assert_eq!(
            (next, now()),
            (Some(Dialect::ContentMd5), Dialect::ContentMd5)
        );
        let next = learned.does_not_work(Dialect::Crc64Nvme);
        assert_eq!((next, now()), (Some(Dialect::Crc32c), Dialect::ContentMd5));
        assert_eq!(learned.does_not_work(Dialect::ContentMd5), None);
        assert_eq!(Dialect::Crc32c.lesser(Dialect::Crc64Nvme), Dialect::Crc32c);
    }
}
