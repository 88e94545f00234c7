//! How a connection that this daemon makes stands: for the log's readers and `eximrbl info --daemon`.

use eximrbl_table::UnixSeconds;
use eximrbl_zone::rfc3339;
use parking_lot::Mutex;
use serde::Serialize;

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// There was none yet.
    Starting,
    /// There is one.
    Connected,
    /// There is none, and none is needed: the next report makes one.
    Idle,
    /// There is none: the reason is told.
    Disconnected,
}

/// The way to somebody, as it was noted last.
pub(crate) struct Link(Mutex<Noted>);

#[derive(Clone, Debug)]
struct Noted {
    state: State,
    since: UnixSeconds,
    why: String,
}

/// For the control socket.
#[derive(Serialize)]
pub(crate) struct LinkReport {
    state: State,
    since: String,
    since_unix: UnixSeconds,
    /// Why there is no connection, or what was refused for now.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

impl Link {
    pub(crate) fn new() -> Self {
        let since = eximrbl_table::now();
        Self(Mutex::new(Noted { state: State::Starting, since, why: String::new() }))
    }

    /// Says whether there is a connection, and if not, why. The time stays while the state does.
    pub(crate) fn is(&self, state: State, why: impl Into<String>) {
        let mut noted = self.0.lock();
        if noted.state != state {
            noted.since = eximrbl_table::now();
        }
        noted.state = state;
        noted.why = why.into();
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.0.lock().state == State::Connected
    }

    /// What there is to say.
    pub(crate) fn report(&self) -> LinkReport {
        let Noted { state, since, why } = self.0.lock().clone();
        LinkReport { state, since: rfc3339(since).to_string(), since_unix: since, why }
    }
}
