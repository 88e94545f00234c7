//! Puts rows into the table.

use std::path::Path;

use eximrbl_exchange::{Life, Row};
use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{
    Decision, Filter, Name, Network, Policy, Refusal, Restored, Table, UnixSeconds, WritableTable,
};

use super::account::Tally;
use crate::arguments::Import;
use crate::commands::change::is_too_wide;
use crate::failure::Failure;
use crate::standing::never_list;

/// The reason and the reporter of what says nothing about them.
const IMPORT: &str = "import";
/// Tries of a change that others are always faster with.
const TRIES: u32 = 100;

/// Takes rows.
pub(super) struct Taker<'a> {
    import: &'a Import,
    table: Target,
    policy: Policy,
    /// All that is never listed, for looking alone.
    never: Vec<Network>,
    now: UnixSeconds,
    import_name: Name,
    reasons: Bits,
    reporters: Bits,
    ended: Option<Refusal>,
}

/// A table that is changed, or one that is only looked at.
enum Target {
    Changed(WritableTable),
    Looked(Table),
}

impl Target {
    fn table(&self) -> &Table {
        match self {
            Self::Changed(table) => table,
            Self::Looked(table) => table,
        }
    }
}

/// Names whose bits are known already.
#[derive(Default)]
struct Bits(Vec<(Name, u8)>);

impl Bits {
    fn bit(&mut self, name: Name, enter: impl FnOnce(Name) -> Option<u8>) -> Option<u8> {
        if let Some((_, bit)) = self.0.iter().find(|(known, _)| *known == name) {
            return Some(*bit);
        }
        let bit = enter(name)?;
        self.0.push((name, bit));
        Some(bit)
    }
}

impl<'a> Taker<'a> {
    /// Opens the table.
    pub(super) fn new(path: &Path, import: &'a Import) -> Result<Self, Failure> {
        let table = if import.dry_run {
            Target::Looked(Table::open(path)?)
        } else {
            Target::Changed(WritableTable::open(path)?)
        };
        let policy = table.table().policy();
        if let Some(seconds) = import.seconds.filter(|&seconds| seconds < policy.floor) {
            return Err(Failure::Short { seconds, floor: policy.floor });
        }
        let unnamed = || Failure::Unknown { kind: "reason", name: IMPORT.to_owned() };
        Ok(Self {
            import,
            never: never_list(&policy),
            policy,
            now: eximrbl_table::now(),
            import_name: Name::new(IMPORT.as_bytes()).ok_or_else(unnamed)?,
            reasons: Bits::default(),
            reporters: Bits::default(),
            table,
            ended: None,
        })
    }

    /// The time that all is judged by.
    pub(super) fn now(&self) -> UnixSeconds {
        self.now
    }

    /// Why the table takes nothing more, if it does not.
    pub(super) fn ended(&self) -> Option<Refusal> {
        self.ended
    }

    /// Takes a row.
    ///
    /// # Errors
    ///
    /// Why it must not be taken.
    pub(super) fn take(&mut self, row: &Row, tally: &mut Tally) -> Result<(), String> {
        if !self.import.wide && row.span.networks().any(is_too_wide) {
            return Err("too wide, and likely a slip; --wide takes more than a /8, or a /16 of \
                        IPv6"
                .to_owned());
        }
        if self.import.white && row.excluded {
            tally.excluded += 1;
            return Ok(());
        }
        let Some(remaining) = self.remaining(row) else {
            tally.expired += 1;
            return Ok(());
        };
        let white = row.white || self.import.white;
        let reasons = if white { 0 } else { self.reasons(row) };
        let reporters = self.reporters(row)?;
        let last = row.last.unwrap_or(self.now);
        let of = |network| Restored {
            network,
            white,
            count: row.count.unwrap_or(if white { 0 } else { self.policy.threshold }),
            remaining,
            first: row.first.unwrap_or(last),
            last,
            reasons,
            reporters,
        };
        let all: Result<(), Refusal> =
            row.span.networks().try_for_each(|network| self.put(&of(network), tally));
        if let Err(refusal) = all {
            self.ended = Some(refusal);
        }
        Ok(())
    }

    /// Seconds that are left; `None` if it is over. What ends by itself ends with `--seconds` at the
    /// latest, and so does what does not.
    fn remaining(&self, row: &Row) -> Option<u32> {
        let said = match row.life {
            Life::Unsaid | Life::Endless => u32::MAX,
            Life::Until(end) => end.checked_sub(self.now).filter(|&left| left > 0)?,
        };
        let floor = if row.white || self.import.white { 1 } else { self.policy.floor.max(1) };
        Some(said.min(self.import.seconds.unwrap_or(u32::MAX))).filter(|&left| left >= floor)
    }

    fn reasons(&mut self, row: &Row) -> u64 {
        let coded = row.code.and_then(|code| {
            let codes = self.import.codes.iter();
            codes.rev().find(|(_, of)| *of == code).map(|(reason, _)| *reason)
        });
        let one = [coded.or(self.import.reason).unwrap_or(self.import_name)];
        let names = match (&row.reasons, self.import.reason) {
            (Some(names), None) => names.as_slice(),
            _ => &one,
        };
        let Target::Changed(table) = &self.table else { return 0 };
        // Where there is no room for another name, it is `other`, as for all reports.
        let enter = |name| Some(table.reason(name, true));
        names
            .iter()
            .fold(0, |bits, &name| bits | self.reasons.bit(name, enter).map_or(0, |bit| 1 << bit))
    }

    fn reporters(&mut self, row: &Row) -> Result<u64, String> {
        let one = [self.import.reporter.unwrap_or(self.import_name)];
        let names = match (&row.reporters, self.import.reporter) {
            (Some(names), None) => names.as_slice(),
            _ => &one,
        };
        let Target::Changed(table) = &self.table else { return Ok(0) };
        let mut bits = 0;
        for &name in names {
            let bit = self.reporters.bit(name, |name| table.reporter(name)).ok_or_else(|| {
                format!("the table knows 64 reporters already, and cannot take {name}")
            })?;
            bits |= 1 << bit;
        }
        Ok(bits)
    }

    /// Puts one network into the table, or sees what would become of it.
    fn put(&self, restored: &Restored, tally: &mut Tally) -> Result<(), Refusal> {
        let network = restored.network;
        let around = self.around(network);
        let done = match &self.table {
            Target::Looked(_) if restored.white => Ok(true),
            Target::Looked(_) if self.never.iter().any(|never| never.contains(network)) => {
                Err(Refusal::NeverListed)
            }
            Target::Looked(_) if around == Around::Itself => Err(Refusal::White),
            Target::Looked(_) => Ok(true),
            Target::Changed(table) => {
                let mut tried = 1;
                loop {
                    match table.restore(restored, self.now) {
                        Err(Refusal::Contention) if tried < TRIES => tried += 1,
                        // An exclusion goes before what its own list, or another one, has without
                        // end; not before the administrator.
                        Err(Refusal::Endless) if tried < TRIES && self.may_turn(network) => {
                            tried += 1;
                            table.forgive(network, ADMIN, self.now)?;
                        }
                        done => break done.map(|made| made.remaining > 0),
                    }
                }
            }
        };
        match done {
            Ok(true) => {
                tally.entries += 1;
                tally.white += u64::from(restored.white);
                tally.lifted += u64::from(!restored.white && around == Around::White);
            }
            Ok(false) => tally.expired += 1,
            Err(Refusal::NeverListed) => tally.never += 1,
            Err(Refusal::White | Refusal::Endless) => tally.kept += 1,
            Err(Refusal::Full | Refusal::Contention) => tally.full += 1,
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Whether a black entry is none of the administrator's.
    fn may_turn(&self, network: Network) -> bool {
        let entry = self.table.table().entry(network, self.now);
        entry.is_some_and(|entry| !entry.white && entry.reporters >> ADMIN & 1 == 0)
    }

    /// What is white of a network, or around it.
    fn around(&self, network: Network) -> Around {
        let table = self.table.table();
        match table.decide(network.address(), &Filter::default(), self.now) {
            Decision::White(by) if by.network == network => Around::Itself,
            Decision::White(by) if by.network.contains(network) => Around::White,
            _ => Around::Nothing,
        }
    }
}

/// What is white of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// It lies in a white network.
    White,
    /// It is white.
    Itself,
    /// Neither.
    Nothing,
}
