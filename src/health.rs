//! What the process says of itself when it is asked whether it lives, and whether it is ready.
//!
//! Whoever does something notes it here; an answer is made of what was noted, and of how long ago. Nothing here waits
//! or asks anybody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How old what was noted may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A pulse that beats each second. Far longer than a busy node keeps a process from running.
    pub pulse: Duration,
    /// A reconcile: a handful of requests to the apiserver, each of which ends within about a minute.
    pub reconcile: Duration,
    /// The last answer of the apiserver, which is asked every five seconds, and the last look at the Lease: as long as
    /// the Lease itself.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pulse: Duration::from_secs(30),
            reconcile: Duration::from_secs(600),
            answer: Duration::from_secs(15),
        }
    }
}

/// What beats for as long as it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pulse {
    /// Tasks are run.
    Executor,
    /// The controllers' queues are served.
    Controllers,
}

/// What the process is there for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has no cluster yet.
    Starting,
    /// Another holds the Lease.
    StandBy,
    /// It reconciles.
    Working,
    /// It was told to end.
    Ending,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What is wrong, if anything.
    pub fault: Option<String>,
}

/// The health of the process. Clones share it.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    begun: Instant,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    role: Role,
    pulses: BTreeMap<Pulse, Instant>,
    apiserver: Option<Instant>,
    lease: Option<Instant>,
    /// Whether each cache has its first list.
    caches: Vec<bool>,
    /// When the reconciles that are under way began.
    reconciles: BTreeMap<u64, Instant>,
    next: u64,
}

impl Default for Health {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Health {
    /// Of a process that begins now.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let noted = Noted {
            role: Role::Starting,
            pulses: BTreeMap::new(),
            apiserver: None,
            lease: None,
            caches: Vec::new(),
            reconciles: BTreeMap::new(),
            next: 0,
        };
        Self(Arc::new(Inner {
            limits,
            begun: Instant::now(),
            noted: Mutex::new(noted),
        }))
    }

    /// It still goes on.
    pub fn beats(&self, pulse: Pulse) {
        self.noted().pulses.insert(pulse, Instant::now());
    }

    /// The process is there for something else now. One that was told to end stays so.
    pub fn becomes(&self, role: Role) {
        let mut noted = self.noted();
        if noted.role == Role::Ending {
            return;
        }
        noted.role = role;
        if role == Role::Working {
            // Not before its first beat is due.
            noted.pulses.insert(Pulse::Controllers, Instant::now());
        }
    }

    /// The apiserver answered.
    pub fn apiserver_answered(&self) {
        self.noted().apiserver = Some(Instant::now());
    }

    /// The Lease was seen, and could be taken were it free.
    pub fn lease_seen(&self) {
        self.noted().lease = Some(Instant::now());
    }

    /// A cache that waits for its first list.
    #[must_use]
    pub fn cache(&self) -> Cache {
        let mut noted = self.noted();
        noted.caches.push(false);
        Cache(self.clone(), noted.caches.len() - 1)
    }

    /// A reconcile begins, and ends with what is returned.
    #[must_use]
    pub fn reconcile_begins(&self) -> Reconcile {
        let mut noted = self.noted();
        let number = noted.next;
        noted.next += 1;
        noted.reconciles.insert(number, Instant::now());
        Reconcile(self.clone(), number)
    }

    /// Whether what runs in this process goes on. A process that waits for the Lease, or for the apiserver, lives.
    #[must_use]
    pub fn livez(&self) -> Vec<Check> {
        let noted = self.noted();
        let mut checks = vec![self.pulse(&noted, Pulse::Executor, "executor")];
        if noted.role == Role::Working {
            checks.push(self.pulse(&noted, Pulse::Controllers, "controllers"));
            checks.push(self.reconciles(&noted));
        }
        checks
    }

    /// Whether this process does what it is there for, or, where another holds the Lease, could do it at once.
    #[must_use]
    pub fn readyz(&self) -> Vec<Check> {
        let noted = self.noted();
        match noted.role {
            Role::Starting => vec![failed("start", "there is no client of the cluster yet")],
            Role::Ending => vec![failed("end", "the process was told to end")],
            Role::StandBy => vec![
                self.answer(noted.apiserver, "apiserver"),
                self.answer(noted.lease, "lease"),
            ],
            Role::Working => vec![
                self.answer(noted.apiserver, "apiserver"),
                self.pulse(&noted, Pulse::Controllers, "controllers"),
                caches(&noted.caches),
            ],
        }
    }

    fn pulse(&self, noted: &Noted, pulse: Pulse, name: &'static str) -> Check {
        let age = self.age(noted.pulses.get(&pulse).copied());
        let fault = (age > self.0.limits.pulse).then(|| format!("it stands still for {age:?}"));
        Check { name, fault }
    }

    fn reconciles(&self, noted: &Noted) -> Check {
        let oldest = noted.reconciles.values().min().map(Instant::elapsed);
        let stuck = oldest.filter(|age| *age > self.0.limits.reconcile);
        let fault = stuck.map(|age| format!("one is under way for {age:?}"));
        Check {
            name: "reconciles",
            fault,
        }
    }

    fn answer(&self, last: Option<Instant>, name: &'static str) -> Check {
        let age = self.age(last);
        let fault = match last {
            None => Some(format!("no answer yet, for {age:?}")),
            Some(_) if age > self.0.limits.answer => Some(format!("no answer for {age:?}")),
            Some(_) => None,
        };
        Check { name, fault }
    }

    /// Time since then, or since the process began, without fractions of a second.
    fn age(&self, since: Option<Instant>) -> Duration {
        let age = since.unwrap_or(self.0.begun).elapsed();
        if age < Duration::from_secs(1) {
            age
        } else {
            Duration::from_secs(age.as_secs())
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(name: &'static str, fault: &str) -> Check {
    Check {
        name,
        fault: Some(fault.to_owned()),
    }
}

fn caches(filled: &[bool]) -> Check {
    let all = filled.len();
    let missing = filled.iter().filter(|filled| !**filled).count();
    let fault = if all == 0 {
        Some("no watch has begun yet".to_owned())
    } else {
        (missing > 0).then(|| format!("{missing} of {all} first lists are missing"))
    };
    Check {
        name: "caches",
        fault,
    }
}

/// A cache, as far as it is filled.
#[derive(Debug)]
pub struct Cache(Health, usize);

impl Cache {
    /// Its first list is in.
    pub fn is_filled(&self) {
        if let Some(filled) = self.0.noted().caches.get_mut(self.1) {
            *filled = true;
        }
    }
}

/// A reconcile that is under way.
#[derive(Debug)]
pub struct Reconcile(Health, u64);

impl Drop for Reconcile {
    fn drop(&mut self) {
        self.0.noted().reconciles.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that was noted is young enough.
    const NONE: Limits = Limits {
        pulse: Duration::ZERO,
        reconcile: Duration::ZERO,
        answer: Duration::ZERO,
    };

    fn faults(checks: Vec<Check>) -> Vec<&'static str> {
        let faulty = checks.into_iter().filter(|check| check.fault.is_some());
        faulty.map(|check| check.name).collect()
    }

    #[test]
    fn a_stand_by_lives_and_is_ready_once_it_could_take_over() {
        let health = Health::default();
        health.beats(Pulse::Executor);
        assert_eq!(faults(health.readyz()), ["start"]);
        health.becomes(Role::StandBy);
        assert_eq!(faults(health.livez()), [""; 0]);
        assert_eq!(faults(health.readyz()), ["apiserver", "lease"]);
        health.apiserver_answered();
        health.lease_seen();
        assert_eq!(faults(health.readyz()), [""; 0]);
    }

    #[test]
    fn a_worker_is_ready_once_every_cache_is_filled() {
        let health = Health::default();
        health.becomes(Role::Working);
        health.apiserver_answered();
        assert_eq!(faults(health.readyz()), ["caches"]);
        let (first, second) = (health.cache(), health.cache());
        first.is_filled();
        assert_eq!(faults(health.readyz()), ["caches"]);
        second.is_filled();
        assert_eq!(faults(health.readyz()), [""; 0]);
        health.becomes(Role::Ending);
        health.becomes(Role::Working);
        assert_eq!(faults(health.readyz()), ["end"]);
        assert_eq!(faults(health.livez()), [""; 0]);
    }

    #[test]
    fn what_stands_still_is_found() {
        let health = Health::new(NONE);
        health.becomes(Role::Working);
        health.beats(Pulse::Executor);
        health.beats(Pulse::Controllers);
        health.apiserver_answered();
        let under_way = health.reconcile_begins();
        // By any clock that moves at all.
        while under_way
            .0
            .noted()
            .reconciles
            .values()
            .any(|it| it.elapsed().is_zero())
        {}
        assert_eq!(
            faults(health.livez()),
            ["executor", "controllers", "reconciles"]
        );
        drop(under_way);
        assert_eq!(faults(health.livez()), ["executor", "controllers"]);
        health.cache().is_filled();
        assert_eq!(faults(health.readyz()), ["apiserver", "controllers"]);
    }
}
