//! Asks the control socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Place;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration's section for a control socket in that place.
pub(crate) fn control_section(place: &Place) -> String {
    format!("[control]\nsocket = {:?}\n", place.path("control"))
}

/// Sends a request, and reads the answer. Asks again when it was sent too late, on a machine that
/// is busy elsewhere; then it gets none.
pub(crate) fn ask_control(path: &Path, request: &[u8]) -> io::Result<String> {
    let started = Instant::now();
    loop {
        match ask_once(path, request) {
            Ok(answer) if !answer.is_empty() => return Ok(answer),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Err(error),
            other => assert!(started.elapsed() < PATIENCE, "no answer: {other:?}"),
        }
    }
}

fn ask_once(path: &Path, request: &[u8]) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The daemon's numbers at one moment.
pub(crate) struct Statistics(pub(crate) Value);

impl Statistics {
    /// Of the daemon with a control socket in that place.
    pub(crate) fn of(place: &Place) -> Self {
        let answer = ask_control(&place.path("control"), b"stats\n").unwrap();
        Self(serde_json::from_str(&answer).unwrap())
    }

    /// A number, by the names on the way to it.
    pub(crate) fn number(&self, way: &[&str]) -> u64 {
        let found = way.iter().fold(&self.0, |value, name| &value[name]);
        found.as_u64().unwrap_or_else(|| panic!("no number {way:?} in {}", self.0))
    }

    /// How often something happened.
    pub(crate) fn event(&self, name: &str) -> u64 {
        self.number(&["events", name])
    }
}
