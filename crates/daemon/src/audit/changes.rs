//! From the table's changes to lines.
//!
//! A gap, where changes were overwritten before they were read or another table took the place of
//! the first, is written down like this:
//!
//! ```text
//! lost (how many) or replaced
//! found …    each entry that lives and was changed since the last change that was written
//! resumed    from here on nothing is missing
//! ```
//!
//! All but the last of these lines say that the trail goes as far as before the gap: a daemon that
//! is killed among them looks through the table once more.

use std::collections::VecDeque;
use std::sync::Arc;

use eximrbl_table::{Event, Network, UnixSeconds};

use super::batch::Batch;
use super::line::{Dictionaries, Line, Remark, Seen};
use super::position::Place;
use crate::following::{Following, Position, Step};
use crate::served::Shared;

/// Writers take the time before they make a change, and the change before its event.
const SLACK: UnixSeconds = 5;

/// What is to be written next.
pub(super) struct Changes {
    following: Following,
    names: Dictionaries,
    /// How far the trail goes with all that was collected.
    place: Place,
    /// Whether nothing is known of what was before.
    is_new: bool,
    /// What was found after a gap, as long as the gap is being written down.
    gap: Option<VecDeque<Network>>,
}

impl Changes {
    /// From where the trail ends. A new trail takes what the ring still has.
    pub(super) fn new(shared: Arc<Shared>, from: Option<Place>) -> Self {
        let now = eximrbl_table::now();
        let table = shared.served().table.clone();
        let (stream, names) = (table.stream(), Dictionaries::of(&table));
        let place = from.unwrap_or(Place { position: Position { stream, next: 0 }, time: now });
        let following = Following::new(shared, Some(place.position));
        Self { following, names, place, is_new: from.is_none(), gap: None }
    }

    /// Adds lines until there are so many bytes, or nothing more to tell for now.
    pub(super) fn collect(&mut self, batch: &mut Batch, limit: usize) {
        let now = eximrbl_table::now();
        while batch.len() < limit {
            if self.gap.is_some() {
                self.collect_gap(batch, now, limit);
                continue;
            }
            let step = self.following.step(now);
            let position = self.following.position();
            if std::mem::take(&mut self.is_new) {
                self.place.position = match step {
                    Step::Event(event) => Position { next: event.sequence, ..position },
                    _ => position,
                };
                self.remark(Remark::Begun, batch, now);
                if let Step::Lost(_) = step {
                    // What was before the trail began is nothing that it lacks.
                    continue;
                }
            }
            match step {
                Step::Nothing => return,
                Step::Event(event) => {
                    self.place = Place { position, time: event.time };
                    self.event(&event, batch, now);
                }
                Step::Lost(lost) => self.open_gap(Remark::Lost(lost), batch, now),
                Step::Replaced => self.open_gap(Remark::Replaced, batch, now),
            }
        }
    }

    /// Writes a change down, with what has become of its entry.
    fn event(&mut self, event: &Event, batch: &mut Batch, now: UnixSeconds) {
        let table = self.following.table();
        let seen = Seen::of(event.network, table, now);
        let bit = |bit: u8| 1_u64.checked_shl(bit.into()).unwrap_or(0);
        let (reasons, reporters) =
            seen.as_ref().map_or((0, 0), |seen| (seen.entry.reasons, seen.entry.reporters));
        let (reasons, reporters) = (reasons | bit(event.reason), reporters | bit(event.reporter));
        self.names.see_to(reasons, reporters, table);
        let line = Line::of_event(event, seen.as_ref(), &self.names, self.place.position);
        batch.push(&line, self.place);
    }

    fn remark(&self, remark: Remark, batch: &mut Batch, now: UnixSeconds) {
        batch.push(&Line::of_remark(remark, now, self.place), self.place);
    }

    /// Looks for what was changed since the last change that was written, and still is.
    fn open_gap(&mut self, remark: Remark, batch: &mut Batch, now: UnixSeconds) {
        self.remark(remark, batch, now);
        let since = self.place.time.min(now).saturating_sub(SLACK);
        let entries = self.following.table().entries(now);
        let changed = entries.filter(|entry| entry.last >= since);
        self.gap = Some(changed.map(|entry| entry.network).collect());
        // Of another table, perhaps.
        self.names = Dictionaries::of(self.following.table());
    }

    /// Writes down what was found; then all is as without the gap.
    fn collect_gap(&mut self, batch: &mut Batch, now: UnixSeconds, limit: usize) {
        while let Some(network) = self.gap.as_mut().and_then(VecDeque::pop_front) {
            let table = self.following.table();
            // It may have ended since.
            if let Some(seen) = Seen::of(network, table, now) {
                self.names.see_to(seen.entry.reasons, seen.entry.reporters, table);
                batch.push(&Line::of_found(&seen, &self.names, self.place), self.place);
            }
            if batch.len() >= limit {
                return;
            }
        }
        self.gap = None;
        self.place = Place { position: self.following.position(), time: now };
        self.remark(Remark::Resumed, batch, now);
    }
}
