//! Who may report what.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use eximrbl_table::{Name, Network};

use crate::bucket::Bucket;
use crate::denial::Denial;
use crate::line::{Line, Order, Signature, Verb};
use crate::mac::Mac;
use crate::replay::{Memory, Replays, WINDOW};
use crate::secret::Secret;

/// The reporter that unsigned reports of this host are counted to, where no other one is configured for
/// them.
pub const COLLECTOR: &str = "collector";
/// Signed lines of a reporter that are remembered at most, where his rate sets no lower limit: ten
/// thousand a second would need more memory than they are worth.
const MEMORY_MAX: usize = 1 << 20;
/// Seconds for which a signed line may have to be remembered, and of which a burst may come before.
const MEMORY_SECONDS: usize = 2 * WINDOW as usize + 70;

/// What a reporter may do.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The name that the table knows the reporter by.
    pub name: Name,
    /// Where reports come from; all when empty.
    pub networks: Vec<Network>,
    /// What may be reported.
    pub verbs: Vec<Verb>,
    /// What is reported counts for so many times as much.
    pub weight: u32,
    /// The most that one report counts for.
    pub weight_max: u32,
    /// The most seconds that one report adds.
    pub seconds_max: u32,
    /// Reports a second, with bursts of ten seconds' worth; 0 for no limit.
    pub rate: u32,
    /// Live entries that bear the reporter's mark; whoever writes to the table sees to it.
    pub entries: u32,
}

/// A reporter, and what proves that it is he.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// What he may do.
    pub terms: Terms,
    /// The secrets that he signs with.
    pub secrets: Vec<Secret>,
    /// The name in his client certificate, in small letters.
    pub certificate: Option<String>,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A program of this host, by the Unix socket.
    Unix,
    /// A host.
    Ip(IpAddr),
}

/// What is known of a line's sender.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Where it comes from.
    pub peer: Peer,
    /// Whose lines without a signature are.
    pub standing: Standing,
}

/// Whose the unsigned lines are that come by a connection or in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Somebody's elsewhere, who may be anyone.
    Remote,
    /// This host's own.
    Local,
    /// Those of the holder of a client certificate that is no reporter's, on this host or elsewhere.
    Stranger,
    /// Whose the connection is was shown.
    Shown(Session),
}

impl Standing {
    /// Where no more is known than the way a line came.
    pub fn of_way(is_of_this_host: bool) -> Self {
        if is_of_this_host { Self::Local } else { Self::Remote }
    }

    /// What was shown, if it was.
    pub fn session(&self) -> Option<Session> {
        match self {
            Self::Shown(session) => Some(*session),
            Self::Remote | Self::Local | Self::Stranger => None,
        }
    }
}

/// What was shown once for a whole connection. It ends when the secret or certificate is taken away
/// that showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub name: Name,
    credential: u64,
}

/// The time, by two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Seconds since the Unix epoch.
    pub unix: u64,
    /// By a clock that nobody can set, from any beginning.
    pub steady: Duration,
}

/// A line that is taken.
#[derive(Clone, Copy, Debug)]
pub enum Judged<'g> {
    /// A report.
    Report {
        /// Number of the reporter, until the gate is renewed.
        reporter: usize,
        /// What he may do.
        terms: &'g Terms,
        /// What he says.
        order: Order,
    },
    /// The connection's further lines are his.
    Session(Session),
}

/// All reporters, and what is remembered of them.
#[derive(Debug)]
pub struct Gate {
    reporters: Vec<Reporter>,
    by_name: HashMap<Name, usize>,
    start: u64,
    /// How many secrets and certificates there have been.
    credentials: u64,
}

#[derive(Debug)]
struct Reporter {
    terms: Terms,
    secrets: Vec<(u64, Secret)>,
    certificate: Option<(u64, String)>,
    bucket: Bucket,
    replays: Replays,
}

impl Gate {
    /// A gate for these reporters, from now on. The one of number 0 is [`COLLECTOR`], with all rights,
    /// which nobody else is called.
    pub fn new(enrolled: Vec<Enrolled>, now: Now) -> Self {
        let (reporters, by_name) = (Vec::new(), HashMap::new());
        let mut gate = Self { reporters, by_name, start: now.unix, credentials: 0 };
        gate.renew(enrolled, now);
        gate
    }

    /// Other reporters, or other terms. What is remembered of those who stay is kept, and so are the sessions
    /// whose secret or certificate stays.
    pub fn renew(&mut self, enrolled: Vec<Enrolled>, now: Now) {
        let mut before: HashMap<_, _> =
            self.reporters.drain(..).map(|reporter| (reporter.terms.name, reporter)).collect();
        let local = Name::new(COLLECTOR.as_bytes()).map(Enrolled::local);
        for Enrolled { terms, secrets, certificate } in local.into_iter().chain(enrolled) {
            let room = memory(terms.rate);
            let old = before.remove(&terms.name);
            let (known, certified, mut bucket, mut replays) = match old {
                Some(old) => (old.secrets, old.certificate, old.bucket, old.replays),
                // Whoever was taken away and comes back has been forgotten meanwhile.
                None => {
                    let replays = Replays::new(now.unix.max(self.start), room);
                    (Vec::new(), None, Bucket::new(terms.rate, now.steady), replays)
                }
            };
            bucket.change(terms.rate);
            replays.change(room);
            let mut number = |known: Option<u64>| {
                known.unwrap_or_else(|| {
                    self.credentials += 1;
                    self.credentials
                })
            };
            let secrets = secrets.into_iter().map(|secret| {
                let same = known.iter().find(|(_, known)| *known == secret);
                (number(same.map(|(number, _)| *number)), secret)
            });
            let secrets = secrets.collect();
            let certificate = certificate.map(|name| {
                let same = certified.as_ref().filter(|(_, known)| *known == name);
                (number(same.map(|(number, _)| *number)), name)
            });
            self.reporters.push(Reporter { terms, secrets, certificate, bucket, replays });
        }
        let names = self.reporters.iter().enumerate();
        self.by_name = names.map(|(number, reporter)| (reporter.terms.name, number)).collect();
    }

    /// The terms of all reporters, by their numbers.
    pub fn terms(&self) -> impl ExactSizeIterator<Item = &Terms> {
        self.reporters.iter().map(|reporter| &reporter.terms)
    }

    /// Whose a connection is by the names in its client certificate.
    pub fn session_by_certificate(&self, names: &[String]) -> Option<Session> {
        self.reporters.iter().find_map(|reporter| {
            let (credential, name) = reporter.certificate.as_ref()?;
            let is_his = names.iter().any(|other| other.eq_ignore_ascii_case(name));
            is_his.then_some(Session { name: reporter.terms.name, credential: *credential })
        })
    }

    /// Whether a line is taken. What is refused costs its reporter nothing.
    pub fn judge(
        &mut self,
        line: &Line<'_>,
        origin: &Origin,
        now: Now,
    ) -> Result<Judged<'_>, Denial> {
        let (order, signature) = match line {
            Line::Auth(signature) => return self.open_session(signature, origin, now),
            Line::Report { order, signature } => (*order, signature),
        };
        let number = match (signature, &origin.standing) {
            (Some(signature), _) => self.signer(signature)?,
            (None, Standing::Shown(session)) => self.owner(session)?,
            (None, Standing::Local) => self.unsigned(origin.peer),
            (None, Standing::Remote) => return Err(Denial::Unsigned),
            (None, Standing::Stranger) => return Err(Denial::UnknownReporter),
        };
        let reporter = self.reporters.get_mut(number).ok_or(Denial::UnknownReporter)?;
        if let Some(signature) = signature {
            reporter.check_signature(signature, origin, now)?;
        } else {
            reporter.check_place(origin)?;
        }
        if !reporter.terms.verbs.contains(&order.verb()) {
            return Err(Denial::Verb(order.verb()));
        }
        if let Some(signature) = signature {
            reporter.check_new(signature, now)?;
        }
        if !reporter.bucket.take(now.steady) {
            return Err(Denial::Rate);
        }
        if let Some(signature) = signature {
            reporter.replays.add(signature.seconds, signature.mac.fingerprint());
        }
        Ok(Judged::Report { reporter: number, terms: &reporter.terms, order })
    }

    /// A line that was taken came to nothing after all, by no fault of its own: the same line may
    /// be sent again.
    pub fn take_back(&mut self, line: &Line<'_>) {
        let Line::Report { signature: Some(signature), .. } = line else { return };
        let Ok(number) = self.signer(signature) else { return };
        if let Some(reporter) = self.reporters.get_mut(number) {
            reporter.replays.remove(signature.seconds, signature.mac.fingerprint());
        }
    }

    fn open_session(
        &mut self,
        signature: &Signature<'_>,
        origin: &Origin,
        now: Now,
    ) -> Result<Judged<'_>, Denial> {
        let number = self.signer(signature)?;
        let reporter = self.reporters.get_mut(number).ok_or(Denial::UnknownReporter)?;
        let credential = reporter.check_signature(signature, origin, now)?;
        reporter.check_new(signature, now)?;
        reporter.replays.add(signature.seconds, signature.mac.fingerprint());
        Ok(Judged::Session(Session { name: reporter.terms.name, credential }))
    }

    fn signer(&self, signature: &Signature<'_>) -> Result<usize, Denial> {
        self.by_name.get(&signature.name).copied().ok_or(Denial::UnknownReporter)
    }

    fn owner(&self, session: &Session) -> Result<usize, Denial> {
        let number = self.by_name.get(&session.name).copied().ok_or(Denial::Ended)?;
        let reporter = self.reporters.get(number).ok_or(Denial::Ended)?;
        let has = |(credential, _): &(u64, _)| *credential == session.credential;
        let is_known = reporter.secrets.iter().any(has)
            || reporter
                .certificate
                .as_ref()
                .is_some_and(|(number, _)| *number == session.credential);
        if is_known { Ok(number) } else { Err(Denial::Ended) }
    }

    /// The reporter that an unsigned line of this host is counted to: one that has nothing to sign
    /// with and reports from that address, or else [`COLLECTOR`].
    fn unsigned(&self, peer: Peer) -> usize {
        let Peer::Ip(address) = peer else { return 0 };
        let host = Network::host(address);
        let is_his = |reporter: &Reporter| {
            reporter.secrets.is_empty()
                && reporter.certificate.is_none()
                && reporter.terms.networks.iter().any(|network| network.contains(host))
        };
        self.reporters.iter().position(is_his).unwrap_or(0)
    }
}

impl Reporter {
    /// Whether a signature is good, by itself; the number of the secret that it is made with. Only
    /// whoever knows the secret learns more than that it is wrong.
    fn check_signature(
        &self,
        signature: &Signature<'_>,
        origin: &Origin,
        now: Now,
    ) -> Result<u64, Denial> {
        if self.secrets.is_empty() {
            return Err(Denial::NoSecret);
        }
        let Signature { stamp, order, mac, .. } = signature;
        let name = self.terms.name.as_str().as_bytes();
        let mut made_with = None;
        for (number, secret) in &self.secrets {
            if Mac::of(mac.algorithm(), secret.bytes(), name, stamp, order).is(mac) {
                made_with = Some(*number);
            }
        }
        let credential = made_with.ok_or(Denial::Secret)?;
        self.check_place(origin)?;
        match (now.unix.checked_sub(signature.seconds), signature.seconds.checked_sub(now.unix)) {
            (Some(late), _) if late > WINDOW => Err(Denial::Late(late)),
            (_, Some(early)) if early > WINDOW => Err(Denial::Early(early)),
            _ => Ok(credential),
        }
    }

    fn check_place(&self, origin: &Origin) -> Result<(), Denial> {
        let Peer::Ip(address) = origin.peer else { return Ok(()) };
        let host = Network::host(address);
        let networks = &self.terms.networks;
        match networks.is_empty() || networks.iter().any(|network| network.contains(host)) {
            true => Ok(()),
            false => Err(Denial::Elsewhere),
        }
    }

    fn check_new(&mut self, signature: &Signature<'_>, now: Now) -> Result<(), Denial> {
        match self.replays.look(signature.seconds, signature.mac.fingerprint(), now.unix) {
            Memory::New => Ok(()),
            Memory::Known => Err(Denial::Replay),
            Memory::Forgotten => Err(Denial::Forgotten),
            Memory::Full => Err(Denial::Memory),
        }
    }
}

impl Terms {
    /// What a report counts for, that asks for so much.
    pub fn weight_of(&self, asked: u32) -> u32 {
        asked.saturating_mul(self.weight).clamp(1, self.weight_max.max(1))
    }
}

impl Enrolled {
    /// Unsigned reports of this host.
    fn local(name: Name) -> Self {
        let terms = Terms {
            name,
            networks: Vec::new(),
            verbs: Verb::ALL.to_vec(),
            weight: 1,
            weight_max: eximrbl_table::WEIGHT_MAX,
            seconds_max: 86_400,
            rate: 0,
            entries: u32::MAX,
        };
        Self { terms, secrets: Vec::new(), certificate: None }
    }
}

/// Signed lines to remember of a reporter with this rate.
fn memory(rate: u32) -> usize {
    match rate {
        0 => MEMORY_MAX,
        rate => (rate as usize).saturating_mul(MEMORY_SECONDS).min(MEMORY_MAX),
    }
}

#[cfg(test)]
mod tests;
