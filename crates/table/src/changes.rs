//! The changes that a table takes, in one table: [`crate::WritableTable`] sees to which one it is.

use std::cell::Cell;
use std::ops::Deref;

use crate::counters::{self, Counter};
use crate::decision::{Entry, UnixSeconds};
use crate::dictionary::{ADMIN, LOCAL, OTHER_BIT};
use crate::event::{Event, EventKind};
use crate::network::{Network, bits_of};
use crate::policy::WEIGHT_MAX;
use crate::refusal::Refusal;
use crate::slots::{Applied, Change, Kind, Restoration, Slots, Swept as SlotSwept};
use crate::table::Table;
use crate::word::{COUNT_MAX, Life};
use crate::writable::{Expiry, Recorded, Report, Restored, Swept};

/// A table, for changing it. Made for writable ones alone.
#[derive(Clone, Copy)]
pub(crate) struct Changes<'a>(&'a Table);

impl Deref for Changes<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        self.0
    }
}

impl<'a> Changes<'a> {
    pub(crate) fn new(table: &'a Table) -> Self {
        Self(table)
    }

    /// Adds rejections: see [`WritableTable::record`](crate::WritableTable::record).
    pub(crate) fn report(
        &self,
        report: &Report,
        endless: bool,
        now: UnixSeconds,
    ) -> Result<Recorded, Refusal> {
        let first = bits_of(report.network.address());
        let (terms, mut is_never, usual) = self.policy_block().terms_for(first, report.reason);
        if is_never && !report.network.is_host() {
            // A network is refused only if all of it is never listed.
            let last = report.network.range().1;
            is_never = self.policy_block().terms_for(last, report.reason).1;
        }
        if is_never {
            return self.refuse(Refusal::NeverListed);
        }
        let key = match report.network {
            host if host.is_host() => Network::of_client(host.address(), terms.ipv6_prefix),
            network => network,
        };
        // The key's own entry is seen when the change is made.
        if self.is_under_white(key, terms.floor, now) {
            return self.refuse(Refusal::White);
        }
        let weight = report.weight.unwrap_or(usual).clamp(1, WEIGHT_MAX);
        let kind = if endless {
            Kind::Endless { weight }
        } else {
            let seconds = report.seconds.unwrap_or(terms.base_ttl.saturating_mul(weight));
            Kind::Rejections { weight, seconds, most: terms.max_ttl }
        };
        let Report { reason, reporter, .. } = *report;
        let change = Change { kind, reason, reporter, now, floor: terms.floor };
        let applied = self.apply(key, &change)?;
        self.count(Counter::Records);
        let kind = if applied.is_new { EventKind::Added } else { EventKind::Extended };
        let seconds = if endless { u32::MAX } else { report.seconds.unwrap_or(0) };
        let what = Event { weight, seconds, ..Event::of(kind, key, reporter, now) };
        self.publish(&Event { reason, ..what });
        let (count, remaining) = (applied.life.count(), applied.life.remaining(now));
        Ok(Recorded { count, remaining })
    }

    /// Puts an entry back: see [`WritableTable::restore`](crate::WritableTable::restore).
    pub(crate) fn restore(
        &self,
        restored: &Restored,
        now: UnixSeconds,
    ) -> Result<Recorded, Refusal> {
        let (first, last) = restored.network.range();
        let (terms, is_never, _) = self.policy_block().terms_for(first, OTHER_BIT);
        let is_never = is_never && self.policy_block().terms_for(last, OTHER_BIT).1;
        let white = restored.white;
        if is_never && !white {
            return self.refuse(Refusal::NeverListed);
        }
        let seconds = match restored.remaining {
            u32::MAX => None,
            left if white => Some(left),
            left => Some(left.min(terms.max_ttl)),
        };
        if seconds.is_some_and(|left| left < if white { 1 } else { terms.floor.max(1) }) {
            return Ok(Recorded { count: 0, remaining: 0 });
        }
        // Every entry has a reporter, and every black one a count and a reason.
        let or = |bits: u64, bit: u8| if bits == 0 { 1 << bit } else { bits };
        let kind = Kind::Restored(Restoration {
            white,
            count: restored.count.clamp(1, COUNT_MAX),
            seconds,
            first: restored.first.min(restored.last),
            last: restored.last,
            reasons: if white { 0 } else { or(restored.reasons, OTHER_BIT) },
            reporters: or(restored.reporters, LOCAL),
        });
        let key = self.key(restored.network);
        let floor = terms.floor;
        let change = Change { kind, reason: OTHER_BIT, reporter: ADMIN, now, floor };
        let applied = self.apply(key, &change)?;
        let kind = match applied.is_new {
            _ if white => EventKind::Whitened,
            true => EventKind::Added,
            false => EventKind::Extended,
        };
        self.count(if white { Counter::Whitened } else { Counter::Records });
        let weight = if white { 0 } else { restored.count };
        let seconds = seconds.unwrap_or(u32::MAX);
        self.publish(&Event { weight, seconds, ..Event::of(kind, key, ADMIN, now) });
        let (count, remaining) = (applied.life.count(), applied.life.remaining(now));
        Ok(Recorded { count, remaining })
    }

    /// Adds marks to a listing: see [`WritableTable::attest`](crate::WritableTable::attest).
    pub(crate) fn attest(
        &self,
        key: Network,
        reason: u8,
        reporter: u8,
        now: UnixSeconds,
    ) -> Result<bool, Refusal> {
        let floor = self.policy_block().terms().floor;
        let slots = self.entered(key, floor, now)?;
        let place = slots.place(key);
        let is_listing = |life: Life| life.is_alive(now, floor) && !life.is_white();
        let is_listed = slots.lookup(&place).is_some_and(|view| is_listing(view.life));
        if is_listed {
            let kind = Kind::Rejections { weight: 0, seconds: 0, most: 0 };
            slots.remark(&place, &Change { kind, reason, reporter, now, floor });
        }
        Ok(is_listed)
    }

    /// Makes a change to a key's entry, and counts what happened on the way.
    fn apply(&self, key: Network, change: &Change) -> Result<Applied, Refusal> {
        if self.is_retired() {
            return Err(Refusal::Retired);
        }
        self.lengths().add(key);
        let mut evicted = |victim| self.tell_evicted(victim, change.reporter, change.now);
        let slots = self.slots_to_change();
        if slots.is_replacing() {
            slots
                .enter(key, change.now, change.floor, self.liveness(), &mut evicted)
                .or_else(|refusal| self.refuse(refusal))?;
        }
        let applied = slots
            .update(&slots.place(key), change, self.liveness(), evicted)
            .or_else(|refusal| self.refuse(refusal))?;
        if applied.retries > 0 {
            self.add(Counter::InsertRetries, applied.retries.into());
        }
        if applied.marks_late {
            self.remark(key, change);
        }
        Ok(applied)
    }

    /// Makes the marks of a change again, of an entry that was carried over in the middle of it.
    #[cold]
    fn remark(&self, key: Network, change: &Change) {
        let Some(next) = self.successor() else { return };
        let (next, slots) = (Changes(next), next.slots());
        let mut evicted = |victim| next.tell_evicted(victim, change.reporter, change.now);
        if slots.enter(key, change.now, change.floor, next.liveness(), &mut evicted).is_ok() {
            slots.remark(&slots.place(key), change);
        }
    }

    pub(crate) fn tell_evicted(&self, victim: Network, reporter: u8, now: UnixSeconds) {
        self.count(Counter::Evicted);
        self.publish(&Event::of(EventKind::Evicted, victim, reporter, now));
    }

    fn refuse<T>(&self, refusal: Refusal) -> Result<T, Refusal> {
        match refusal {
            Refusal::NeverListed => self.count(Counter::RefusedNever),
            Refusal::White => self.count(Counter::RefusedWhite),
            Refusal::Full => self.count(Counter::RefusedFull),
            Refusal::Contention => self.count(Counter::RefusedContention),
            Refusal::Endless => self.count(Counter::RefusedEndless),
            // The caller opens the new table and comes again.
            Refusal::Retired => {}
        }
        Err(refusal)
    }

    /// Whitelists: see [`WritableTable::white`](crate::WritableTable::white).
    pub(crate) fn white(
        &self,
        network: Network,
        seconds: Option<u32>,
        reporter: u8,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        let key = self.key(network);
        let floor = self.policy_block().terms().floor;
        if seconds == Some(0) {
            let is_his = |entry: &Entry| entry.is_endless() || entry.reporters >> ADMIN & 1 == 1;
            let may_end = |entry: &Entry| entry.white && (reporter == ADMIN || !is_his(entry));
            if self.end(key, floor, now, &may_end)? {
                self.tell(
                    Counter::WhiteEnded,
                    &Event::of(EventKind::WhiteEnded, key, reporter, now),
                );
            }
            return Ok(());
        }
        // A white address lies in no black network, so that one may not be the administrator's either.
        if !matches!(reporter, ADMIN | LOCAL) && self.is_under_his(key, floor, now) {
            return self.refuse(Refusal::Endless);
        }
        let kind = Kind::White { seconds };
        self.apply(key, &Change { kind, reason: OTHER_BIT, reporter, now, floor })?;
        self.count(Counter::Whitened);
        let seconds = seconds.unwrap_or(u32::MAX);
        self.publish(&Event { seconds, ..Event::of(EventKind::Whitened, key, reporter, now) });
        Ok(())
    }

    /// Ends black entries: see [`WritableTable::forgive`](crate::WritableTable::forgive). `ended` is
    /// set when one was; it stays set when the change has to be made again in another table.
    pub(crate) fn forgive(
        &self,
        network: Network,
        reporter: u8,
        now: UnixSeconds,
        ended: &Cell<bool>,
    ) -> Result<(), Refusal> {
        let (key, floor) = (self.key(network), self.policy_block().terms().floor);
        let may_end = |entry: &Entry| match reporter {
            ADMIN => true,
            // Exim on this host, after a login: that is more than a guess.
            LOCAL => !entry.is_endless(),
            _ => !entry.is_by_hand(),
        };
        // Of an IPv6 client, entries under an earlier policy's prefix are his as well.
        let others = self.lengths().around(network);
        let others = others.filter(|other| network.is_host() && *other != key);
        for other in std::iter::once(key).chain(others) {
            let is_wider = other.mapped_length() < key.mapped_length();
            let ends = self.end(other, floor, now, &|entry| {
                !entry.white
                    && !(is_wider && (other.is_ipv4() || entry.is_by_hand()))
                    && may_end(entry)
            })?;
            if ends {
                ended.set(true);
                self.tell(Counter::Forgiven, &Event::of(EventKind::Forgiven, other, reporter, now));
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn end(
        &self,
        key: Network,
        floor: u32,
        now: UnixSeconds,
        may_end: &dyn Fn(&Entry) -> bool,
    ) -> Result<bool, Refusal> {
        let slots = self.entered(key, floor, now)?;
        slots.forget(&slots.place(key), now, floor, may_end)
    }

    /// The slots, once the key's entry is in these alone.
    pub(crate) fn entered(
        &self,
        key: Network,
        floor: u32,
        now: UnixSeconds,
    ) -> Result<Slots<'_>, Refusal> {
        if self.is_retired() {
            return Err(Refusal::Retired);
        }
        let slots = self.slots();
        let mut evicted = |victim| self.tell_evicted(victim, 0, now);
        slots.enter(key, now, floor, self.liveness(), &mut evicted)?;
        Ok(slots)
    }

    /// Counts an entry's end or reduction, and makes it known.
    pub(crate) fn tell(&self, counter: Counter, event: &Event) {
        self.count(counter);
        self.publish(event);
    }

    /// Removes what has expired: see [`WritableTable::sweep`](crate::WritableTable::sweep).
    pub(crate) fn sweep(&self, now: UnixSeconds, expiry: Expiry) -> Swept {
        let (slots, policy) = (self.slots(), self.policy_block());
        let terms = policy.terms();
        // By a damaged policy's floor, all entries might seem to have expired.
        let is_due = expiry == Expiry::Due && policy.is_sound();
        let due = is_due.then_some((now, terms.floor));
        let mut swept = Swept::default();
        for slot in 0..slots.len() {
            match slots.sweep(slot, due, self.liveness()) {
                SlotSwept::Nothing if is_due && slots.shorten(slot, now, terms.max_ttl) => {
                    swept.shortened += 1;
                }
                SlotSwept::Nothing => {}
                SlotSwept::Reclaimed => swept.reclaimed += 1,
                SlotSwept::Expired(network) => {
                    swept.expired += 1;
                    self.publish(&Event::of(EventKind::Expired, network, 0, now));
                }
            }
        }
        self.add(Counter::Expired, swept.expired);
        self.add(Counter::Reclaimed, swept.reclaimed);
        swept
    }

    /// Adds one to a counter, of the table that replaced this one if that happened meanwhile: what
    /// the old one has counted was taken over by then.
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    fn add(&self, counter: Counter, amount: u64) {
        let table = self.latest();
        counters::add(table.counter_words(), counter, amount);
        if table.is_retired() {
            move_counters(table);
        }
    }

    // Not inlined: the library must stay small.
    #[inline(never)]
    fn publish(&self, event: &Event) {
        self.latest().ring().publish(event);
    }
}

/// Moves over what was counted in a table in the very instant in which it was replaced.
#[cold]
#[inline(never)]
fn move_counters(mut table: &Table) {
    while table.is_retired()
        && let Some(next) = table.successor()
    {
        counters::move_over(table.counter_words(), next.counter_words());
        table = next;
    }
}
