//! How long files have been still.

use std::time::Duration;

use jiff::Timestamp;

use super::error::SourceError;
use crate::plan::{Fingerprint, SourceFile};

/// Makes sure that every file's content and metadata have been still for `min_age` at `now`.
///
/// # Errors
/// [`SourceError::WaitingForSource`], with when they all are; a time in the future counts as
/// it stands, so that such a file is waited for longer.
pub fn require_min_age(
    files: &[SourceFile],
    min_age: Duration,
    now: Timestamp,
) -> Result<(), SourceError> {
    let now_ns = now.as_nanosecond();
    let min_age_ns = i128::try_from(min_age.as_nanos()).unwrap_or(i128::MAX / 2);
    let remaining = |file: &SourceFile| {
        match file.fingerprint {
            Fingerprint::File {
                mtime_ns, ctime_ns, ..
            } => i128::from(mtime_ns.max(ctime_ns)) + min_age_ns - now_ns,
            // An object is whole from the moment that it is there.
            Fingerprint::Object { .. } => 0,
        }
    };
    let young = || files.iter().filter(|file| remaining(file) > 0);
    match young().max_by_key(|file| remaining(file)) {
        None => Ok(()),
        Some(last) => Err(SourceError::WaitingForSource {
            path: last.path.clone(),
            files: young().count(),
            min_age,
            ready_at: whole_second_after(now_ns + remaining(last)),
        }),
    }
}

/// The first whole second that isn't before that time; the last that can be named where it is beyond all calendars.
fn whole_second_after(nanoseconds: i128) -> Timestamp {
    let second = nanoseconds.div_euclid(1_000_000_000) + 1;
    let second = i64::try_from(second).ok();
    second
        .and_then(|second| Timestamp::from_second(second).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mtime_s: i64, ctime_s: i64) -> SourceFile {
        let fingerprint = Fingerprint::File {
            size: 1,
            mtime_ns: mtime_s * 1_000_000_000,
            ctime_ns: ctime_s * 1_000_000_000,
        };
        SourceFile {
            path: path.into(),
            fingerprint,
        }
    }

    #[test]
    fn both_times_must_be_old_enough() {
        let now = Timestamp::from_second(1000).unwrap();
        let min_age = Duration::from_secs(60);
        let check = |files: &[SourceFile]| require_min_age(files, min_age, now);
        assert!(check(&[]).is_ok());
        assert!(check(&[file("a", 940, 940), file("b", 1, 2)]).is_ok());
        for (mtime, ctime, wait) in [(941, 1, 1), (1, 970, 30), (1100, 1, 160)] {
            let files = [
                file("old", 1, 1),
                file("young", mtime, ctime),
                file("z", 941, 1),
            ];
            let Err(SourceError::WaitingForSource {
                path,
                files,
                ready_at,
                ..
            }) = check(&files)
            else {
                panic!("{mtime} {ctime} is old enough");
            };
            assert_eq!(files, 2);
            assert_eq!(ready_at.as_second(), 1001 + wait);
            if wait > 1 {
                assert_eq!(path, "young");
            }
        }
        let message = check(&[file("a\n", 990, 990)]).unwrap_err().to_string();
        assert!(
            message.contains("\"a\\n\", still enough at 1970-01-01T00:17:31Z"),
            "{message}"
        );
        assert!(require_min_age(&[file("a", 1000, 1000)], Duration::ZERO, now).is_ok());
        assert!(require_min_age(&[file("a", 1, 1)], Duration::MAX, now).is_err());
    }
}
