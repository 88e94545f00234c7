//! Log lines that others can provoke: one a minute for each cause and peer, and how many were held
//! back.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long a line is not said again.
const PAUSE: Duration = Duration::from_secs(60);
/// Causes and peers that are told apart; a flood from everywhere must not fill memory or log.
const MOST: usize = 1024;

/// What was said when. `K` is a cause, with the peer that it concerns.
#[derive(Debug)]
pub(crate) struct Seldom<K> {
    told: HashMap<K, Told>,
    /// Lines of causes and peers for which there was no room.
    others: u64,
    /// When room was looked for in vain.
    full_at: Option<Instant>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    held_back: u64,
}

/// A line is to be said now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Say {
    /// Lines like it that were not said since the last one.
    pub(crate) held_back: u64,
    /// Lines of other causes and peers that were not said, for these were too many.
    pub(crate) others: u64,
}

impl<K> Default for Seldom<K> {
    fn default() -> Self {
        Self { told: HashMap::new(), others: 0, full_at: None }
    }
}

impl<K: Eq + Hash> Seldom<K> {
    /// Whether to say a line about this now.
    pub(crate) fn say(&mut self, key: K, now: Instant) -> Option<Say> {
        if let Some(told) = self.told.get_mut(&key) {
            if now.saturating_duration_since(told.at) < PAUSE {
                told.held_back += 1;
                return None;
            }
            let held_back = std::mem::take(&mut told.held_back);
            told.at = now;
            return Some(Say { held_back, others: std::mem::take(&mut self.others) });
        }
        if self.told.len() >= MOST && !self.make_room(now) {
            self.others += 1;
            return None;
        }
        self.told.insert(key, Told { at: now, held_back: 0 });
        Some(Say { held_back: 0, others: std::mem::take(&mut self.others) })
    }

    /// What this is about is over: when it comes again, it is said again.
    pub(crate) fn forget<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.told.remove(key);
    }

    /// Forgets what may be said again; looks for it once a second at most.
    fn make_room(&mut self, now: Instant) -> bool {
        let second = Duration::from_secs(1);
        if self.full_at.is_some_and(|at| now.saturating_duration_since(at) < second) {
            return false;
        }
        self.full_at = Some(now);
        let others = &mut self.others;
        self.told.retain(|_, told| {
            let stays = now.saturating_duration_since(told.at) < PAUSE;
            if !stays {
                *others += told.held_back;
            }
            stays
        });
        self.told.len() < MOST
    }
}

/// What is added to a line.
impl std::fmt::Display for Say {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.held_back > 0 {
            write!(f, "; {} more like it since the last such line", self.held_back)?;
        }
        if self.others > 0 {
            write!(f, "; {} of other peers not told, for they were too many", self.others)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Caught: a count that is not begun anew; one pause for all.
    #[test]
    fn a_line_is_said_once_a_minute_for_each_cause_and_peer() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(seldom.say(("secret", 1), at(0)).unwrap().held_back, 0);
        assert_eq!(seldom.say(("secret", 1), at(1)), None);
        assert_eq!(seldom.say(("secret", 1), at(59)), None);
        assert!(seldom.say(("secret", 2), at(59)).is_some());
        assert!(seldom.say(("clock", 1), at(59)).is_some());
        assert_eq!(seldom.say(("secret", 1), at(60)).unwrap().held_back, 2);
        assert_eq!(seldom.say(("secret", 1), at(120)).unwrap().held_back, 0);
    }

    /// Caught: trouble that comes back and is not told.
    #[test]
    fn what_is_over_is_said_again() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        assert!(seldom.say("table", start).is_some());
        assert_eq!(seldom.say("table", start), None);
        seldom.forget("table");
        assert_eq!(seldom.say("table", start).unwrap().held_back, 0);
    }

    /// Caught: a map that grows with the peers; one that stays full for ever.
    #[test]
    fn peers_without_number_are_counted_together() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let said = (0..5000).filter(|peer| seldom.say(*peer, start).is_some()).count();
        assert_eq!((said, seldom.told.len()), (MOST, MOST));
        assert_eq!(seldom.say(0, start), None);
        let later = seldom.say(9999, start + PAUSE).unwrap();
        assert_eq!(later.others, 5000 - MOST as u64 + 1);
        assert_eq!(seldom.told.len(), 1);
    }
}
