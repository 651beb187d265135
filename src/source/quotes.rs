//! Whether a place in a CSV file stands in quotes: the parity of the quotes before it.
//!
//! It has to be counted from the file's first byte, but the parities of two stretches add up to that of both: so
//! several threads count side by side. Counting one byte is what a core does as fast as memory delivers.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use memchr::memchr_iter;

use super::cores::cores;
use super::search::ReadBlock;

/// Threads that count at once, where the machine has as many cores: more wait for memory.
const THREADS: usize = 4;

/// Bytes that a thread takes on at a time: each reads on where it is, as file systems like it.
const STRETCH: u64 = 8 << 20;

/// Whether a place stands in quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Parity {
    /// An even number of quotes stands before it.
    #[default]
    Outside,
    /// An odd number.
    Inside,
}

impl Parity {
    /// Of a place behind `bytes` that begin outside.
    pub(super) fn of(bytes: &[u8]) -> Self {
        if memchr_iter(b'"', bytes).count().is_multiple_of(2) {
            Self::Outside
        } else {
            Self::Inside
        }
    }

    /// Of both stretches together.
    pub(super) fn and(self, next: Self) -> Self {
        if self == next {
            Self::Outside
        } else {
            Self::Inside
        }
    }

    pub(super) fn is_outside(self) -> bool {
        self == Self::Outside
    }
}

/// How a file is read in a pass over it.
pub(super) struct Pass<'a> {
    pub(super) read: &'a ReadBlock<'a>,
    /// Bytes in one read.
    pub(super) block: usize,
}

/// What is known of a file's quotes so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quotes {
    end: u64,
    parity: Parity,
}

impl Quotes {
    /// Whether the byte at `offset` stands in quotes: reads what lies between the last question and this one.
    pub(super) fn parity_at(&mut self, offset: u64, pass: &Pass<'_>) -> io::Result<Parity> {
        if offset < self.end {
            *self = Self::default();
        }
        let ahead = pass.parity(self.end, offset)?;
        *self = Self {
            end: offset,
            parity: self.parity.and(ahead),
        };
        Ok(self.parity)
    }
}

impl Pass<'_> {
    /// The parity of the quotes in bytes `begin..end`.
    fn parity(&self, begin: u64, end: u64) -> io::Result<Parity> {
        let stretches = usize::try_from((end - begin) / STRETCH).unwrap_or(usize::MAX);
        let threads = cores().min(THREADS).min(stretches);
        if threads < 2 {
            return self.stretch(begin, end, &mut Vec::new());
        }
        let shared = Shared {
            next: AtomicU64::new(begin),
            end,
            failed: AtomicBool::new(false),
            result: Mutex::new(Ok(Parity::Outside)),
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // One that can't be started is one fewer: the stretches are taken by the others.
                let _ = std::thread::Builder::new()
                    .name("planning-pass".to_owned())
                    .spawn_scoped(scope, || shared.work(self));
            }
            shared.work(self);
        });
        shared
            .result
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn stretch(&self, begin: u64, end: u64, buffer: &mut Vec<u8>) -> io::Result<Parity> {
        let mut parity = Parity::Outside;
        let mut offset = begin;
        while offset < end {
            let len = usize::try_from(end - offset).map_or(self.block, |len| len.min(self.block));
            buffer.resize(len, 0);
            (self.read)(buffer, offset)?;
            parity = parity.and(Parity::of(buffer));
            offset += len as u64;
        }
        Ok(parity)
    }
}

/// What the threads of one pass share.
struct Shared {
    next: AtomicU64,
    end: u64,
    failed: AtomicBool,
    result: Mutex<io::Result<Parity>>,
}

impl Shared {
    /// Takes stretches until none is left, or another thread failed.
    fn work(&self, pass: &Pass<'_>) {
        let mut buffer = Vec::new();
        let mut counted = Ok(Parity::Outside);
        while let Ok(parity) = counted {
            let begin = self.next.fetch_add(STRETCH, Ordering::Relaxed);
            if begin >= self.end || self.failed.load(Ordering::Relaxed) {
                break;
            }
            let end = self.end.min(begin + STRETCH);
            let of_stretch = pass.stretch(begin, end, &mut buffer);
            counted = of_stretch.map(|of_stretch| parity.and(of_stretch));
        }
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*result, counted) {
            (Ok(before), Ok(parity)) => *result = Ok(before.and(parity)),
            (Ok(_), Err(error)) => {
                self.failed.store(true, Ordering::Relaxed);
                *result = Err(error);
            }
            (Err(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn in_memory(bytes: &[u8]) -> impl Fn(&mut [u8], u64) -> io::Result<()> + Sync {
        move |block, offset| {
            let offset = usize::try_from(offset).unwrap();
            block.copy_from_slice(&bytes[offset..offset + block.len()]);
            Ok(())
        }
    }

    #[test]
    fn threads_count_what_one_counts() {
        let mut random = fastrand::Rng::with_seed(1);
        let len = 5 * usize::try_from(STRETCH).unwrap() + 12_345;
        let mut bytes = vec![b'x'; len];
        for _ in 0..10_001 {
            bytes[random.usize(..len)] = b'"';
        }
        let read = in_memory(&bytes);
        let pass = Pass {
            read: &read,
            block: 100_000,
        };
        let mut quotes = Quotes::default();
        let mut ends: Vec<usize> = (0..5).map(|_| random.usize(..len)).collect();
        ends.push(len);
        ends.sort_unstable();
        // The last question goes back, and begins anew.
        ends.push(7);
        for end in ends {
            let found = quotes.parity_at(end as u64, &pass).unwrap();
            let naive = bytes[..end].iter().filter(|byte| **byte == b'"').count() % 2;
            assert_eq!(found == Parity::Inside, naive == 1, "{end}");
        }
    }

    #[test]
    fn a_read_that_fails_ends_the_pass_of_all_threads() {
        let read = |_: &mut [u8], offset: u64| {
            if offset >= 2 * STRETCH {
                return Err(io::Error::other("no more"));
            }
            Ok(())
        };
        let pass = Pass {
            read: &read,
            block: 1 << 20,
        };
        let refused = Quotes::default().parity_at(1 << 40, &pass).unwrap_err();
        assert_eq!(refused.to_string(), "no more");
    }

    proptest! {
        #[test]
        fn parities_of_stretches_add_up(text in "[a\"]{0,40}", cut in 0..40_usize) {
            let bytes = text.as_bytes();
            let (front, back) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(Parity::of(front).and(Parity::of(back)), Parity::of(bytes));
        }
    }
}
