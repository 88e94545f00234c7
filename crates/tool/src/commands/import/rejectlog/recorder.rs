//! From a line to the table.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eximrbl_rejectlog::{Entry, Line, Peer, Reader, Rule, Rules};
use eximrbl_table::{
    Name, Network, Policy, Refusal, Report, UnixSeconds, WEIGHT_MAX, WritableTable,
};

use super::account::Counts;
use super::calendar::Calendar;
use super::past::{Past, Rejection, Terms};
use crate::failure::Failure;

/// Who reports, unless another name is given.
const REPORTER: &str = "rejectlog";
/// How often it is looked whether the table is still the one that its path names, and what its
/// policy is. Until then the changes of both are a second late.
const INTERVAL: Duration = Duration::from_secs(1);

/// Records what the lines tell.
pub(super) struct Recorder {
    path: PathBuf,
    table: WritableTable,
    policy: Policy,
    rules: Rules,
    reporter: Name,
    reporter_bit: u8,
    reasons: Vec<Reason>,
    calendar: Calendar,
    now: UnixSeconds,
    looked: Instant,
    past: Past,
    /// Whether it was told that the path names no table any more.
    is_lost: bool,
    counts: Counts,
}

/// A reason that a rule gave.
struct Reason {
    name: Name,
    bit: u8,
    recorded: u64,
}

impl Recorder {
    /// Opens the table.
    pub(super) fn new(path: &Path, reporter: Option<Name>, rules: Rules) -> Result<Self, Failure> {
        let table = WritableTable::open(path)?;
        let reporter = reporter.or_else(|| Name::new(REPORTER.as_bytes()));
        let reporter = reporter.ok_or_else(|| no_room(REPORTER))?;
        let reporter_bit = bit_of(&table, reporter)?;
        Ok(Self {
            path: path.to_owned(),
            policy: table.policy(),
            table,
            rules,
            reporter,
            reporter_bit,
            reasons: Vec::new(),
            calendar: Calendar::new(),
            now: eximrbl_table::now(),
            looked: Instant::now(),
            past: Past::new(),
            is_lost: false,
            counts: Counts::default(),
        })
    }

    /// Other rules hold from now on.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Looks at the clock, and now and then at the table: to be called before each block of lines.
    pub(super) fn look(&mut self) {
        self.now = eximrbl_table::now();
        if self.looked.elapsed() < INTERVAL {
            return;
        }
        self.looked = Instant::now();
        // A table that was moved away will be made anew in a moment: until then the old one serves.
        match if self.table.is_current(&self.path) { Ok(()) } else { self.reopen() } {
            Ok(()) => self.is_lost = false,
            Err(failure) if !self.is_lost => {
                eprintln!("eximrbl: {failure}; the table that was there goes on being used");
                self.is_lost = true;
            }
            Err(_) => {}
        }
        self.policy = self.table.policy();
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        let table = WritableTable::open(&self.path)?;
        self.reporter_bit = bit_of(&table, self.reporter)?;
        for reason in &mut self.reasons {
            reason.bit = table.reason(reason.name, true);
        }
        self.table = table;
        Ok(())
    }

    /// Lines so far.
    pub(super) fn lines(&self) -> u64 {
        self.counts.lines
    }

    /// A file ended within a line. Whose it is may be what is missing.
    pub(super) fn unfinished(&mut self) {
        self.counts.unfinished += 1;
    }

    /// What became of the lines so far.
    pub(super) fn into_counts(self) -> Counts {
        let named = self.reasons.iter().filter(|reason| reason.recorded > 0);
        let reasons: BTreeMap<_, _> =
            named.map(|reason| (reason.name.to_string(), reason.recorded)).collect();
        Counts { reasons, ..self.counts }
    }

    /// Records a line, if it counts.
    pub(super) fn line(&mut self, reader: &mut Reader, line: &[u8]) -> Result<(), Failure> {
        self.take(reader.read(line))?;
        self.counts.lines += 1;
        Ok(())
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), Failure> {
        let Line::Entry(Entry { stamp, peer, text }) = line else {
            self.counts.other += 1;
            return Ok(());
        };
        let Some(rule) = self.rules.judge(text) else {
            self.counts.skipped += 1;
            return Ok(());
        };
        let (Peer::Is(peer), Some(time)) = (peer, self.calendar.time(stamp, self.now)) else {
            self.counts.doubtful += 1;
            return Ok(());
        };
        self.rejected(peer, &rule, time)
    }

    fn rejected(&mut self, peer: IpAddr, rule: &Rule, time: UnixSeconds) -> Result<(), Failure> {
        let reason = self.reason(rule.reason);
        let weight = rule.weight.unwrap_or_else(|| self.usual_weight(rule.reason));
        let life = self.policy.base_ttl.saturating_mul(weight.clamp(1, WEIGHT_MAX));
        let life = life.min(self.policy.max_ttl);
        let bit = self.reasons[reason].bit;
        let rejection = Rejection { time, reason: bit, weight: rule.weight, life };
        let terms = Terms { floor: self.policy.floor, max_ttl: self.policy.max_ttl };
        let reaches_now = time.saturating_add(life) >= self.now.saturating_add(terms.floor);
        // Quick for a log that is followed: nothing is kept of the past then.
        if reaches_now && self.past.is_empty() {
            return self.record(peer, rejection, reason);
        }
        let key = self.table.client_network(peer);
        let was_listed = || {
            let entry = self.table.entry(key, self.now);
            entry.is_some_and(|entry| entry.first <= time)
        };
        if !reaches_now && was_listed() {
            return self.record(peer, rejection, reason);
        }
        match self.past.add(key, rejection, terms, self.now) {
            None => {
                self.counts.over += 1;
                Ok(())
            }
            Some(rejections) => {
                // All but this one have been counted as over.
                self.counts.over -= (rejections.len() - 1) as u64;
                for rejection in rejections {
                    let reason =
                        self.reasons.iter().position(|known| known.bit == rejection.reason);
                    self.record(peer, rejection, reason.unwrap_or(0))?;
                }
                Ok(())
            }
        }
    }

    fn record(&mut self, peer: IpAddr, rejection: Rejection, reason: usize) -> Result<(), Failure> {
        let report = Report {
            network: Network::host(peer),
            reason: rejection.reason,
            reporter: self.reporter_bit,
            weight: rejection.weight,
            seconds: None,
        };
        let mut recorded = self.table.record(&report, rejection.time);
        if recorded == Err(Refusal::Retired) {
            self.reopen()?;
            let report =
                Report { reason: self.reasons[reason].bit, reporter: self.reporter_bit, ..report };
            recorded = self.table.record(&report, rejection.time);
        }
        match recorded {
            Ok(_) => {
                self.counts.recorded += 1;
                self.reasons[reason].recorded += 1;
            }
            Err(Refusal::NeverListed) => self.counts.never_listed += 1,
            Err(Refusal::White) => self.counts.white += 1,
            Err(Refusal::Full | Refusal::Contention) => self.counts.no_room += 1,
            Err(refusal) => {
                let subject = self.path.display().to_string();
                let cause = format!("{refusal}; run the command again");
                return Err(Failure::Refused { subject, cause });
            }
        }
        Ok(())
    }

    /// The place of a reason among those of the rules, which are few.
    fn reason(&mut self, name: Name) -> usize {
        if let Some(place) = self.reasons.iter().position(|reason| reason.name == name) {
            return place;
        }
        // The administrator wrote the rules.
        let bit = self.table.reason(name, true);
        self.reasons.push(Reason { name, bit, recorded: 0 });
        self.reasons.len() - 1
    }

    fn usual_weight(&self, reason: Name) -> u32 {
        let known = self.policy.weights.iter().find(|(name, _)| name == reason.as_str());
        known.map_or(1, |(_, weight)| *weight)
    }
}

fn bit_of(table: &WritableTable, reporter: Name) -> Result<u8, Failure> {
    table.reporter(reporter).ok_or_else(|| no_room(reporter.as_str()))
}

fn no_room(reporter: &str) -> Failure {
    let cause = "there is no room for another reporter; use --reporter with one that \
                 `eximrbl info` shows";
    Failure::Refused { subject: format!("reporter {reporter}"), cause: cause.to_owned() }
}
