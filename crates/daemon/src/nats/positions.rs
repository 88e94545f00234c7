//! How far this site has published, and how far it has followed the others: kept beside the table.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use eximrbl_table::{Name, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::following::Position;

/// The version of the file's form.
const FORMAT: u32 = 1;
/// Tables of one site whose numbers are remembered: each replacement of a table begins anew.
const STREAMS_MAX: usize = 4;
/// How often the file is forced to the disk; between that, it outlives this process alone.
const FORCE_EVERY: Duration = Duration::from_secs(1);

/// All that must outlive a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Positions {
    format: u32,
    /// Up to where this table's changes are in the stream.
    pub(super) own: Position,
    /// The time of the last of them.
    pub(super) told: UnixSeconds,
    /// What is listed since then is still to be published, entry by entry.
    pub(super) state_since: Option<UnixSeconds>,
    /// The number of the table's next change when this was written: other sites' changes from there
    /// on were made, but not noted.
    pub(super) noted: u64,
    /// The last message of the stream that was dealt with.
    pub(super) server: Option<ServerPosition>,
    /// Up to which numbers each site's changes were made here.
    sites: BTreeMap<String, Vec<Position>>,
}

/// A place in the server's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServerPosition {
    /// When the stream was made: another one of the same name has other numbers.
    pub(super) created: String,
    pub(super) sequence: u64,
}

impl Positions {
    /// Those of a table of which nothing was published, nor anything made in it.
    pub(super) fn new(own: Position) -> Self {
        Self {
            format: FORMAT,
            own,
            told: 0,
            state_since: None,
            noted: own.next,
            server: None,
            sites: BTreeMap::new(),
        }
    }

    /// The number of the first change of a site's table that was not made yet.
    pub(super) fn next_of(&self, site: Name, stream: u64) -> u64 {
        let known = self.sites.get(site.as_str()).into_iter().flatten();
        known
            .filter(|position| position.stream == stream)
            .map(|position| position.next)
            .max()
            .unwrap_or(0)
    }

    /// Notes up to which number a site's changes were made.
    pub(super) fn note(&mut self, site: Name, stream: u64, next: u64) {
        let known = self.sites.entry(site.to_string()).or_default();
        let next = known.iter().filter(|p| p.stream == stream).map(|p| p.next).fold(next, u64::max);
        known.retain(|position| position.stream != stream);
        known.push(Position { stream, next });
        if known.len() > STREAMS_MAX {
            known.remove(0);
        }
    }

    /// Notes that there is a site of this name.
    pub(super) fn learn(&mut self, site: Name) {
        self.sites.entry(site.to_string()).or_default();
    }

    /// Whether a name is another site's.
    pub(super) fn is_site(&self, name: &str) -> bool {
        self.sites.contains_key(name)
    }
}

/// The file that they are kept in.
pub(super) struct PositionsFile {
    path: PathBuf,
    forced: Option<Instant>,
    /// Forces what was written last to the disk. That may take a tenth of a second, for which no change
    /// shall wait.
    forcing: Option<JoinHandle<io::Result<()>>>,
}

/// Why positions cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}", path = path.display())]
pub(super) struct PositionsError {
    path: PathBuf,
    problem: String,
}

impl PositionsFile {
    /// Beside the table; `site` is in its name.
    pub(super) fn beside(table: &Path, site: Name) -> Self {
        let path = table.with_file_name(format!("nats-{site}.json"));
        Self { path, forced: None, forcing: None }
    }

    /// What was kept; `None` if there is no file.
    pub(super) fn load(&self) -> Result<Option<Positions>, PositionsError> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| self.error(&error))?,
        };
        let positions: Positions =
            serde_json::from_slice(&bytes).map_err(|error| self.error(&error))?;
        if positions.format != FORMAT {
            return Err(self.error(&format!("of format {}, not {FORMAT}", positions.format)));
        }
        Ok(Some(positions))
    }

    /// Writes them aside and renames: a reader, or who comes after a crash, sees the old or the new.
    pub(super) fn store(&mut self, positions: &Positions) -> Result<(), PositionsError> {
        let bytes = serde_json::to_vec(positions).map_err(|error| self.error(&error))?;
        self.try_store(&bytes).map_err(|error| self.error(&error))
    }

    fn try_store(&mut self, bytes: &[u8]) -> io::Result<()> {
        let aside = self.path.with_extension("json.new");
        // Made anew each time: the daemon has given up the right to cut files short.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        fs::rename(&aside, &self.path)?;
        self.force(file)
    }

    /// Has a file forced to the disk now and then, beside all else; an error is that of the last time.
    /// After a loss of power, the positions are those of some seconds ago, or, if the file system
    /// had the new name but not the bytes, none that can be read.
    fn force(&mut self, file: File) -> io::Result<()> {
        if self.forced.is_some_and(|forced| forced.elapsed() < FORCE_EVERY)
            || self.forcing.as_ref().is_some_and(|forcing| !forcing.is_finished())
        {
            return Ok(());
        }
        self.forced = Some(Instant::now());
        let builder = thread::Builder::new().name("nats-positions".to_owned());
        let next = builder.spawn(move || file.sync_all())?;
        match self.forcing.replace(next).map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the thread that writes them has ended")),
        }
    }

    fn error(&self, problem: &dyn ToString) -> PositionsError {
        PositionsError { path: self.path.clone(), problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    /// Caught: a number that goes back when a message comes twice.
    #[test]
    fn numbers_of_a_site_only_grow() {
        let mut positions = Positions::new(Position { stream: 1, next: 7 });
        assert_eq!(positions.next_of(name("tokyo"), 5), 0);
        for next in [10, 30, 20] {
            positions.note(name("tokyo"), 5, next);
        }
        assert_eq!(positions.next_of(name("tokyo"), 5), 30);
        assert_eq!(positions.next_of(name("tokyo"), 6), 0);
        assert_eq!(positions.next_of(name("paris"), 5), 0);
        for stream in 6..=9 {
            positions.note(name("tokyo"), stream, 1);
        }
        assert_eq!(positions.next_of(name("tokyo"), 5), 0, "the fifth table back is forgotten");
        assert!(positions.is_site("tokyo") && !positions.is_site("paris"));
    }

    /// Caught: a format that is not looked at.
    #[test]
    fn what_is_stored_is_loaded_and_rubbish_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = PositionsFile::beside(&folder.path().join("table"), name("paris"));
        assert_eq!(file.load().unwrap(), None);
        let mut positions = Positions::new(Position { stream: u64::MAX, next: 7 });
        positions.note(name("tokyo"), u64::MAX - 1, 9);
        positions.server = Some(ServerPosition { created: "today".to_owned(), sequence: 3 });
        for _ in 0..2 {
            file.store(&positions).unwrap();
            assert_eq!(file.load().unwrap().as_ref(), Some(&positions));
            positions.noted += 1;
        }
        let path = folder.path().join("nats-paris.json");
        let newer = fs::read_to_string(&path).unwrap().replace("\"format\":1", "\"format\":2");
        for rubbish in ["", "{}", &newer] {
            fs::write(&path, rubbish).unwrap();
            let error = file.load().unwrap_err().to_string();
            assert!(error.contains("nats-paris.json: "), "{error}");
        }
    }
}
