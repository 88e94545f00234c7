//! What the collector has done, for `eximrbl info --daemon`.

use std::collections::BTreeMap;

use eximrbl_report::{Code, Verb};
use eximrbl_table::Name;
use parking_lot::Mutex;
use serde::Serialize;

/// What is counted of connections and datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Event {
    /// Connections that were accepted, of whatever kind.
    Accepted,
    /// Of those, by TLS.
    Tls,
    /// Whose handshake failed, or took too long.
    TlsFailed,
    /// For which there was no place to wait.
    Refused,
    /// That gave their place to a new one.
    Displaced,
    /// That were closed because nothing came, or a line's end did not.
    TimedOut,
    /// Datagrams.
    Datagrams,
    /// Sessions that were opened by `auth` or a client certificate.
    Sessions,
}

impl Event {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Accepted, "accepted"),
        (Self::Tls, "tls"),
        (Self::TlsFailed, "tls_failed"),
        (Self::Refused, "refused"),
        (Self::Displaced, "displaced"),
        (Self::TimedOut, "timed_out"),
        (Self::Datagrams, "datagrams"),
        (Self::Sessions, "sessions"),
    ];
}

/// Written by the collector's thread alone, and read by the one of the control socket.
#[derive(Default)]
pub(crate) struct Counts(Mutex<Totals>);

#[derive(Default)]
struct Totals {
    /// By reporter; only those who reported something.
    taken: Vec<(Name, [u64; Verb::ALL.len()])>,
    refused: [u64; Code::ALL.len()],
    events: [u64; Event::ALL.len()],
    /// Connections that wait.
    open: u64,
}

/// Numbers by name.
type Named = BTreeMap<&'static str, u64>;

/// As it is shown.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Lines that were taken, by reporter and verb.
    accepted: BTreeMap<String, Named>,
    /// Lines that were refused, by the code of the answer.
    refused: Named,
    /// Connections and datagrams.
    events: Named,
    /// Connections that wait for their next line just now.
    open: u64,
}

impl Counts {
    /// A line was taken.
    pub(super) fn taken(&self, reporter: Name, verb: Verb) {
        let mut totals = self.0.lock();
        let place = totals.taken.iter().position(|(name, _)| *name == reporter);
        let place = place.unwrap_or_else(|| {
            totals.taken.push((reporter, [0; 3]));
            totals.taken.len() - 1
        });
        totals.taken[place].1[verb as usize] += 1;
    }

    /// A line was refused.
    pub(super) fn refused(&self, code: Code) {
        self.0.lock().refused[code as usize] += 1;
    }

    /// Something happened to a connection or datagram.
    pub(super) fn note(&self, event: Event) {
        self.0.lock().events[event as usize] += 1;
    }

    /// So many connections wait.
    pub(super) fn open(&self, open: usize) {
        self.0.lock().open = open as u64;
    }

    /// What there is to say now.
    pub(crate) fn report(&self) -> Report {
        let totals = self.0.lock();
        let verbs =
            |counts: &[u64; 3]| Verb::ALL.map(|verb| (verb.name(), counts[verb as usize])).into();
        let taken = totals.taken.iter().map(|(name, counts)| (name.to_string(), verbs(counts)));
        Report {
            accepted: taken.collect(),
            refused: Code::ALL.map(|code| (code.name(), totals.refused[code as usize])).into(),
            events: Event::ALL.map(|(event, name)| (name, totals.events[event as usize])).into(),
            open: totals.open,
        }
    }
}
