//! A daemon with a trail, and what is in that.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eximrbl_table::{Name, Report, WritableTable, now};
use serde_json::Value;

use crate::common::{Daemon, PLAIN, Place, wait_until};

/// A place with a folder for the trail.
pub(crate) struct Stage {
    pub(crate) place: Place,
    pub(crate) file: PathBuf,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let place = Place::new();
        let file = place.path("log").join("audit.jsonl");
        Self { place, file }
    }

    /// Starts the daemon with a trail; `settings` are further lines of `[audit]`.
    pub(crate) fn start(&self, settings: &str) -> Daemon {
        Daemon::start(&self.place, &self.sections(settings))
    }

    pub(crate) fn sections(&self, settings: &str) -> String {
        format!("[audit]\nfile = {:?}\n{settings}\n{PLAIN}", self.file)
    }

    pub(crate) fn table(&self) -> WritableTable {
        WritableTable::open(&self.place.table()).unwrap()
    }

    /// The lines of the file that are whole.
    pub(crate) fn lines(&self) -> Vec<Value> {
        lines(&self.file)
    }

    /// Waits until a line is there; yields all.
    pub(crate) fn wait_for(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        let found = || self.lines().iter().any(&is_it);
        wait_until(found, || format!("no {what} in {:?}", self.lines()));
        self.lines()
    }

    /// Waits for a change of this network.
    pub(crate) fn wait_for_network(&self, network: &str) -> Vec<Value> {
        self.wait_for_text(&format!("\"network\":\"{network}\""));
        self.lines()
    }

    /// Waits for a whole line with this in it; yields the file.
    pub(crate) fn wait_for_text(&self, part: &str) -> String {
        let text = || fs::read_to_string(&self.file).unwrap_or_default();
        let holds = |text: &str| text.find(part).is_some_and(|at| text[at..].contains('\n'));
        wait_until(|| holds(&text()), || format!("no {part} in {}", self.file.display()));
        text()
    }

    /// Waits for a line with this in it at the end of a file of many, for as long as that grows; yields
    /// the file.
    pub(crate) fn wait_for_the_end(&self, part: &str) -> String {
        let (mut length, mut grown) = (0, Instant::now());
        loop {
            let file = File::open(&self.file).unwrap();
            let now = file.metadata().unwrap().len();
            let start = now.saturating_sub(4096);
            let mut end = vec![0; (now - start) as usize];
            file.read_exact_at(&mut end, start).unwrap();
            let end = String::from_utf8_lossy(&end);
            if end.ends_with('\n') && end.contains(part) {
                return fs::read_to_string(&self.file).unwrap();
            }
            if now != length {
                (length, grown) = (now, Instant::now());
            }
            assert!(grown.elapsed() < Duration::from_secs(30), "no {part} in {end}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// An older file of the trail.
    pub(crate) fn older(&self, number: u32) -> PathBuf {
        self.file.with_file_name(format!("audit.jsonl.{number}"))
    }
}

/// The whole lines of a file; none if it is not there.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).peekable();
    let mut lines = Vec::new();
    while let Some(line) = whole.next() {
        let half = line.trim_end();
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            // A daemon was killed while it wrote: that line is ended, and comes once more.
            Err(_)
                if whole.peek().is_some_and(|next| next.starts_with(half)) && !half.is_empty() => {}
            Err(_) => panic!("{line:?}"),
        }
    }
    lines
}

/// Records a report by a name.
pub(crate) fn report(table: &WritableTable, client: &str, reason: &str, reporter: u8, weight: u32) {
    let reason = table.reason(Name::new(reason.as_bytes()).unwrap(), true);
    let network = client.parse().unwrap();
    let report = Report { network, reason, reporter, weight: Some(weight), seconds: None };
    table.record(&report, now()).unwrap();
}

/// The numbers of the changes in these lines, which must leave out none and have none twice.
#[track_caller]
pub(crate) fn assert_each_once<'a>(lines: impl IntoIterator<Item = &'a Value>) -> u64 {
    let changes = lines.into_iter().filter(|line| !line["network"].is_null());
    let numbers: Vec<_> = changes.map(|line| line["next"].as_u64().unwrap()).collect();
    let first = numbers.first().copied().unwrap_or_default();
    let expected: Vec<_> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
    numbers.len() as u64
}
