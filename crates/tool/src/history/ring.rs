//! What the table itself still knows: its last 65,536 changes.

use eximrbl_table::{Event, EventKind, Names, Network, Next, Share, Table};

use super::change::Change;
use crate::json::Dictionaries;
use crate::text::rfc3339;

/// Seconds after which an event that nobody completes is given up by the table's reader.
const PATIENCE: u32 = 3;

/// The changes that are about a network or an address, the newest last.
pub(super) fn changes(table: &Table, asked: Network) -> Vec<Change> {
    let names = Dictionaries::of(table);
    let stream = table.stream();
    let (mut reader, end) = (table.events(Some(0)), table.serial());
    let mut now = eximrbl_table::now();
    let mut changes = Vec::new();
    // What comes meanwhile is not waited for.
    while reader.next_number() < end {
        match table.next_event(&mut reader, now) {
            Next::Event(event) if event.network.contains(asked) => {
                changes.push(change(&event, &names, stream));
            }
            Next::Event(_) | Next::Lost(_) => {}
            Next::Nothing => now = now.saturating_add(PATIENCE),
        }
    }
    changes
}

fn change(event: &Event, names: &Dictionaries, stream: u64) -> Change {
    let name =
        |names: &Names, bit: u8| names.of(1_u64.checked_shl(bit.into())?).next().map(str::to_owned);
    let is_report = matches!(event.kind, EventKind::Added | EventKind::Extended);
    let has_seconds = is_report && event.seconds > 0 || event.kind == EventKind::Whitened;
    let (kind, time) = (word(event.kind), (rfc3339(event.time), event.time));
    let mut change = Change::bare(kind, time, stream, event.sequence + 1);
    change.network = Some(event.network.to_string());
    // That an entry has run out is nobody's doing.
    if event.kind != EventKind::Expired {
        change.who = name(&names.reporters, event.reporter);
    }
    if is_report {
        change.reason = name(&names.reasons, event.reason);
        change.weight = Some(event.weight);
    }
    match event.share() {
        Some(Share::Reporter(bit)) => change.of = name(&names.reporters, bit),
        Some(Share::Reason(bit)) => change.reason = name(&names.reasons, bit),
        None => {}
    }
    change.seconds = Some(event.seconds).filter(|&it| has_seconds && it != u32::MAX);
    change
}

/// As eximrbld's trail has it.
fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Added => "added",
        EventKind::Extended => "extended",
        EventKind::Forgiven => "forgiven",
        EventKind::Whitened => "whitened",
        EventKind::Evicted => "evicted",
        EventKind::Expired => "expired",
        EventKind::WhiteEnded => "white_ended",
        EventKind::Reduced => "reduced",
    }
}
