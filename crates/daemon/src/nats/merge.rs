//! Brings other sites' changes into the table, so that it says what `history` says.
//!
//! A change that is the latest about its network, as most are, is simply made, at its own time: the
//! table counts lives as `history` does. One that comes late is entered at its place, and the table
//! is told the difference it makes; only where something is taken back by it (a forgiving that is
//! older than a report), the entry is ended and made anew from the changes that remain.
//!
//! What is made so bears the mark of the site that it came from. Reports of this site that are made
//! anew bear this site's own name, which is never published: so nothing is told twice.
//!
//! Remembered are the last changes, as many as [`PAST_MAX`]; the table's ring brings them back after
//! a restart. A change that comes later than that still counts, but what is newer than it may count
//! with it, as `docs/convergence.md` says.

use std::collections::{HashMap, VecDeque};

use eximrbl_table::dictionary::{ADMIN, OTHER_BIT};
use eximrbl_table::{Event, EventKind, Name, Network, Refusal, Report, UnixSeconds, WritableTable};

use super::history::{By, Effect, History, Moment, NEVER, Past, Standing, Terms};
use super::message::{Change, Deed, Known};

/// Changes that are remembered.
const PAST_MAX: usize = 100_000;
/// So far ahead of this host's clock a change may be; clocks are not that exact.
const AHEAD_MAX: UnixSeconds = 300;
/// How long another site's whitelisting without end lasts here: only this site's administrator
/// could end one.
const WHITE_MAX: UnixSeconds = 31_536_000;

/// What became of another site's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was made, or made no difference.
    Done,
    /// It had run out before it came.
    TooOld,
    /// Its time has not come yet: that site's clock is wrong.
    Ahead(UnixSeconds),
    /// It is about more addresses than another site's word is taken for.
    TooWide(Network),
    /// The table declined it.
    Refused(Refusal),
    /// The table has no place for one more reporter's name.
    NoName,
}

/// The widest networks that another site's word is taken for, by their prefix lengths: a slip there shall
/// not list, or whitelist, the Internet here.
const WIDEST_IPV4: u8 = 16;
const WIDEST_IPV6: u8 = 32;

/// The memory of what was changed.
pub(super) struct Merge {
    site: Name,
    terms: Terms,
    histories: HashMap<Network, History>,
    /// Networks in the order in which their changes came.
    order: VecDeque<Network>,
    /// Reports of other sites that the table had when the last run ended, but of which that run
    /// could not note it any more.
    made: HashMap<Made, u32>,
}

/// By what a report is recognised in the table's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Made {
    network: Network,
    time: UnixSeconds,
    site: Name,
    weight: u32,
}

/// A change that came late, and what it changes.
#[derive(Clone, Copy, Debug)]
struct Turn {
    network: Network,
    past: Past,
    /// The time of the latest change of the network: what comes next builds on what stands then.
    at: UnixSeconds,
    stands: Standing,
    wanted: Standing,
}

impl Merge {
    pub(super) fn new(site: Name, terms: Terms) -> Self {
        let (histories, order) = (HashMap::new(), VecDeque::new());
        Self { site, terms, histories, order, made: HashMap::new() }
    }

    /// Goes by another policy from now on.
    pub(super) fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// Takes in a change that was made at this site by a reporter of its own; `moment` is what counts.
    pub(super) fn observe(&mut self, event: &Event, moment: Moment, table: Option<&WritableTable>) {
        let by = if event.reporter == ADMIN { By::Administrator } else { By::Own };
        let Some(past) = self.past_of(event, moment, self.site, by) else { return };
        let (network, terms) = (event.network, self.terms);
        let base = || match event.kind {
            // What stood before can only be had from what stands now.
            EventKind::Extended => table.map_or(Standing::Nothing, |table| {
                let stands = Standing::of(table.entry(network, past.time()).as_ref(), past.time());
                before(&past, stands, &terms)
            }),
            _ => Standing::Nothing,
        };
        let history = self.histories.entry(network).or_insert_with(|| History::new(base()));
        // The table has it already, as the last change.
        let stands = history.standing_with(&past, &terms);
        let is_last = history.enter(past);
        let turn =
            Turn { network, past, at: history.newest(), stands, wanted: history.standing(&terms) };
        self.remember(network);
        if let Some(table) = table.filter(|_| !is_last) {
            self.bring(table, &turn);
        }
    }

    /// Takes in a change that is found in the ring at the start, of this site or another one.
    /// `is_noted` is false if the last run could not note any more that it was made.
    pub(super) fn recall(&mut self, event: &Event, site: Name, is_noted: bool) {
        let by = match event.reporter {
            ADMIN => By::Administrator,
            _ if site == self.site => By::Own,
            _ => By::Other,
        };
        let moment = Moment { time: event.time, tick: 0 };
        let Some(past) = self.past_of(event, moment, site, by) else { return };
        let new = || History::new(Standing::Nothing);
        self.histories.entry(event.network).or_insert_with(new).enter_made(past);
        self.remember(event.network);
        if let (Effect::Black { weight, .. }, false, By::Other) = (past.effect, is_noted, by) {
            let made = Made { network: event.network, time: past.time(), site, weight };
            *self.made.entry(made).or_default() += 1;
        }
    }

    /// From here on, what comes was not made yet.
    pub(super) fn all_is_noted(&mut self) {
        self.made = HashMap::new();
    }

    /// Forgets an entry that had to make room for another: it is gone here alone.
    pub(super) fn evicted(&mut self, network: Network) {
        self.histories.remove(&network);
    }

    /// The change that an event tells of; none for what sites need not tell each other.
    fn past_of(&mut self, event: &Event, moment: Moment, site: Name, by: By) -> Option<Past> {
        let effect = match event.kind {
            EventKind::Added | EventKind::Extended => Effect::Black {
                weight: event.weight,
                seconds: Some(event.seconds).filter(|&seconds| seconds != 0),
            },
            EventKind::Forgiven => Effect::Forgive,
            EventKind::Whitened => {
                Effect::White { until: moment.time.saturating_add(event.seconds) }
            }
            EventKind::WhiteEnded => Effect::WhiteEnd,
            EventKind::Expired => return None,
            // Gone, or made less, at this site alone: what is left is seen when it matters.
            _ => {
                self.evicted(event.network);
                return None;
            }
        };
        Some(Past { moment, site, effect, reason: event.reason, by })
    }

    /// Makes another site's change.
    pub(super) fn apply(
        &mut self,
        table: &WritableTable,
        site: Name,
        change: &Change,
        now: UnixSeconds,
    ) -> Outcome {
        if is_too_wide(change.network) {
            return Outcome::TooWide(change.network);
        }
        let time = change.moment.time;
        if time > now.saturating_add(AHEAD_MAX) {
            return Outcome::Ahead(time - now);
        }
        let effect = match change.deed {
            Deed::Black { weight, seconds, .. } => {
                if time.saturating_add(self.terms.max_ttl) <= now {
                    return Outcome::TooOld;
                }
                let made = Made { network: change.network, time, site, weight };
                if let Some(left) = self.made.get_mut(&made).filter(|left| **left > 0) {
                    *left -= 1;
                    return Outcome::Done;
                }
                // Without end is only what this site's administrator says.
                Effect::Black { weight, seconds: seconds.map(|s| s.min(self.terms.max_ttl)) }
            }
            Deed::White { seconds: 0 } => Effect::WhiteEnd,
            Deed::White { seconds } => {
                Effect::White { until: time.saturating_add(seconds.min(WHITE_MAX)) }
            }
            Deed::Forgive => Effect::Forgive,
        };
        let reason = match change.deed {
            Deed::Black { reason: Some(name), .. } => table.reason(name, false),
            _ => OTHER_BIT,
        };
        let past = Past { moment: change.moment, site, effect, reason, by: By::Other };
        self.enter(table, change.network, past)
    }

    /// Joins what another site knows about a network with what is known here.
    pub(super) fn join(
        &mut self,
        table: &WritableTable,
        site: Name,
        known: &Known,
        now: UnixSeconds,
    ) -> Outcome {
        if is_too_wide(known.network) {
            return Outcome::TooWide(known.network);
        }
        let time = known.last;
        if time > now.saturating_add(AHEAD_MAX) {
            return Outcome::Ahead(time - now);
        }
        let longest = if known.white { WHITE_MAX } else { self.terms.max_ttl };
        let until = known.until.min(time.saturating_add(longest));
        let floor = if known.white { 1 } else { self.terms.floor };
        if until.saturating_sub(now) < floor {
            return Outcome::TooOld;
        }
        let effect = match known.white {
            true => Effect::White { until },
            false => Effect::Known { start: known.first.min(time), until, count: known.count },
        };
        let mut reasons = known.reasons.iter().map(|name| table.reason(*name, false));
        let reason = reasons.next().unwrap_or(OTHER_BIT);
        // It has all that the site knew in that second.
        let moment = Moment { time, tick: u32::MAX };
        self.enter(table, known.network, Past { moment, site, effect, reason, by: By::Other })
    }

    /// Enters another site's change in its network's history, and brings the table to it.
    fn enter(&mut self, table: &WritableTable, network: Network, past: Past) -> Outcome {
        let terms = self.terms;
        let Some(bit) = table.reporter(past.site) else { return Outcome::NoName };
        let taken = || Standing::of(table.entry(network, past.time()).as_ref(), past.time());
        let history = self.histories.entry(network).or_insert_with(|| History::new(taken()));
        let stands = history.standing(&terms);
        let is_last = history.enter(past);
        let turn =
            Turn { network, past, at: history.newest(), stands, wanted: history.standing(&terms) };
        self.remember(network);
        if !is_last || matches!(past.effect, Effect::Known { .. }) {
            return self.bring(table, &turn);
        }
        let stands = stands.at(past.time(), &terms);
        let is_black = matches!(past.effect, Effect::Black { .. });
        // A whitelisting counts for its time, also when it is over by now.
        let is_vain = match stands {
            Standing::White { .. } => is_black,
            _ => !is_black && stands.withstands(&past),
        };
        if is_vain {
            return Outcome::Done;
        }
        if is_missing(table, network, stands, past.time()) {
            return self.make_anew(table, network);
        }
        outcome(make(table, network, &past, bit))
    }

    /// Brings an entry from what stands to what is wanted, because of a change that came late.
    fn bring(&self, table: &WritableTable, turn: &Turn) -> Outcome {
        let Turn { network, past, at, .. } = *turn;
        let Some(bit) = table.reporter(past.site) else { return Outcome::NoName };
        match (turn.stands.at(at, &self.terms), turn.wanted.at(at, &self.terms)) {
            (stands, wanted) if stands == wanted => self.attest(table, turn, bit),
            (
                Standing::Black { until, count, .. },
                Standing::Black { until: later, count: more, .. },
            ) if later >= until && more >= count => {
                if is_missing(table, network, turn.stands, past.time()) {
                    return self.make_anew(table, network);
                }
                // A later end alone is not worth making the entry anew.
                if more == count {
                    return self.attest(table, turn, bit);
                }
                let report = Report {
                    network,
                    reason: past.reason,
                    reporter: bit,
                    weight: Some(more - count),
                    seconds: Some(later - until),
                };
                outcome(table.record(&report, past.time()).map(|_| ()))
            }
            (stands, Standing::White { until, .. }) => {
                if matches!(stands, Standing::White { until: longer, .. } if longer > until) {
                    // The table only lengthens what is white.
                    let ended = table.white(network, Some(0), bit, past.time());
                    if let Err(refusal) = ended {
                        return Outcome::Refused(refusal);
                    }
                }
                outcome(table.white(network, Some(until.saturating_sub(at)), bit, at))
            }
            (stands, wanted) => {
                let ended = match stands {
                    Standing::Nothing => Ok(()),
                    Standing::White { .. } => table.white(network, Some(0), bit, past.time()),
                    Standing::Black { .. } => table.forgive(network, bit, past.time()).map(|_| ()),
                };
                match wanted {
                    Standing::Nothing => outcome(ended),
                    _ => self.make_anew(table, network),
                }
            }
        }
    }

    /// Gives a listing the mark of a report that it has counted already, as a part of what another site
    /// knew: a quorum counts whose report it was.
    fn attest(&self, table: &WritableTable, turn: &Turn, bit: u8) -> Outcome {
        let Turn { network, past, at, .. } = *turn;
        if !matches!(past.effect, Effect::Black { .. } | Effect::Known { .. }) {
            return Outcome::Done;
        }
        let parts = self.histories.get(&network).map(|history| history.parts(&self.terms));
        let is_part = parts.is_some_and(|parts| {
            parts.past.iter().any(|part| (part.moment, part.site) == (past.moment, past.site))
        });
        if !is_part {
            return Outcome::Done;
        }
        outcome(table.attest(network, past.reason, bit, at).map(|_| ()))
    }

    /// Makes an entry from the changes that it consists of.
    fn make_anew(&self, table: &WritableTable, network: Network) -> Outcome {
        let Some(history) = self.histories.get(&network) else { return Outcome::Done };
        let parts = history.parts(&self.terms);
        let mut done = Outcome::Done;
        if let Some(Standing::Black { start, until, count, .. }) = parts.base {
            let effect = Effect::Known { start, until, count };
            let (site, reason) = (self.site, OTHER_BIT);
            let moment = Moment { time: start, tick: 0 };
            let base = Past { moment, site, effect, reason, by: By::Own };
            done = self.make_by_site(table, network, &base);
        }
        for past in &parts.past {
            done = self.make_by_site(table, network, past);
        }
        done
    }

    fn make_by_site(&self, table: &WritableTable, network: Network, past: &Past) -> Outcome {
        match table.reporter(past.site) {
            Some(bit) => outcome(make(table, network, past, bit)),
            None => Outcome::NoName,
        }
    }

    /// Notes that a network has one more change, and forgets the oldest ones.
    fn remember(&mut self, network: Network) {
        self.order.push_back(network);
        while self.order.len() > PAST_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            let is_left = self.histories.get_mut(&oldest).map(|h| h.forget_oldest(&self.terms));
            if is_left == Some(false) {
                self.histories.remove(&oldest);
            }
        }
    }
}

/// Whether a listing that a late change builds on is gone already: it had run out by the time that
/// the change came.
fn is_missing(
    table: &WritableTable,
    network: Network,
    stands: Standing,
    time: UnixSeconds,
) -> bool {
    matches!(stands, Standing::Black { .. }) && table.entry(network, time).is_none()
}

/// Makes a change in the table, at its own time.
fn make(table: &WritableTable, network: Network, past: &Past, bit: u8) -> Result<(), Refusal> {
    let Past { moment: Moment { time, .. }, reason, .. } = *past;
    let report = |weight, seconds| {
        let report = Report { network, reason, reporter: bit, weight: Some(weight), seconds };
        table.record(&report, time).map(|_| ())
    };
    match past.effect {
        Effect::Black { weight, seconds } => report(weight, seconds),
        Effect::Known { start, until, count } => {
            report(count, Some(until.saturating_sub(start.max(time))))
        }
        Effect::White { until: NEVER } => table.white(network, Some(WHITE_MAX), bit, time),
        Effect::White { until } => {
            table.white(network, Some(until.saturating_sub(time).max(1)), bit, time)
        }
        Effect::WhiteEnd => table.white(network, Some(0), bit, time),
        Effect::Forgive => table.forgive(network, bit, time).map(|_| ()),
    }
}

/// Whether a network is wider than what a provider's customer has, or an administrator lists with a
/// clear mind.
fn is_too_wide(network: Network) -> bool {
    network.length() < if network.is_ipv4() { WIDEST_IPV4 } else { WIDEST_IPV6 }
}

fn outcome(made: Result<(), Refusal>) -> Outcome {
    made.map_or_else(Outcome::Refused, |()| Outcome::Done)
}

/// What stood before a report of which the outcome stands now.
fn before(past: &Past, stands: Standing, terms: &Terms) -> Standing {
    match (past.effect, stands) {
        (Effect::Black { weight, seconds }, Standing::Black { start, until, count, is_held }) => {
            let added = seconds.unwrap_or_else(|| terms.usual(weight));
            let until = if until == NEVER { NEVER } else { until.saturating_sub(added) };
            Standing::Black { start, until, count: count.saturating_sub(weight), is_held }
        }
        (_, stands) => stands,
    }
}

#[cfg(test)]
mod tests;
