//! Why a line is not taken, as its sender is told.

use eximrbl_table::Refusal;

use crate::line::{LineError, Verb};
use crate::replay::WINDOW;

/// The word after `error` of an answer. There are no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Code {
    /// The address is in the never-list.
    NeverListed,
    /// The address is white.
    White,
    /// The table has no room for the address.
    Full,
    /// Where one address is wanted, there is something else.
    Address,
    /// The first word is not known.
    Verb,
    /// The line is not as it should be in another way.
    Line,
    /// The line is too long.
    Long,
    /// The signature is wrong.
    Secret,
    /// The signature is right, but its time is not.
    Clock,
    /// The signed line was taken before, or may have been.
    Replay,
    /// Nobody who may report.
    UnknownReporter,
    /// The reporter may not do this, or not from there.
    NotAllowed,
    /// The reporter has done enough of it for now.
    Quota,
    /// As many addresses are listed by the reporter as may be.
    Entries,
    /// Not now; the same line may be taken later.
    Busy,
    /// The table cannot be changed; the same line may be taken later.
    Table,
}

/// Why a line is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// It cannot be read.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The signer is not configured.
    #[error("no reporter of that name is known here")]
    UnknownReporter,
    /// Not signed, and not from this host.
    #[error("reports from other hosts are taken signed, or with a client certificate")]
    Unsigned,
    /// The connection's reporter is not configured any more, or has another secret now.
    #[error("this connection's reporter or secret has been taken away; connect and sign anew")]
    Ended,
    /// The signer has no secret here.
    #[error("this reporter has no secret here")]
    NoSecret,
    /// The signature is not made with the secret.
    #[error("wrong signature: the secret differs, or what was signed is not what was sent")]
    Secret,
    /// Too many wrong signatures came from there.
    #[error(
        "too many wrong signatures from this address; signed lines are taken again in a minute"
    )]
    Guesses,
    /// The stamp is too old.
    #[error("stamped {0} s ago, {WINDOW} s at most; is one of the two clocks wrong?")]
    Late(u64),
    /// The stamp lies ahead.
    #[error("stamped {0} s ahead, {WINDOW} s at most; is one of the two clocks wrong?")]
    Early(u64),
    /// It was taken before.
    #[error(
        "this signed line was taken before; sign with $tod_epoch_l to send alike lines at once"
    )]
    Replay,
    /// It may have been taken before.
    #[error("stamped before this collector started; it may have been taken before, so sign anew")]
    Forgotten,
    /// The verb is not the reporter's.
    #[error("this reporter may not \"{}\"", .0.name())]
    Verb(Verb),
    /// The address that it comes from is not the reporter's.
    #[error("this reporter does not report from that address")]
    Elsewhere,
    /// Datagrams cannot open a session.
    #[error("auth is for connections; sign each line of a datagram")]
    NoSession,
    /// Too many reports.
    #[error("this reporter reports too much at once; more later")]
    Rate,
    /// Too many entries.
    #[error("this reporter has as many live entries as it may")]
    Entries,
    /// Too many signed lines to remember.
    #[error("too many signed lines of this reporter at once; try again later")]
    Memory,
    /// Too many connections.
    #[error("too many connections; try again later")]
    Connections,
    /// The line did not arrive in time.
    #[error("the line's end did not come in time")]
    Slow,
    /// There is no table, or it cannot be written.
    #[error("the table cannot be written just now; the gatherer's log says why")]
    Table,
    /// The table has no room for the reporter's name.
    #[error("the table has no room for another reporter's name")]
    NoName,
    /// The table refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Code {
    /// All of them, by their numbers.
    pub const ALL: [Self; 16] = [
        Self::NeverListed,
        Self::White,
        Self::Full,
        Self::Address,
        Self::Verb,
        Self::Line,
        Self::Long,
        Self::Secret,
        Self::Clock,
        Self::Replay,
        Self::UnknownReporter,
        Self::NotAllowed,
        Self::Quota,
        Self::Entries,
        Self::Busy,
        Self::Table,
    ];

    /// As it stands in an answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::NeverListed => "never-listed",
            Self::White => "white",
            Self::Full => "full",
            Self::Address => "address",
            Self::Verb => "verb",
            Self::Line => "line",
            Self::Long => "long",
            Self::Secret => "secret",
            Self::Clock => "clock",
            Self::Replay => "replay",
            Self::UnknownReporter => "unknown-reporter",
            Self::NotAllowed => "not-allowed",
            Self::Quota => "quota",
            Self::Entries => "entries",
            Self::Busy => "busy",
            Self::Table => "table",
        }
    }

    /// By its name, for whoever reads answers.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Whether the same line may be taken later, when the sender tries again.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Quota | Self::Busy | Self::Table)
    }
}

impl Denial {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::Line(LineError::Address | LineError::Network) => Code::Address,
            Self::Line(LineError::Verb) => Code::Verb,
            Self::Line(LineError::Long) => Code::Long,
            Self::Line(_) | Self::NoSession | Self::Slow => Code::Line,
            Self::UnknownReporter | Self::Unsigned | Self::Ended => Code::UnknownReporter,
            Self::NoSecret | Self::Secret => Code::Secret,
            Self::Late(_) | Self::Early(_) => Code::Clock,
            Self::Replay | Self::Forgotten => Code::Replay,
            Self::Verb(_) | Self::Elsewhere => Code::NotAllowed,
            Self::Rate => Code::Quota,
            Self::Entries => Code::Entries,
            Self::Guesses | Self::Memory | Self::Connections => Code::Busy,
            Self::Table | Self::NoName => Code::Table,
            Self::Refused(refusal) => match refusal {
                Refusal::NeverListed => Code::NeverListed,
                Refusal::White => Code::White,
                Refusal::Endless => Code::NotAllowed,
                Refusal::Full => Code::Full,
                Refusal::Contention => Code::Busy,
                Refusal::Retired => Code::Table,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught: a code at another's place, which would be counted as that.
    #[test]
    fn codes_are_known_by_name_and_number() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            assert_eq!(Code::named(code.name()), Some(code));
        }
        assert_eq!(Code::named("other"), None);
    }
}
