//! The table, for as long as reports come: open for writing, and opened anew when it was replaced.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eximrbl_report::{Denial, Order, Terms};
use eximrbl_table::{
    Name, Network, Policy, Recorded, Refusal, Report, UnixSeconds, WritableTable, dictionary,
};

use crate::work::worked;

/// How often it is looked whether the table is still the one at its path.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of the time, so much at most goes into counting entries by reporter: one part in so many.
const COUNT_SHARE: u32 = 50;
/// The table's places for reporters.
const PLACES: usize = 64;

/// The table, if it can be had.
pub(super) struct Store {
    path: PathBuf,
    open: Option<Open>,
    looked_at: Option<Instant>,
    /// The trouble that was logged last.
    told: Option<String>,
}

struct Open {
    table: WritableTable,
    policy_sequence: u64,
    /// Seconds that a rejection adds by the table's policy.
    base_ttl: u32,
    /// What one rejection counts for, by reason.
    weights: [u32; PLACES],
    /// Places of reporters in the table, by their numbers at the gate.
    bits: Vec<Option<u8>>,
    census: Census,
}

/// Live entries by reporter: counted now and then, and estimated from above meanwhile.
#[derive(Default)]
struct Census {
    counted: Option<([u32; PLACES], Instant)>,
    /// How much of a processor's time counting took.
    took: Duration,
    /// Reports of each that were taken since.
    since: Vec<u32>,
}

impl Store {
    pub(super) fn new(path: &Path) -> Self {
        let mut store = Self { path: path.to_owned(), open: None, looked_at: None, told: None };
        store.look();
        store
    }

    /// Sees to it that the table is the one at the path; once a second.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        if self.looked_at.is_some_and(|at| now.saturating_duration_since(at) < LOOK_EVERY) {
            return;
        }
        self.looked_at = Some(now);
        let is_current = |open: &Open| open.table.is_current(&self.path) && !open.table.holds_old();
        match &mut self.open {
            Some(open) if is_current(open) => open.look_at_policy(),
            _ => self.reopen(),
        }
    }

    /// Reporters have other numbers from now on.
    pub(super) fn renumber(&mut self) {
        if let Some(open) = &mut self.open {
            open.bits.clear();
            open.census = Census::default();
        }
    }

    fn reopen(&mut self) {
        // First, so that its memory is let go of.
        self.open = None;
        match WritableTable::open(&self.path) {
            Ok(table) => {
                if self.told.take().is_some() {
                    tracing::info!("reports are taken again: the table can be written");
                }
                self.open = Some(Open::new(table));
            }
            Err(error) => {
                let trouble = error.to_string();
                if self.told.as_ref() != Some(&trouble) {
                    tracing::error!(
                        "reports are refused, for the table cannot be written: {trouble}"
                    );
                    self.told = Some(trouble);
                }
            }
        }
    }

    /// Does what was reported, and writes what came of it.
    pub(super) fn apply(
        &mut self,
        order: &Order,
        terms: &Terms,
        number: usize,
        now: UnixSeconds,
        answer: &mut Vec<u8>,
    ) -> Result<(), Denial> {
        let mut tried = false;
        loop {
            let open = self.open.as_mut().ok_or(Denial::Table)?;
            match open.apply(order, terms, number, now, answer) {
                // Replaced by one that this mapping does not know of.
                Err(Denial::Refused(Refusal::Retired)) if !std::mem::replace(&mut tried, true) => {
                    self.reopen();
                }
                done => return done,
            }
        }
    }
}

impl Open {
    fn new(table: WritableTable) -> Self {
        let mut open = Self {
            table,
            policy_sequence: 0,
            base_ttl: 0,
            weights: [1; PLACES],
            bits: Vec::new(),
            census: Census::default(),
        };
        open.read_policy();
        open
    }

    fn look_at_policy(&mut self) {
        if self.table.policy_sequence() != self.policy_sequence {
            self.read_policy();
        }
    }

    fn read_policy(&mut self) {
        self.policy_sequence = self.table.policy_sequence();
        let Policy { base_ttl, weights, .. } = self.table.policy();
        let reasons = self.table.reasons();
        self.base_ttl = base_ttl;
        self.weights = [1; PLACES];
        for (reason, weight) in weights {
            let place = reasons.bit(&reason).map(usize::from);
            if let Some(place) = place.and_then(|place| self.weights.get_mut(place)) {
                *place = weight;
            }
        }
    }

    fn apply(
        &mut self,
        order: &Order,
        terms: &Terms,
        number: usize,
        now: UnixSeconds,
        answer: &mut Vec<u8>,
    ) -> Result<(), Denial> {
        let reporter = self.reporter(number, terms.name)?;
        let network = Network::host(order.address());
        // Into memory; nothing can go wrong.
        let mut say = |text: std::fmt::Arguments<'_>| _ = answer.write_fmt(text);
        match *order {
            Order::Black { reason, weight, seconds, .. } => {
                self.check_room(number, reporter, terms, network, now)?;
                let reason =
                    reason.map_or(dictionary::REJECT_BIT, |name| self.table.reason(name, false));
                let usual = self.weights.get(usize::from(reason)).copied().unwrap_or(1);
                let weight = terms.weight_of(weight.unwrap_or(usual));
                let by_policy = self.base_ttl.saturating_mul(weight);
                let most = terms.seconds_max;
                // By the policy, unless that is more than the reporter may.
                let seconds = seconds.or((by_policy > most).then_some(most)).map(|s| s.min(most));
                let report = Report { network, reason, reporter, weight: Some(weight), seconds };
                let Recorded { count, remaining } = self.table.record(&report, now)?;
                self.census.note(number);
                match remaining {
                    u32::MAX => say(format_args!("ok count {count} without end\n")),
                    _ => say(format_args!("ok count {count} seconds {remaining}\n")),
                }
            }
            Order::White { seconds, .. } => {
                let seconds = seconds.unwrap_or(terms.seconds_max).min(terms.seconds_max);
                if seconds > 0 {
                    self.check_room(number, reporter, terms, network, now)?;
                }
                self.table.white(network, Some(seconds), reporter, now)?;
                match seconds {
                    0 => say(format_args!("ok not white\n")),
                    seconds => {
                        self.census.note(number);
                        say(format_args!("ok white seconds {seconds}\n"));
                    }
                }
            }
            Order::Forgive { .. } => match self.table.forgive(network, reporter, now)? {
                true => say(format_args!("ok forgiven\n")),
                false => say(format_args!("ok nothing to forgive\n")),
            },
        }
        Ok(())
    }

    /// The reporter's place in the table.
    fn reporter(&mut self, number: usize, name: Name) -> Result<u8, Denial> {
        if self.bits.len() <= number {
            self.bits.resize(number + 1, None);
        }
        if let Some(bit) = self.bits[number] {
            return Ok(bit);
        }
        let bit = self.table.reporter(name).ok_or(Denial::NoName)?;
        self.bits[number] = Some(bit);
        Ok(bit)
    }

    /// Whether the reporter may make another entry, or has marked this one already.
    fn check_room(
        &mut self,
        number: usize,
        bit: u8,
        terms: &Terms,
        network: Network,
        now: UnixSeconds,
    ) -> Result<(), Denial> {
        let has_room = |census: &Census| {
            census.estimate(number, bit).is_some_and(|estimate| estimate < terms.entries)
        };
        if terms.entries == u32::MAX || has_room(&self.census) {
            return Ok(());
        }
        if self.census.is_old() {
            self.census.count(&self.table, now);
            if has_room(&self.census) {
                return Ok(());
            }
        }
        let entry = self.table.entry(network, now);
        match entry.is_some_and(|entry| entry.reporters >> bit & 1 == 1) {
            true => Ok(()),
            false => Err(Denial::Entries),
        }
    }
}

impl Census {
    /// At most so many; `None` while nothing was counted.
    fn estimate(&self, number: usize, bit: u8) -> Option<u32> {
        let counted = self.counted.as_ref()?.0.get(usize::from(bit))?;
        let since = self.since.get(number).copied().unwrap_or(0);
        Some(counted.saturating_add(since))
    }

    /// Whether to count anew: what was counted has had its time, and counting takes little of it all.
    fn is_old(&self) -> bool {
        let rest = (self.took * COUNT_SHARE).max(LOOK_EVERY);
        self.counted.as_ref().is_none_or(|(_, at)| at.elapsed() >= rest)
    }

    fn count(&mut self, table: &WritableTable, now: UnixSeconds) {
        let begun = worked();
        let counted = table.entries_by_reporter(now);
        self.took = worked().saturating_sub(begun);
        self.counted = Some((counted, Instant::now()));
        self.since.clear();
    }

    /// A report was taken that may have made an entry.
    fn note(&mut self, number: usize) {
        if self.since.len() <= number {
            self.since.resize(number + 1, 0);
        }
        self.since[number] = self.since[number].saturating_add(1);
    }
}
