//! What became of one network, told from its changes: the rule by which sites agree.
//!
//! Changes of several sites arrive in another order everywhere. Their *stamps* (time, tick, the site's
//! name) put them into one order that is the same everywhere, and what stands in the table is what
//! comes out when they are gone through in that order. The tick, a hybrid logical clock's, tells
//! changes of one second apart: what a site did has a later one than all that it knew of. So a report that comes late is added as if it had come in time, and one that is older than
//! a forgiving which is known already adds nothing.
//!
//! Pure values; `merge` brings the table to what is said here.

use std::collections::VecDeque;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Entry, Name, Policy, UnixSeconds};

/// An end that never comes.
pub(super) const NEVER: UnixSeconds = UnixSeconds::MAX;
/// The largest count of an entry, as the table has it.
const COUNT_MAX: u32 = (1 << 18) - 1;

/// The parts of the policy that decide about lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    base_ttl: u32,
    pub(super) max_ttl: u32,
    pub(super) floor: u32,
}

impl From<&Policy> for Terms {
    fn from(policy: &Policy) -> Self {
        Self { base_ttl: policy.base_ttl, max_ttl: policy.max_ttl, floor: policy.floor }
    }
}

impl Terms {
    /// Seconds that a report without its own adds.
    pub(super) fn usual(&self, weight: u32) -> u32 {
        self.base_ttl.saturating_mul(weight)
    }
}

/// When a change was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) time: UnixSeconds,
    /// Tells moments of one second apart.
    pub(super) tick: u32,
}

/// What stands about a network at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Nothing,
    Black {
        /// When this life began.
        start: UnixSeconds,
        until: UnixSeconds,
        count: u32,
        /// Whether this site's administrator listed it.
        is_held: bool,
    },
    White {
        until: UnixSeconds,
        /// Whether this site's administrator allowed it.
        is_held: bool,
    },
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Adds rejections; seconds as in a report, [`NEVER`] for no end.
    Black {
        weight: u32,
        seconds: Option<u32>,
    },
    White {
        until: UnixSeconds,
    },
    WhiteEnd,
    Forgive,
    /// Tells of a listing as it is at another site: the larger count and the later end hold.
    Known {
        start: UnixSeconds,
        until: UnixSeconds,
        count: u32,
    },
}

/// One change that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    pub(super) moment: Moment,
    pub(super) site: Name,
    pub(super) effect: Effect,
    /// Bit of the reason, for rejections.
    pub(super) reason: u8,
    /// Who made it, as seen from this site.
    pub(super) by: By,
}

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// This site's administrator.
    Administrator,
    /// Any other reporter of this site.
    Own,
    /// Another site.
    Other,
}

impl Past {
    fn stamp(&self) -> (Moment, &str) {
        (self.moment, self.site.as_str())
    }

    pub(super) fn time(&self) -> UnixSeconds {
        self.moment.time
    }
}

impl Standing {
    /// What an entry says; `now` is when it was taken.
    pub(super) fn of(entry: Option<&Entry>, now: UnixSeconds) -> Self {
        let Some(entry) = entry else { return Self::Nothing };
        let until = if entry.is_endless() { NEVER } else { now.saturating_add(entry.remaining) };
        let is_held = entry.reporters >> ADMIN & 1 == 1;
        match entry.white {
            true => Self::White { until, is_held },
            false => Self::Black { start: entry.first, until, count: entry.count, is_held },
        }
    }

    /// What is left of it at a time.
    pub(super) fn at(self, time: UnixSeconds, terms: &Terms) -> Self {
        let is_alive = match self {
            Self::Nothing => false,
            Self::Black { until, .. } => until.saturating_sub(time) >= terms.floor.max(1),
            Self::White { until, .. } => until > time,
        };
        if is_alive { self } else { Self::Nothing }
    }

    /// What it becomes by a change.
    fn after(self, past: &Past, terms: &Terms) -> Self {
        let (time, now) = (past.time(), self.at(past.time(), terms));
        match past.effect {
            Effect::Black { weight, seconds } => {
                let seconds = seconds.unwrap_or_else(|| terms.usual(weight));
                now.after_rejections(past, weight, seconds, terms)
            }
            Effect::White { until } => match now {
                Self::Black { .. } if now.withstands(past) => now,
                // Known to be older than the listing that was found.
                Self::Black { start, .. } if start > time && until <= start => now,
                Self::White { until: old, is_held } => {
                    let by_hand = past.by == By::Administrator;
                    let until = if by_hand { until } else { until.max(old) };
                    Self::White { until, is_held: is_held || by_hand }
                }
                _ => Self::White { until, is_held: past.by == By::Administrator },
            },
            Effect::WhiteEnd => match now {
                Self::White { until, is_held } => {
                    let is_his = is_held || until == NEVER;
                    if is_his && past.by != By::Administrator { now } else { Self::Nothing }
                }
                _ => now,
            },
            Effect::Forgive => match now {
                Self::Black { start, .. } if start > time || now.withstands(past) => now,
                Self::Black { .. } => Self::Nothing,
                _ => now,
            },
            Effect::Known { start, until, count } => match now {
                Self::White { .. } => now,
                Self::Black { start: s, until: u, count: c, is_held } => Self::Black {
                    start: s.min(start),
                    until: u.max(until),
                    count: c.max(count),
                    is_held,
                },
                Self::Nothing => Self::Black { start, until, count, is_held: false },
            },
        }
    }

    fn after_rejections(self, past: &Past, weight: u32, seconds: u32, terms: &Terms) -> Self {
        let time = past.time();
        let by_hand = past.by == By::Administrator;
        let own_end = match seconds {
            NEVER => NEVER,
            seconds => time.saturating_add(seconds.min(terms.max_ttl)),
        };
        match self {
            Self::White { .. } => self,
            Self::Nothing => {
                Self::Black { start: time, until: own_end, count: weight, is_held: by_hand }
            }
            // Older than the listing that was found: it lengthens it by what reaches into it.
            Self::Black { start, until, count, is_held } if start > time => {
                let reach = own_end.saturating_sub(start);
                if reach < terms.floor.max(1) {
                    return self;
                }
                let count = count.saturating_add(weight).min(COUNT_MAX);
                let is_held = is_held || by_hand;
                Self::Black { start: time, until: until.saturating_add(reach), count, is_held }
            }
            Self::Black { start, until, count, is_held } => {
                let left = until.saturating_sub(time);
                let added = time.saturating_add(left.saturating_add(seconds).min(terms.max_ttl));
                let until =
                    if seconds == NEVER || until == NEVER { NEVER } else { added.max(until) };
                let count = count.saturating_add(weight).min(COUNT_MAX);
                Self::Black { start, until, count, is_held: is_held || by_hand }
            }
        }
    }

    /// Whether a listing stays, whatever this reporter wants: what this site's administrator listed,
    /// other sites do not end, and one without end nobody does but he.
    pub(super) fn withstands(self, past: &Past) -> bool {
        let Self::Black { until, is_held, .. } = self else { return false };
        match past.by {
            By::Administrator => false,
            By::Own => until == NEVER,
            By::Other => is_held || until == NEVER,
        }
    }
}

/// The changes of one network that are remembered.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// What stood before the first of them.
    base: Standing,
    /// By their stamps.
    past: VecDeque<Past>,
}

/// What makes up the present standing.
#[derive(Debug)]
pub(super) struct Parts {
    /// What stood before all that is remembered, if that is a part of it.
    pub(super) base: Option<Standing>,
    pub(super) past: Vec<Past>,
}

impl History {
    /// Begins with what stood when the first change came.
    pub(super) fn new(base: Standing) -> Self {
        Self { base, past: VecDeque::new() }
    }

    /// Enters a change at its place; whether that is the last one.
    pub(super) fn enter(&mut self, past: Past) -> bool {
        let place = self.past.iter().rposition(|known| known.stamp() <= past.stamp());
        let place = place.map_or(0, |place| place + 1);
        self.past.insert(place, past);
        place + 1 == self.past.len()
    }

    /// Enters a change as the table's ring has it, in the order in which it was made there. What
    /// ended a listing ended it, whatever its stamp says; what was to remain was made anew after it.
    pub(super) fn enter_made(&mut self, past: Past) {
        if !matches!(past.effect, Effect::Black { .. } | Effect::Known { .. }) {
            self.base = Standing::Nothing;
            self.past
                .retain(|past| !matches!(past.effect, Effect::Black { .. } | Effect::Known { .. }));
        }
        self.enter(past);
    }

    /// The time of the latest change.
    pub(super) fn newest(&self) -> UnixSeconds {
        self.past.iter().map(|past| past.time()).max().unwrap_or(0)
    }

    /// What stands when all changes are gone through.
    pub(super) fn standing(&self, terms: &Terms) -> Standing {
        self.past.iter().fold(self.base, |standing, past| standing.after(past, terms))
    }

    /// What would stand after one more change that comes last.
    pub(super) fn standing_with(&self, past: &Past, terms: &Terms) -> Standing {
        self.standing(terms).after(past, terms)
    }

    /// The changes that the present standing is made of.
    pub(super) fn parts(&self, terms: &Terms) -> Parts {
        let (mut standing, mut from, mut has_base) = (self.base, 0, true);
        for (index, past) in self.past.iter().enumerate() {
            let before = standing.at(past.time(), terms);
            standing = before.after(past, terms);
            let is_white = |standing| matches!(standing, Standing::White { .. });
            if standing == Standing::Nothing {
                (from, has_base) = (index + 1, false);
            } else if before == Standing::Nothing || is_white(before) != is_white(standing) {
                (from, has_base) = (index, false);
            }
        }
        let base = Some(self.base).filter(|base| has_base && *base != Standing::Nothing);
        Parts { base, past: self.past.iter().skip(from).copied().collect() }
    }

    /// Forgets the oldest change, but not what came of it; whether more are left.
    pub(super) fn forget_oldest(&mut self, terms: &Terms) -> bool {
        if let Some(oldest) = self.past.pop_front() {
            self.base = self.base.after(&oldest, terms);
        }
        !self.past.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const T: UnixSeconds = 1_795_000_000;

    fn terms() -> Terms {
        Terms::from(&Policy::default())
    }

    fn past(time: UnixSeconds, site: &str, effect: Effect) -> Past {
        let site = Name::new(site.as_bytes()).unwrap();
        let moment = Moment { time: T + time, tick: 0 };
        Past { moment, site, effect, reason: 0, by: By::Other }
    }

    fn black(time: UnixSeconds, site: &str) -> Past {
        past(time, site, Effect::Black { weight: 1, seconds: None })
    }

    fn told(changes: &[Past]) -> Standing {
        let mut history = History::new(Standing::Nothing);
        for change in changes {
            history.enter(*change);
        }
        history.standing(&terms())
    }

    /// In all orders of arrival the same stands. Caught: changes entered as they arrive.
    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let white = Effect::White { until: T + 900 };
        let all = [
            black(0, "a"),
            past(5, "b", Effect::Forgive),
            black(5, "c"),
            black(6, "a"),
            past(700, "b", white),
            past(710, "c", Effect::WhiteEnd),
            black(710, "d"),
        ];
        for length in 1..=all.len() {
            let changes = &all[..length];
            let expected = told(changes);
            for turn in 0..length {
                let mut turned = changes.to_vec();
                turned.rotate_left(turn);
                assert_eq!(told(&turned), expected, "{length} changes, turned by {turn}");
                turned.reverse();
                assert_eq!(told(&turned), expected, "{length} changes, turned by {turn}, back");
            }
        }
        let is_held = false;
        let last = Standing::Black { start: T + 710, until: T + 1310, count: 1, is_held };
        assert_eq!(told(&all), last);
        let both = Standing::Black { start: T + 5, until: T + 1205, count: 2, is_held };
        assert_eq!(told(&all[..4]), both, "forgiven at 5 by b, then reported by c and a");
    }

    /// As the table has it: a life that ran out begins anew, one that runs is added to, and there
    /// is a longest. Caught: a floor that is not looked at.
    #[test]
    fn lives_are_those_of_the_table() {
        let is_held = false;
        let life = |start, until, count| Standing::Black {
            start: T + start,
            until: T + until,
            count,
            is_held,
        };
        assert_eq!(told(&[black(0, "a"), black(540, "a")]), life(0, 1200, 2));
        assert_eq!(told(&[black(0, "a"), black(541, "a")]), life(541, 1141, 1));
        let long = past(0, "a", Effect::Black { weight: 3, seconds: Some(604_700) });
        assert_eq!(told(&[long, black(10, "a")]), life(0, 604_810, 4));
    }

    /// Caught: a base that is forgotten with its first change.
    #[test]
    fn what_is_forgotten_still_counts() {
        let mut history = History::new(Standing::Nothing);
        for time in [0, 1, 2] {
            history.enter(black(time, "a"));
        }
        let before = history.standing(&terms());
        assert!(history.forget_oldest(&terms()) && history.forget_oldest(&terms()));
        assert_eq!(history.standing(&terms()), before);
        let parts = history.parts(&terms());
        assert!(parts.base.is_some() && parts.past.len() == 1);
        history.enter(past(3, "b", Effect::Forgive));
        history.enter(black(4, "a"));
        let parts = history.parts(&terms());
        assert_eq!((parts.base, parts.past.len()), (None, 1));
    }

    /// Caught: another site's forgiving that ends what the administrator listed here.
    #[test]
    fn the_administrators_listing_withstands_other_sites() {
        let by_hand = Past { by: By::Administrator, ..black(0, "a") };
        let forgive = past(1, "b", Effect::Forgive);
        let white = past(2, "b", Effect::White { until: T + 900 });
        assert_eq!(told(&[by_hand, forgive, white]), told(&[by_hand]));
        let own = Past { by: By::Own, ..forgive };
        assert_eq!(told(&[by_hand, own]), Standing::Nothing);
    }
}
