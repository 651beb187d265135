//! How far deliveries are, on standard error: bars on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use crate::controllers::{Doing, Standing, Told, Urgency};
use crate::text::line;

/// How often a line tells of a delivery that goes on.
const LINE: Duration = Duration::from_secs(10);

const WAITING: &str = "{prefix}  {spinner} {msg}";
const SENDING: &str =
    "{prefix}  {wide_bar} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left  {msg}";

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Show {
    /// Bars where standard error is a terminal, lines elsewhere.
    Auto,
    /// Bars.
    Bar,
    /// A line for each thing that happens, and every 10 s for what goes on.
    Plain,
    /// Nothing.
    None,
}

/// Where progress goes.
pub(super) enum Progress {
    Bars(Bars),
    Lines(Lines),
    None,
}

impl Progress {
    pub(super) fn new(show: Show) -> Self {
        match show {
            Show::Auto if std::io::stderr().is_terminal() => Self::Bars(Bars::default()),
            Show::Bar => Self::Bars(Bars::default()),
            Show::Auto | Show::Plain => Self::Lines(Lines::default()),
            Show::None => Self::None,
        }
    }

    /// Shows how far the deliveries are.
    pub(super) fn look(&self, standings: &[Standing]) {
        match self {
            Self::Bars(bars) => bars.look(standings),
            Self::Lines(lines) => lines.look(standings),
            Self::None => {}
        }
    }

    /// Tells what happened.
    pub(super) fn hear(&self, told: &Told) {
        let kind = if told.kind == "OutboundDestination" {
            "destination "
        } else {
            ""
        };
        let text = format!(
            "{kind}{}/{}: {}: {}",
            told.namespace,
            told.name,
            told.reason,
            line(&told.note)
        );
        match self {
            // The bars show what goes its way.
            Self::Bars(_) if told.urgency == Urgency::Normal => {}
            _ => self.say(&text),
        }
    }

    /// Says something of the command as a whole.
    pub(super) fn say(&self, text: &str) {
        match self {
            Self::Bars(bars) => bars.say(text),
            Self::Lines(_) => eprintln!("{text}"),
            Self::None => {}
        }
    }

    /// Takes the bars away.
    pub(super) fn end(&self) {
        if let Self::Bars(bars) = self {
            // A terminal that can't be written to shows nothing anyway.
            let _ = bars.all.clear();
        }
    }
}

/// A bar for each delivery.
#[derive(Default)]
pub(super) struct Bars {
    all: MultiProgress,
    by_label: Mutex<BTreeMap<String, Bar>>,
}

struct Bar {
    bar: ProgressBar,
    sending: bool,
}

impl Bars {
    fn look(&self, standings: &[Standing]) {
        let mut bars = unpoisoned(&self.by_label);
        bars.retain(|label, shown| {
            let at_work = standings.iter().any(|standing| standing.label == *label);
            if !at_work {
                shown.bar.finish_and_clear();
            }
            at_work
        });
        for standing in standings {
            let shown = bars.entry(standing.label.clone()).or_insert_with(|| Bar {
                bar: self
                    .all
                    .add(ProgressBar::no_length())
                    .with_prefix(standing.label.clone()),
                sending: true,
            });
            shown.look(standing);
        }
    }

    fn say(&self, text: &str) {
        // A terminal that can't be written to shows nothing anyway.
        let _ = self.all.println(text);
    }
}

impl Bar {
    fn look(&mut self, standing: &Standing) {
        let (done, total) = standing.bytes;
        let sending =
            total > 0 && matches!(standing.doing, Some(Doing::Uploading | Doing::Finalizing));
        if sending != self.sending || self.bar.length().is_none() {
            self.sending = sending;
            let template = if sending { SENDING } else { WAITING };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.set_length(total);
            // What an earlier run sent is no part of the rate.
            self.bar.set_position(done);
            self.bar.reset_eta();
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(if sending {
            counts(standing)
        } else {
            doing(standing).to_owned()
        });
        self.bar.tick();
    }
}

/// A line now and then.
#[derive(Default)]
pub(super) struct Lines {
    last: Mutex<BTreeMap<String, Line>>,
}

struct Line {
    at: Instant,
    bytes: u64,
}

impl Lines {
    fn look(&self, standings: &[Standing]) {
        let mut last = unpoisoned(&self.last);
        for standing in standings {
            let now = Instant::now();
            let (done, total) = standing.bytes;
            let before = last.entry(standing.label.clone()).or_insert(Line {
                at: now,
                bytes: done,
            });
            let passed = now - before.at;
            if passed < LINE {
                continue;
            }
            let sent = done.saturating_sub(before.bytes);
            *before = Line {
                at: now,
                bytes: done,
            };
            if total == 0 {
                eprintln!("{}: {}", standing.label, doing(standing));
                continue;
            }
            let rate = Rate {
                bytes: sent,
                passed,
            };
            eprintln!("{}: {}", standing.label, told(standing, rate));
        }
    }
}

/// What was sent in which time.
#[derive(Clone, Copy)]
struct Rate {
    bytes: u64,
    passed: Duration,
}

/// One line of how far it is.
fn told(standing: &Standing, rate: Rate) -> String {
    let (done, total) = standing.bytes;
    let percent = (u128::from(done) * 100).checked_div(u128::from(total));
    let a_second = u128::from(rate.bytes) * 1000 / rate.passed.as_millis().max(1);
    let left = u128::from(total - done.min(total)).checked_div(a_second);
    let left = left.and_then(|left| u64::try_from(left).ok());
    let left = left.map_or_else(String::new, |left| {
        format!(", {} left", HumanDuration(Duration::from_secs(left)))
    });
    let error = standing.last_error.as_deref();
    let error = error.map_or_else(String::new, |error| {
        format!("; last error: {}", line(error))
    });
    format!(
        "{}%, {} of {}, {}/s{left}, {}{error}",
        percent.unwrap_or_default(),
        HumanBytes(done),
        HumanBytes(total),
        HumanBytes(u64::try_from(a_second).unwrap_or(u64::MAX)),
        counts(standing),
    )
}

fn counts(standing: &Standing) -> String {
    let ((parts, all_parts), (objects, all_objects)) = (standing.parts, standing.objects);
    format!("{parts}/{all_parts} parts, {objects}/{all_objects} objects")
}

const fn doing(standing: &Standing) -> &'static str {
    match standing.doing {
        None => "waiting",
        Some(Doing::Planning) => "planning",
        Some(Doing::Uploading) => "uploading",
        Some(Doing::Finalizing) => "writing the receipt",
        Some(Doing::GivingUp) => "aborting its uploads",
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(done: u64, total: u64) -> Standing {
        Standing {
            label: "n/d".into(),
            doing: Some(Doing::Uploading),
            bytes: (done, total),
            parts: (1, 4),
            objects: (0, 2),
            last_error: Some("a\nb".into()),
        }
    }

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let rate = Rate {
            bytes: 1 << 20,
            passed: Duration::from_secs(1),
        };
        assert_eq!(
            told(&standing(1 << 20, 4 << 20), rate),
            "25%, 1.00 MiB of 4.00 MiB, 1.00 MiB/s, 3 seconds left, 1/4 parts, 0/2 objects; last error: a\\nb"
        );
        let still = Rate {
            bytes: 0,
            passed: Duration::from_secs(10),
        };
        assert!(told(&standing(0, 4 << 20), still).starts_with("0%, 0 B of 4.00 MiB, 0 B/s, 1/4"));
    }

    #[test]
    fn every_bars_template_is_one() {
        for template in [WAITING, SENDING] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
