//! What the process remembers of each destination between proofs: when the next is due, what failed in a row.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::schedule;
use crate::store::Capabilities;

/// The first pause after a failed proof; it doubles up to the interval.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// What was asked for when a proof was made; when it differs now, a proof is due at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// `metadata.generation`.
    pub(crate) generation: i64,
    /// The value of `outbound.dev/requestedAt`.
    pub(crate) request: Option<String>,
}

/// What is remembered of one destination.
#[derive(Clone, Debug, Default)]
struct Entry {
    question: Question,
    secret_version: Option<String>,
    due: Option<Instant>,
    /// When a proof last succeeded.
    verified: Option<Instant>,
    /// When a proof, or a delivery that counts as one, last succeeded, in this process or before.
    proved: Option<Instant>,
    /// Proofs in a row that weren't answered.
    unanswered: u32,
    /// Proofs in a row that failed, answered or not.
    failed: u32,
    /// What the last proof said of an upload that it could not abort.
    orphan: Option<String>,
    /// What a delivery found out of the store, and at which generation of the destination.
    learned: Option<(i64, Capabilities)>,
}

/// How a proof ended, as far as the schedule goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Access is proved.
    Verified,
    /// The store, or our own rules, refused.
    Refused,
    /// No answer that says anything about access.
    Unanswered,
}

/// The memory of all destinations, by uid.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: Mutex<HashMap<String, Entry>>,
}

impl Memory {
    /// How long until a proof of `question` is due; `None` when nothing is remembered of that question.
    pub(crate) fn due_in(&self, uid: &str, question: &Question, now: Instant) -> Option<Duration> {
        let entries = self.entries();
        let entry = entries
            .get(uid)
            .filter(|entry| entry.question == *question)?;
        Some(entry.due?.saturating_duration_since(now))
    }

    /// Remembers that `question` was answered before this process began, `ago`; the next proof is due in `pause`.
    pub(crate) fn adopt(
        &self,
        uid: &str,
        question: Question,
        secret_version: Option<String>,
        ago: Duration,
        pause: Duration,
    ) {
        let now = Instant::now();
        let due = Some(now + pause);
        let entry = Entry {
            question,
            secret_version,
            due,
            proved: now.checked_sub(ago),
            ..Entry::default()
        };
        self.entries().insert(uid.to_owned(), entry);
    }

    /// How many proofs in a row would be unanswered if one that ends now were.
    pub(crate) fn unanswered_with_this(&self, uid: &str, question: &Question) -> u32 {
        let entries = self.entries();
        let before = entries
            .get(uid)
            .filter(|entry| entry.question.generation == question.generation);
        before.map_or(1, |entry| entry.unanswered + 1)
    }

    /// Remembers how a proof ended, and returns the pause until the next: until the destination's next turn after a
    /// success, else a backoff with jitter that ends at the interval.
    pub(crate) fn ended(
        &self,
        uid: &str,
        question: &Question,
        secret_version: Option<String>,
        ending: Ending,
        interval: Duration,
    ) -> Duration {
        let mut entries = self.entries();
        let entry = entries.entry(uid.to_owned()).or_default();
        if entry.question.generation != question.generation {
            let proved = entry.proved;
            *entry = Entry {
                proved,
                ..Entry::default()
            };
        }
        entry.question = question.clone();
        entry.secret_version = secret_version;
        entry.unanswered = if ending == Ending::Unanswered {
            entry.unanswered + 1
        } else {
            0
        };
        entry.failed = if ending == Ending::Verified {
            0
        } else {
            entry.failed + 1
        };
        let pause = match ending {
            Ending::Verified => schedule::after_proof(uid, interval),
            Ending::Refused | Ending::Unanswered => jittered(backoff(entry.failed, interval)),
        };
        let now = Instant::now();
        entry.due = Some(now + pause);
        if ending == Ending::Verified {
            entry.verified = Some(now);
            entry.proved = Some(now);
        }
        pause
    }

    /// How long ago access was last proved, or seen to be there by a delivery.
    pub(crate) fn proved_ago(&self, uid: &str) -> Option<Duration> {
        let proved = self.entries().get(uid).and_then(|entry| entry.proved);
        proved.map(|proved| proved.elapsed())
    }

    /// Whether access was proved after that time.
    pub(crate) fn verified_since(&self, uid: &str, time: Instant) -> bool {
        let verified = self.entries().get(uid).and_then(|entry| entry.verified);
        verified.is_some_and(|verified| verified > time)
    }

    /// Remembers what a delivery found out of the store of a destination as it was at `generation`.
    pub(crate) fn learn(&self, uid: &str, generation: i64, capabilities: Capabilities) {
        if let Some(entry) = self.entries().get_mut(uid) {
            entry.learned = Some((generation, capabilities));
        }
    }

    /// What deliveries found out since the last proof that was asked for.
    pub(crate) fn learned(&self, uid: &str, generation: i64) -> Option<Capabilities> {
        let entries = self.entries();
        let (at, capabilities) = entries.get(uid)?.learned?;
        (at == generation).then_some(capabilities)
    }

    /// What was found out stands in the status now, or a proof knows better.
    pub(crate) fn forget_learned(&self, uid: &str) {
        if let Some(entry) = self.entries().get_mut(uid) {
            entry.learned = None;
        }
    }

    /// Remembers what the proof that just ended said of an upload that it could not abort.
    pub(crate) fn set_orphan(&self, uid: &str, message: Option<String>) {
        if let Some(entry) = self.entries().get_mut(uid) {
            entry.orphan = message;
        }
    }

    /// What the last proof of that generation said of an upload that it could not abort.
    pub(crate) fn orphan(&self, uid: &str, generation: i64) -> Option<String> {
        let entries = self.entries();
        let entry = entries
            .get(uid)
            .filter(|entry| entry.question.generation == generation)?;
        entry.orphan.clone()
    }

    /// Takes a delivery that succeeded for a proof.
    pub(crate) fn confirmed(&self, uid: &str, interval: Duration) {
        if let Some(entry) = self.entries().get_mut(uid) {
            let now = Instant::now();
            entry.due = Some(now + schedule::after_delivery(uid, interval));
            entry.proved = Some(now);
            entry.unanswered = 0;
        }
    }

    /// Asks for a proof at the next reconcile, whatever the schedule says.
    pub(crate) fn hurry(&self, uid: &str) {
        if let Some(entry) = self.entries().get_mut(uid) {
            entry.due = Some(Instant::now());
        }
    }

    /// The Secret's version that the last proof used; the outer `None` when nothing is remembered of the destination.
    pub(crate) fn secret_version(&self, uid: &str) -> Option<Option<String>> {
        let entries = self.entries();
        entries.get(uid).map(|entry| entry.secret_version.clone())
    }

    /// Forgets a destination that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.entries().remove(uid);
    }

    /// Keeps only the destinations that `is_known` knows.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.entries().retain(|uid, _| is_known(uid));
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn backoff(failed: u32, limit: Duration) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << (failed.max(1) - 1).min(16))
        .min(limit)
}

/// Up to a tenth less, so that destinations that fail together don't stay together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - 0.1 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn question(generation: i64) -> Question {
        Question {
            generation,
            request: None,
        }
    }

    #[test]
    fn failures_back_off_to_the_interval_and_success_ends_them() {
        let memory = Memory::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pauses.push(memory.ended("u", &question(1), None, Ending::Refused, HOUR));
        }
        assert!(pauses[0] <= FIRST_PAUSE && pauses[0] >= FIRST_PAUSE.mul_f64(0.9));
        assert!(pauses[3] > pauses[0] && pauses.iter().all(|pause| *pause <= HOUR));
        let pause = memory.ended("u", &question(1), None, Ending::Verified, HOUR);
        assert!(pause >= HOUR / 60 && pause <= HOUR + HOUR / 60, "{pause:?}");
        assert!(memory.ended("u", &question(1), None, Ending::Unanswered, HOUR) <= FIRST_PAUSE);
    }

    #[test]
    fn only_a_proof_that_succeeded_since_says_that_access_is_back() {
        let memory = Memory::default();
        let before = Instant::now();
        memory.ended("u", &question(1), None, Ending::Refused, HOUR);
        assert!(!memory.verified_since("u", before));
        memory.ended("u", &question(1), None, Ending::Verified, HOUR);
        assert!(memory.verified_since("u", before));
        assert!(!memory.verified_since("u", Instant::now()));
        assert!(!memory.verified_since("another", before));
    }

    #[test]
    fn what_was_proved_before_this_process_and_what_a_delivery_showed_count_as_proved() {
        let memory = Memory::default();
        assert_eq!(memory.proved_ago("u"), None);
        memory.adopt("u", question(1), None, Duration::from_millis(5), HOUR);
        assert!(memory.proved_ago("u") >= Some(Duration::from_millis(5)));
        memory.ended("u", &question(2), None, Ending::Refused, HOUR);
        assert!(memory.proved_ago("u") >= Some(Duration::from_millis(5)));
        let before = Instant::now();
        memory.confirmed("u", HOUR);
        assert!(memory.proved_ago("u") <= Some(before.elapsed()));
    }

    #[test]
    fn another_question_is_not_answered_by_an_old_proof() {
        let memory = Memory::default();
        memory.ended("u", &question(1), None, Ending::Verified, HOUR);
        assert!(memory.due_in("u", &question(1), Instant::now()).is_some());
        assert_eq!(memory.due_in("u", &question(2), Instant::now()), None);
        let requested = Question {
            generation: 1,
            request: Some("now".into()),
        };
        assert_eq!(memory.due_in("u", &requested, Instant::now()), None);
    }

    #[test]
    fn unanswered_proofs_count_in_a_row_only() {
        let memory = Memory::default();
        assert_eq!(memory.unanswered_with_this("u", &question(1)), 1);
        memory.ended("u", &question(1), None, Ending::Unanswered, HOUR);
        memory.ended("u", &question(1), None, Ending::Unanswered, HOUR);
        assert_eq!(memory.unanswered_with_this("u", &question(1)), 3);
        memory.ended("u", &question(1), None, Ending::Verified, HOUR);
        assert_eq!(memory.unanswered_with_this("u", &question(1)), 1);
    }
}
