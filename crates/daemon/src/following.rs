//! The table's changes, one after the other, for all that passes them on or keeps them.
//!
//! Whoever follows has a thread of its own and asks again every few milliseconds: writers are
//! Exim's processes, which wake nobody. The table may be replaced meanwhile, by a resized one,
//! whose events go on where the old one's ended, or by another, which begins anew.

use std::sync::Arc;

use eximrbl_table::{Event, EventReader, Next, Table, UnixSeconds};

use crate::served::Shared;

/// A place among the changes, which may outlive this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Position {
    /// [`Table::stream`].
    pub(crate) stream: u64,
    /// The number of the next change.
    pub(crate) next: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A change.
    Event(Event),
    /// Nothing, for now.
    Nothing,
    /// So many changes were overwritten before they were read: the table says what is.
    Lost(u64),
    /// Another table is served, and what follows is its changes: it says what is.
    Replaced,
}

/// Follows the changes of whatever table is served.
pub(crate) struct Following {
    shared: Arc<Shared>,
    table: Arc<Table>,
    reader: EventReader,
    /// Whether the position that was asked for is of another table.
    is_elsewhere: bool,
}

impl Following {
    /// From a position on, or from now on.
    pub(crate) fn new(shared: Arc<Shared>, from: Option<Position>) -> Self {
        let table = shared.served().table.clone();
        let here = from.filter(|from| from.stream == table.stream());
        let reader = table.events(here.map(|here| here.next));
        let is_elsewhere = from.is_some() && here.is_none();
        Self { shared, table, reader, is_elsewhere }
    }

    /// What comes next.
    pub(crate) fn step(&mut self, now: UnixSeconds) -> Step {
        if std::mem::take(&mut self.is_elsewhere) {
            return Step::Replaced;
        }
        match self.table.next_event(&mut self.reader, now) {
            Next::Event(event) => Step::Event(event),
            Next::Lost(lost) => Step::Lost(lost),
            Next::Nothing => self.look(),
        }
    }

    /// Looks whether another table is served; only when this one has nothing more to tell.
    fn look(&mut self) -> Step {
        let served = self.shared.served().table.clone();
        if Arc::ptr_eq(&served, &self.table) {
            return Step::Nothing;
        }
        let is_same = served.stream() == self.table.stream();
        if !is_same {
            self.reader = served.events(None);
        }
        self.table = served;
        if is_same { Step::Nothing } else { Step::Replaced }
    }

    /// Leaves out all changes up to now: whoever looks through the table after this sees what they made.
    pub(crate) fn skip(&mut self) {
        self.reader = self.table.events(None);
    }

    /// The table whose changes these are, to look up what they say.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The same, to be held.
    pub(crate) fn table_handle(&self) -> Arc<Table> {
        self.table.clone()
    }

    /// Where to go on after all that was read.
    pub(crate) fn position(&self) -> Position {
        Position { stream: self.table.stream(), next: self.reader.next_number() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::path::Path;

    use eximrbl_table::{CreateOptions, Name, Report, WritableTable};
    use eximrbl_zone::Config;

    use crate::guarding::Guarding;
    use crate::served::Served;

    const NOW: UnixSeconds = 1_795_000_000;

    fn made(path: &Path, slots: u64) -> WritableTable {
        let options = CreateOptions { slots, ..CreateOptions::default() };
        WritableTable::create(path, &options).unwrap()
    }

    fn served(path: &Path) -> (Served, Config) {
        let zones = ["rbl.example".to_owned()];
        let config = Config::without_file(&zones, Vec::new(), path.to_owned()).unwrap();
        let guard = Guarding::draw().unwrap().guard(&config.dns, None).unwrap();
        let writable = WritableTable::open(path).unwrap();
        let table = Arc::new(Table::open(path).unwrap());
        (Served::new(&config, false, table, Some(&writable), guard).unwrap(), config)
    }

    fn shared(path: &Path) -> Arc<Shared> {
        let (served, config) = served(path);
        Arc::new(Shared::new(served, config))
    }

    /// Records one rejection each of clients 192.0.2.FIRST and so on.
    fn record(path: &Path, clients: std::ops::Range<u8>) {
        let table = WritableTable::open(path).unwrap();
        let reason = table.reason(Name::new(b"rcpt").unwrap(), true);
        for last in clients {
            let network = format!("192.0.2.{last}").parse().unwrap();
            let report = Report { network, reason, reporter: 0, weight: None, seconds: None };
            table.record(&report, NOW).unwrap();
        }
    }

    /// Steps until there is nothing more; of events, the client's last octet.
    fn steps(following: &mut Following) -> Vec<Result<u8, Step>> {
        let mut steps = Vec::new();
        // Another table is noticed when one has nothing more: so twice nothing is nothing.
        let mut nothing = 0;
        while nothing < 2 {
            match following.step(NOW) {
                Step::Event(event) => {
                    let text = event.network.to_string();
                    steps.push(Ok(text.rsplit('.').next().unwrap().parse().unwrap()));
                }
                Step::Nothing => nothing += 1,
                other => steps.push(Err(other)),
            }
        }
        steps
    }

    /// Caught: a kept position that begins at the present.
    #[test]
    fn a_position_outlives_whoever_had_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        drop(made(&path, 64));
        record(&path, 0..2);
        let mut following = Following::new(shared(&path), None);
        record(&path, 2..4);
        assert_eq!(steps(&mut following), [Ok(2), Ok(3)], "from now on");
        let position = following.position();
        drop(following);
        record(&path, 4..6);
        let text = serde_json::to_string(&position).unwrap();
        let kept: Position = serde_json::from_str(&text).unwrap();
        let mut following = Following::new(shared(&path), Some(kept));
        assert_eq!(steps(&mut following), [Ok(4), Ok(5)]);
    }

    /// Caught: another table's changes taken for those of the one that the position is of.
    #[test]
    fn a_position_of_another_table_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("table"), folder.path().join("other"));
        drop((made(&path, 64), made(&other, 64)));
        record(&path, 0..3);
        record(&other, 10..13);
        let position = Following::new(shared(&other), None).position();
        let mut following = Following::new(shared(&path), Some(position));
        record(&path, 3..4);
        assert_eq!(steps(&mut following), [Err(Step::Replaced), Ok(3)]);
    }

    /// Caught: a table that is followed no more once another one is served; changes of the old one
    /// that are left out.
    #[test]
    fn the_table_that_is_served_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("table"), folder.path().join("aside"));
        drop(made(&path, 64));
        let shared = shared(&path);
        let mut following = Following::new(shared.clone(), None);
        record(&path, 0..2);
        std::fs::rename(&path, &aside).unwrap();
        drop(made(&path, 64));
        record(&path, 10..12);
        shared.replace(served(&path).0);
        assert_eq!(steps(&mut following), [Ok(0), Ok(1), Err(Step::Replaced)]);
        record(&path, 12..14);
        assert_eq!(steps(&mut following), [Ok(12), Ok(13)], "what is in it by then, it tells");
    }

    /// A resize leaves a gap in the numbers, which is told as lost; the stream stays.
    ///
    /// Caught: a resized table that is taken for another one.
    #[test]
    fn a_resized_table_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        drop(made(&path, 64));
        let shared = shared(&path);
        let mut following = Following::new(shared.clone(), None);
        record(&path, 0..2);
        assert_eq!(steps(&mut following), [Ok(0), Ok(1)]);
        let before = following.position();
        WritableTable::open(&path).unwrap().resize(128).unwrap();
        record(&path, 2..4);
        shared.replace(served(&path).0);
        let found = steps(&mut following);
        assert!(matches!(found[..], [Err(Step::Lost(_)), Ok(2), Ok(3)]), "{found:?}");
        let after = following.position();
        assert!(after.stream == before.stream && after.next > before.next + 2);
        record(&path, 4..5);
        let mut again = Following::new(shared, Some(after));
        assert_eq!(steps(&mut again), [Ok(4)]);
    }
}
