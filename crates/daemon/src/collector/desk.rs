//! Where every line goes, whichever way it came: read, judged, done, answered, counted.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eximrbl_report::{
    Code, Denial, Enrolled, Gate, Judged, LINE_MAX, Line, LineError, Now, Origin, Peer, Standing,
};
use eximrbl_table::Name;
use eximrbl_zone::{CollectorSettings, Config};

use super::allowance::Allowance;
use super::counts::{Counts, Event};
use super::store::Store;
use crate::seldom::Seldom;
use crate::served::Shared;
use crate::tcp::Client;

/// Who has sent more bytes than this has a list to report, and gets the time to go on; Exim sends less.
const LIST: usize = 4096;

/// Wrong secrets of one client a minute: a host with an old secret, whose every connection says so, is told
/// so for a while.
const GUESSES: u32 = 100;
/// TLS connections of one client a minute: twenty a second, for a minute.
const HANDSHAKES: u32 = 1200;

/// Who decides on lines.
pub(super) struct Desk {
    shared: Arc<Shared>,
    /// The configuration that was taken over last.
    config: Arc<Config>,
    gate: Gate,
    store: Store,
    counts: Arc<Counts>,
    /// Wrong secrets. None can be found by guessing, however fast; but the work is for reporters.
    guesses: Allowance,
    /// TLS connections, each of which takes as much time as hundreds of lines.
    handshakes: Allowance,
    seldom: Seldom<(Cause, Option<Client>, Option<Name>)>,
    begun: Instant,
}

/// What a line of the log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cause {
    Refused(&'static str),
    Handshake,
    Handshakes,
    Stranger,
}

/// What is known of a connection or datagram.
pub(super) struct Talk {
    peer: Peer,
    standing: Standing,
    is_datagram: bool,
    /// Bytes that were dealt with.
    sent: usize,
    /// Whether the rest of a line that was too long is still to come.
    skips: bool,
    /// Whether something was answered.
    pub(super) has_answers: bool,
}

impl Talk {
    /// With a host, by a connection: nobody can pretend to come from this host's loopback.
    pub(super) fn with_host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self::new(Peer::Ip(address), address.is_loopback())
    }

    /// With a sender of datagrams. That he sends from loopback counts only where no other network's
    /// packets come.
    pub(super) fn with_sender(address: IpAddr, is_loopback_alone: bool) -> Self {
        let address = address.to_canonical();
        let is_local = is_loopback_alone && address.is_loopback();
        Self { is_datagram: true, ..Self::new(Peer::Ip(address), is_local) }
    }

    /// With a program of this host.
    pub(super) fn with_program() -> Self {
        Self::new(Peer::Unix, true)
    }

    fn new(peer: Peer, is_local: bool) -> Self {
        let is_datagram = false;
        let standing = Standing::of_way(is_local);
        Self { peer, standing, is_datagram, sent: 0, skips: false, has_answers: false }
    }

    /// Whether it may stay when nothing more is said.
    pub(super) fn may_stay(&self) -> bool {
        self.standing.session().is_some()
    }

    /// Whether more may follow what was sent, even when nothing more is there just now.
    pub(super) fn sends_a_list(&self) -> bool {
        self.sent > LIST
    }

    /// Whether the rest of a line is to come.
    pub(super) fn is_within_a_line(&self) -> bool {
        self.skips
    }

    /// Who counts as one client; `None` for programs of this host.
    pub(super) fn client(&self) -> Option<Client> {
        match self.peer {
            Peer::Ip(address) => Some(Client::of(address)),
            Peer::Unix => None,
        }
    }
}

impl Desk {
    /// `config` is what the reporters were read by.
    pub(super) fn new(
        shared: Arc<Shared>,
        config: Arc<Config>,
        reporters: Vec<Enrolled>,
        counts: Arc<Counts>,
    ) -> Self {
        let begun = Instant::now();
        Self {
            gate: Gate::new(reporters, now(begun)),
            store: Store::new(&config.table.path),
            shared,
            config,
            counts,
            guesses: Allowance::new(GUESSES),
            handshakes: Allowance::new(HANDSHAKES),
            seldom: Seldom::default(),
            begun,
        }
    }

    /// Where what happens is counted.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sees to the table.
    pub(super) fn look_at_table(&mut self) {
        self.store.look();
    }

    /// The configuration, if there is another one since the last call.
    pub(super) fn new_configuration(&mut self) -> Option<Arc<Config>> {
        let config = self.shared.config();
        if Arc::ptr_eq(&config, &self.config) {
            return None;
        }
        self.config = config.clone();
        Some(config)
    }

    /// Takes over other reporters.
    pub(super) fn renew(&mut self, reporters: Vec<Enrolled>) {
        self.gate.renew(reporters, now(self.begun));
        self.store.renumber();
    }

    /// The time that a connection may be idle, and that a line may take.
    pub(super) fn patience(&self) -> (Duration, Duration) {
        let (idle, line) = match &self.config.collector {
            Some(CollectorSettings { idle_timeout, line_timeout, .. }) => {
                (*idle_timeout, *line_timeout)
            }
            None => (1, 1),
        };
        (Duration::from_secs(idle.into()), Duration::from_secs(line.into()))
    }

    /// Takes the whole lines among these bytes (at the end of input, what is left as well), and adds their
    /// answers. How many bytes are done with.
    pub(super) fn take(
        &mut self,
        talk: &mut Talk,
        bytes: &[u8],
        is_end: bool,
        answers: &mut Vec<u8>,
    ) -> usize {
        let now = now(self.begun);
        let mut done = 0;
        loop {
            let rest = &bytes[done..];
            let end = rest.iter().take(LINE_MAX).position(|&byte| byte == b'\n');
            let length = match end {
                Some(end) => end + 1,
                // The rest of what was refused already.
                None if talk.skips => rest.len().min(LINE_MAX),
                None if rest.len() >= LINE_MAX => LINE_MAX,
                None if is_end => rest.len(),
                None => 0,
            };
            if length == 0 {
                talk.sent = talk.sent.saturating_add(done);
                return done;
            }
            let line = &rest[..length];
            done += length;
            if talk.skips {
                talk.skips = end.is_none();
            } else if end.is_none() && length == LINE_MAX && !(is_end && rest.len() == length) {
                talk.skips = true;
                self.refuse(talk, None, LineError::Long.into(), answers);
            } else {
                self.take_line(talk, line, now, answers);
            }
        }
    }

    fn take_line(&mut self, talk: &mut Talk, line: &[u8], now: Now, answers: &mut Vec<u8>) {
        let before = answers.len();
        match self.try_line(talk, line, now, answers) {
            Ok(()) => talk.has_answers = true,
            Err((denial, name)) => {
                answers.truncate(before);
                self.refuse(talk, name, denial, answers);
            }
        }
    }

    fn try_line(
        &mut self,
        talk: &mut Talk,
        line: &[u8],
        now: Now,
        answers: &mut Vec<u8>,
    ) -> Result<(), (Denial, Option<Name>)> {
        let line = Line::parse(line).map_err(|error| (error.into(), None))?;
        let signer = match &line {
            Line::Auth(signature) | Line::Report { signature: Some(signature), .. } => {
                Some(signature.name)
            }
            Line::Report { signature: None, .. } => None,
        };
        let wrong = |denial| (denial, signer);
        if talk.is_datagram && matches!(line, Line::Auth(_)) {
            return Err(wrong(Denial::NoSession));
        }
        let guesser = signer.and(talk.client()).filter(|_| !talk.is_datagram);
        if guesser.is_some_and(|client| self.guesses.is_used_up(client, now.steady)) {
            return Err(wrong(Denial::Guesses));
        }
        let Talk { peer, standing, .. } = *talk;
        let origin = Origin { peer, standing };
        let judged = self.gate.judge(&line, &origin, now);
        if let (Err(Denial::Secret), Some(client)) = (&judged, guesser) {
            self.guesses.note(client, now.steady);
        }
        match judged.map_err(wrong)? {
            Judged::Session(session) => {
                talk.standing = Standing::Shown(session);
                self.counts.note(Event::Sessions);
                let _ = writeln!(answers, "ok {}", session.name);
            }
            Judged::Report { reporter, terms, order } => {
                let unix = u32::try_from(now.unix).unwrap_or(u32::MAX);
                let name = terms.name;
                let stored = self.store.apply(&order, terms, reporter, unix, answers);
                if let Err(denial) = stored {
                    if denial.code().is_passing() {
                        self.gate.take_back(&line);
                    }
                    return Err((denial, Some(name)));
                }
                self.counts.taken(name, order.verb());
            }
        }
        Ok(())
    }

    /// Answers a line that is not taken; counts it, and says so in the log.
    pub(super) fn refuse(
        &mut self,
        talk: &mut Talk,
        name: Option<Name>,
        denial: Denial,
        answers: &mut Vec<u8>,
    ) {
        talk.has_answers = true;
        let code = denial.code();
        self.counts.refused(code);
        // Into memory; nothing can go wrong.
        let _ = writeln!(answers, "error {}: {denial}", code.name());
        let name = name.or(talk.standing.session().map(|session| session.name));
        // Names that nobody here has are without number.
        let known = name.filter(|_| code != Code::UnknownReporter);
        let cause = (Cause::Refused(code.name()), talk.client(), known);
        let Some(say) = self.seldom.say(cause, Instant::now()) else { return };
        let of = Sender { talk, name };
        if is_grave(code) {
            tracing::warn!("collector: refused a report of {of}: {}: {denial}{say}", code.name());
        } else {
            tracing::info!("collector: refused a report of {of}: {}: {denial}{say}", code.name());
        }
    }

    /// Makes the connection that of the reporter whose name is in its client certificate. Where there is
    /// none, it is a stranger's, even if it comes from this host: whoever shows a certificate means to be
    /// known by it.
    pub(super) fn open_by_certificate(&mut self, talk: &mut Talk, names: &[String]) {
        if let Some(session) = self.gate.session_by_certificate(names) {
            talk.standing = Standing::Shown(session);
            self.counts.note(Event::Sessions);
            return;
        }
        talk.standing = Standing::Stranger;
        let cause = (Cause::Stranger, talk.client(), None);
        if let Some(say) = self.seldom.say(cause, Instant::now()) {
            let of = Sender { talk, name: None };
            let names = Listed(names);
            tracing::warn!(
                "collector: {of} shows a client certificate {names}, which no [[reporter]] has as its \
                 `certificate`{say}"
            );
        }
    }

    /// Whether a client may make one more TLS connection now; says so in the log if not.
    pub(super) fn may_shake_hands(&mut self, talk: &Talk) -> bool {
        let Some(client) = talk.client() else { return true };
        let now = now(self.begun).steady;
        if !self.handshakes.is_used_up(client, now) {
            self.handshakes.note(client, now);
            return true;
        }
        self.counts.note(Event::Refused);
        let cause = (Cause::Handshakes, Some(client), None);
        if let Some(say) = self.seldom.say(cause, Instant::now()) {
            let of = Sender { talk, name: None };
            tracing::warn!(
                "collector: {of} has made {HANDSHAKES} TLS connections within a minute; more are \
                 refused until it is over{say}"
            );
        }
        false
    }

    /// Says in the log why no TLS connection was made.
    pub(super) fn tell_tls_failed(&mut self, talk: &Talk, problem: &str) {
        let cause = (Cause::Handshake, talk.client(), None);
        if let Some(say) = self.seldom.say(cause, Instant::now()) {
            let of = Sender { talk, name: None };
            tracing::info!("collector: no TLS with {of}: {problem}{say}");
        }
    }
}

/// Whether an administrator should know.
fn is_grave(code: Code) -> bool {
    !matches!(
        code,
        Code::NeverListed | Code::White | Code::Address | Code::Verb | Code::Line | Code::Long
    )
}

/// Who sent something, for the log. A name is only what he says.
struct Sender<'t> {
    talk: &'t Talk,
    name: Option<Name>,
}

impl std::fmt::Display for Sender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.talk.peer {
            Peer::Ip(address) => write!(f, "{address}")?,
            Peer::Unix => f.write_str("a program of this host")?,
        }
        match self.name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// The names in a certificate, for the log: as many as fit into a line.
struct Listed<'n>(&'n [String]);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => f.write_str("without a DNS name"),
            [first, rest @ ..] => {
                write!(f, "for {first}")?;
                rest.iter().take(3).try_for_each(|name| write!(f, ", {name}"))?;
                if rest.len() > 3 { f.write_str(", ...") } else { Ok(()) }
            }
        }
    }
}

fn now(begun: Instant) -> Now {
    Now { unix: eximrbl_table::now().into(), steady: begun.elapsed() }
}
