//! When a destination is proved again.
//!
//! Each has its own place in the interval, by its uid. So proofs are spread over it however the destinations came to
//! be, all at once too, and a restart of the operator changes nothing.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::judge::VERIFIED_TIME_AGE;

/// The part of the interval in which a proof isn't repeated.
const TOO_SOON: u32 = 60;

/// What is overdue comes within this time, or within the interval.
const CATCHING_UP: Duration = Duration::from_secs(3600);

/// How long until the next proof after one that succeeded now.
pub(super) fn after_proof(uid: &str, interval: Duration) -> Duration {
    next(uid, interval, now(), Duration::ZERO)
}

/// The same after a delivery, which counts as a proof: from half to one and a half of the interval.
pub(super) fn after_delivery(uid: &str, interval: Duration) -> Duration {
    let pause = interval / 2;
    pause + until(uid, interval, now() + pause)
}

/// The same when this process begins, and the status says that access was proved so long `ago`.
pub(super) fn after_restart(uid: &str, interval: Duration, ago: Duration) -> Duration {
    restart(uid, interval, now(), ago)
}

fn restart(uid: &str, interval: Duration, now: Duration, ago: Duration) -> Duration {
    // Proofs may have gone on for as long as the status needn't say so.
    let overdue = ago > interval + interval / TOO_SOON + VERIFIED_TIME_AGE;
    if overdue {
        until(uid, interval.min(CATCHING_UP), now)
    } else {
        next(uid, interval, now, ago)
    }
}

/// The destination's next turn, but for one that comes too soon after a proof so long `ago`.
fn next(uid: &str, interval: Duration, now: Duration, ago: Duration) -> Duration {
    let pause = until(uid, interval, now);
    if ago + pause < interval / TOO_SOON {
        pause + interval
    } else {
        pause
    }
}

/// How long until the destination's place in the interval comes round. Times are since the epoch.
fn until(uid: &str, interval: Duration, now: Duration) -> Duration {
    let mut hash = DefaultHasher::new();
    uid.hash(&mut hash);
    let round = interval.as_nanos().max(1);
    let place = (u128::from(hash.finish()) * round) >> 64;
    let pause = (place + round - now.as_nanos() % round) % round;
    // At most the interval, which is under 585 years.
    Duration::from_nanos(u64::try_from(pause).unwrap_or(u64::MAX))
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    fn uid(number: u32) -> String {
        format!("5e1b7d0c-0000-4000-8000-{number:012}")
    }

    #[test]
    fn destinations_that_are_proved_at_once_are_spread_over_the_interval() {
        let now = Duration::from_secs(1_764_000_000);
        let mut by_minute = [0; 61];
        for number in 0..6000 {
            let pause = next(&uid(number), HOUR, now, Duration::ZERO);
            assert!(pause >= MINUTE && pause <= HOUR + MINUTE, "{pause:?}");
            by_minute[usize::try_from(pause.as_secs() / 60).unwrap()] += 1;
        }
        // 100 in each minute but the first, in which they were just proved: those come an hour later.
        assert_eq!(by_minute[0], 0);
        let (most, least) = (by_minute[1..].iter().max(), by_minute[1..].iter().min());
        assert!(most < Some(&150) && least > Some(&60), "{by_minute:?}");
    }

    #[test]
    fn a_place_comes_round_once_in_each_interval() {
        let begun = Duration::from_secs(1_764_000_000);
        let first = begun + next("u", HOUR, begun, HOUR);
        // A proof takes a moment.
        let proved = first + Duration::from_millis(50);
        let second = proved + next("u", HOUR, proved, Duration::ZERO);
        assert_eq!(second, first + HOUR);
    }

    #[test]
    fn a_restart_changes_no_schedule() {
        let begun = Duration::from_secs(1_764_000_000);
        for number in 0..1000 {
            let due = begun + next(&uid(number), HOUR, begun, Duration::ZERO);
            for later in [1, 59, 600, 1800] {
                let later = Duration::from_secs(later);
                if begun + later < due {
                    let pause = restart(&uid(number), HOUR, begun + later, later);
                    assert_eq!(begun + later + pause, due);
                }
            }
            // The status may say less than is the case, for an hour.
            let written_before = restart(&uid(number), HOUR, begun, HOUR * 2);
            assert_eq!(written_before, until(&uid(number), HOUR, begun));
        }
    }

    #[test]
    fn what_is_long_overdue_is_caught_up_with_within_an_hour() {
        let (year, now) = (HOUR * 8760, Duration::from_secs(1_764_000_000));
        for number in 0..100 {
            assert!(restart(&uid(number), year, now, year * 2) <= HOUR);
            assert!(restart(&uid(number), MINUTE, now, year) <= MINUTE);
        }
        let in_time = (0..100).map(|number| restart(&uid(number), year, now, HOUR));
        assert!(in_time.max() > Some(HOUR * 24));
    }

    #[test]
    fn a_delivery_puts_a_proof_off() {
        for number in 0..100 {
            let pause = after_delivery(&uid(number), HOUR);
            assert!(pause >= HOUR / 2 && pause <= HOUR * 3 / 2, "{pause:?}");
        }
    }
}
