//! How many bytes a second go to a destination: slice by slice, whoever sends them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes a second in which a rate is still paced evenly, and the largest part (10^12 bytes in 10,000 parts: 100 MB)
/// goes out within the 15 minutes for which S3 takes a request's time: 100 MB / 128 kB/s is 13 minutes.
const LEAST: u64 = 128_000;

/// Bytes a second that no network has.
const MOST: u64 = 1_000_000_000_000;

/// What wasn't sent for that long may be made up for: the gap between two parts. Any 10 s then see 5 % more than
/// their due at most, and a slice.
const BURST: Duration = Duration::from_millis(500);

/// Slices a second. More would cost more than they even out; fewer would be seen as bursts.
const SLICES: u64 = 16;

/// How long what is under way would take at the full rate: more parts at once would hold memory and nothing else. At
/// 8 MiB a part that is one connection for each 2 MB/s, which a connection to another continent still carries.
const UNDER_WAY: u64 = 4;

/// Bytes a second, from 128,000 to 10^12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth(u64);

/// A bandwidth out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bandwidth of {0} bytes a second is not between 128000 and 1000000000000")]
pub struct BandwidthInvalid(pub u64);

impl Bandwidth {
    /// `bytes` a second.
    ///
    /// # Errors
    /// When that is under 128,000 or over 10^12.
    pub const fn new(bytes: u64) -> Result<Self, BandwidthInvalid> {
        if bytes < LEAST || bytes > MOST {
            return Err(BandwidthInvalid(bytes));
        }
        Ok(Self(bytes))
    }

    /// Bytes a second.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Bytes that are worth having under way at once.
    pub(super) const fn under_way(self) -> u64 {
        self.0 * UNDER_WAY
    }
}

/// When the next slice may go. Pure.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    rate: u64,
    /// When all that was booked has gone, at the rate.
    next: Instant,
}

impl Schedule {
    /// Books at most `wanted` bytes: how many, and when they may go.
    fn book(&mut self, now: Instant, wanted: usize) -> (usize, Instant) {
        let slice = usize::try_from(self.rate / SLICES).unwrap_or(usize::MAX);
        let len = wanted.min(slice);
        // What was left unused before the burst is gone.
        let start = self.next.max(now.checked_sub(BURST).unwrap_or(now));
        self.next = start + Duration::from_nanos(len as u64 * 1_000_000_000 / self.rate);
        (len, start)
    }
}

/// One destination's bytes on their way out.
#[derive(Debug)]
pub(super) struct Pacer {
    /// 0 without a limit, so that who has none takes no lock.
    rate: AtomicU64,
    schedule: Mutex<Schedule>,
}

impl Pacer {
    /// Without a limit.
    pub(super) fn new() -> Self {
        let schedule = Schedule {
            rate: LEAST,
            next: Instant::now(),
        };
        Self {
            rate: AtomicU64::new(0),
            schedule: Mutex::new(schedule),
        }
    }

    /// From the next slice on. Those that are booked wait for their time: less than a second for each sixteen.
    pub(super) fn limit(&self, bandwidth: Option<Bandwidth>) {
        let rate = bandwidth.map_or(0, |bandwidth| bandwidth.0);
        if self.rate.swap(rate, Ordering::SeqCst) == rate || rate == 0 {
            return;
        }
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        *schedule = Schedule {
            rate,
            next: Instant::now(),
        };
    }

    /// At most `wanted` bytes may go: how many, and at what time if not now.
    pub(super) fn turn(&self, wanted: usize) -> (usize, Option<Instant>) {
        if self.rate.load(Ordering::Relaxed) == 0 {
            return (wanted, None);
        }
        let now = Instant::now();
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        let (len, at) = schedule.book(now, wanted);
        (len, (at > now).then_some(at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLICE: usize = 128 << 10;

    /// Sends by a clock of its own: `parts` senders, each of which books a slice when its last has gone and it has
    /// paused; returns when which bytes went.
    fn send(
        schedule: &mut Schedule,
        from: Instant,
        span: Duration,
        parts: &[Duration],
    ) -> Vec<(Instant, u64)> {
        let mut ready: Vec<Instant> = parts.iter().map(|_| from).collect();
        let mut sent = Vec::new();
        loop {
            let (part, now) = ready
                .iter()
                .copied()
                .enumerate()
                .min_by_key(|(_, at)| *at)
                .unwrap();
            if now >= from + span {
                return sent;
            }
            let (len, at) = schedule.book(now, SLICE);
            let at = at.max(now);
            sent.push((at, len as u64));
            ready[part] = at + parts[part];
        }
    }

    fn within(sent: &[(Instant, u64)], from: Instant, span: Duration) -> u64 {
        let inside = |at: &Instant| *at >= from && *at < from + span;
        let sent = sent.iter().filter(|(at, _)| inside(at));
        sent.map(|(_, len)| len).sum()
    }

    proptest! {
        #[test]
        fn any_ten_seconds_hold_the_rate(
            rate in prop_oneof![LEAST..10_000_000, LEAST..100_000_000],
            parts in 1_usize..20,
        ) {
            const TEN: Duration = Duration::from_secs(10);
            let begun = Instant::now();
            let mut schedule = Schedule { rate, next: begun };
            let parts = vec![Duration::ZERO; parts];
            let sent = send(&mut schedule, begun, Duration::from_secs(25), &parts);
            for tenth in 0..100 {
                let bytes = within(&sent, begun + Duration::from_millis(tenth * 100), TEN);
                let due = rate as f64 * 10.0;
                prop_assert!(bytes as f64 >= due * 0.9 && bytes as f64 <= due * 1.1, "{bytes} of {due}");
            }
        }

        #[test]
        fn pauses_are_never_made_up_for_beyond_the_burst(
            rate in LEAST..5_000_000,
            pauses in proptest::collection::vec(0_u64..3000, 1..6),
        ) {
            const TEN: Duration = Duration::from_secs(10);
            let begun = Instant::now();
            let mut schedule = Schedule { rate, next: begun };
            let pauses: Vec<_> = pauses.into_iter().map(Duration::from_millis).collect();
            let sent = send(&mut schedule, begun, Duration::from_secs(40), &pauses);
            for (from, _) in &sent {
                prop_assert!(within(&sent, *from, TEN) as f64 <= rate as f64 * 11.0);
            }
        }
    }

    #[test]
    fn a_short_gap_is_made_up_for() {
        let begun = Instant::now();
        let mut schedule = Schedule {
            rate: 1_000_000,
            next: begun,
        };
        // A slice of 62,500 bytes takes 62.5 ms; a pause of as much behind each is what the next ones make up for,
        // as long as two senders are there.
        let pauses = [Duration::from_millis(60); 2];
        let sent = send(&mut schedule, begun, Duration::from_secs(12), &pauses);
        let bytes = within(
            &sent,
            begun + Duration::from_secs(1),
            Duration::from_secs(10),
        );
        assert!((9_000_000..=11_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn parts_share_it_evenly() {
        let begun = Instant::now();
        let mut schedule = Schedule {
            rate: LEAST,
            next: begun,
        };
        let mut bytes = [0; 4];
        let mut ready = [begun; 4];
        for _ in 0..4000 {
            let part = (0..4).min_by_key(|part| ready[*part]).unwrap();
            let (len, at) = schedule.book(ready[part], SLICE);
            bytes[part] += len;
            ready[part] = at.max(ready[part]);
        }
        let (least, most) = (bytes.iter().min().unwrap(), bytes.iter().max().unwrap());
        assert!(most - least <= 2 * 8000, "{bytes:?}");
    }

    #[test]
    fn without_a_limit_nothing_waits_and_a_change_counts_at_once() {
        let pacer = Pacer::new();
        for _ in 0..1000 {
            assert_eq!(pacer.turn(SLICE), (SLICE, None));
        }
        pacer.limit(Some(Bandwidth::new(LEAST).unwrap()));
        let waits = |pacer: &Pacer| (0..1000).filter(|_| pacer.turn(SLICE).1.is_some()).count();
        assert!(waits(&pacer) >= 900);
        // All that was booked at the lesser rate is no debt of the greater one.
        pacer.limit(Some(Bandwidth::new(MOST).unwrap()));
        let (len, at) = pacer.turn(SLICE);
        assert_eq!(len, SLICE);
        assert!(at.is_none_or(|at| at <= Instant::now() + Duration::from_secs(1)));
        pacer.limit(None);
        assert_eq!(waits(&pacer), 0);
    }

    #[test]
    fn a_bandwidth_has_bounds() {
        assert_eq!(Bandwidth::new(LEAST - 1), Err(BandwidthInvalid(LEAST - 1)));
        assert_eq!(Bandwidth::new(MOST + 1), Err(BandwidthInvalid(MOST + 1)));
        assert_eq!(Bandwidth::new(LEAST).unwrap().under_way(), 512_000);
    }
}
