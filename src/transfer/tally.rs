//! What a run did so far: counts that only grow, so that whoever looks now and then misses nothing.

/// Why something was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryReason {
    /// The store asked for fewer requests.
    Throttled,
    /// The store failed, or wasn't reached.
    Unavailable,
    /// The answer was lost.
    Unanswered,
    /// The bytes were damaged or cut off on their way.
    Damaged,
    /// Somebody else wrote or deleted an object of the same key meanwhile.
    Conflict,
    /// The source could not be read for the moment.
    Source,
    /// An object had to start again from its beginning.
    Restarted,
}

impl RetryReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Throttled,
        Self::Unavailable,
        Self::Unanswered,
        Self::Damaged,
        Self::Conflict,
        Self::Source,
        Self::Restarted,
    ];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "Throttled",
            Self::Unavailable => "Unavailable",
            Self::Unanswered => "Unanswered",
            Self::Damaged => "Damaged",
            Self::Conflict => "Conflict",
            Self::Source => "Source",
            Self::Restarted => "Restarted",
        }
    }
}

/// Counts of one run. Receipts count among the retries alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes that were sent and confirmed, those that were sent again too. What the store had already isn't counted.
    pub bytes: u64,
    /// Requests with such bytes: parts, and small objects in one piece.
    pub parts: u64,
    /// Objects that are there and verified since this run.
    pub objects: u64,
    retries: [u64; RetryReason::ALL.len()],
}

impl Tally {
    /// How often something was tried again for that reason.
    #[must_use]
    pub fn retries(&self, reason: RetryReason) -> u64 {
        self.retries[reason as usize]
    }

    /// What came since `earlier`, a look at the same run.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut retries = self.retries;
        for (now, before) in retries.iter_mut().zip(earlier.retries) {
            *now = now.saturating_sub(before);
        }
        Self {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            parts: self.parts.saturating_sub(earlier.parts),
            objects: self.objects.saturating_sub(earlier.objects),
            retries,
        }
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.parts += 1;
    }

    pub(super) fn retried(&mut self, reason: RetryReason) {
        self.retries[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_is_the_difference() {
        let mut tally = Tally::default();
        tally.sent(5);
        tally.retried(RetryReason::Damaged);
        let earlier = tally;
        tally.sent(7);
        tally.retried(RetryReason::Restarted);
        let since = tally.since(&earlier);
        assert_eq!((since.bytes, since.parts), (7, 1));
        let retries = RetryReason::ALL.map(|reason| since.retries(reason));
        assert_eq!(retries, [0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(tally.since(&Tally::default()), tally);
    }
}
