//! Why the table declines a change.

/// Why a change was not made. Each has its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// In the never-list.
    #[error("in the never-list, so it is neither recorded nor answered")]
    NeverListed,
    /// A live white entry covers it.
    #[error("whitelisted, and recording stops while that lasts")]
    White,
    /// The administrator listed it, so that a machine may not whitelist it.
    #[error("listed by the administrator, who alone ends that")]
    Endless,
    /// Both buckets hold only white and endless entries.
    #[error("no room: white and endless entries fill this address's places; make a larger table")]
    Full,
    /// Other writers were always faster.
    #[error("too many writers at one place at once; try again")]
    Contention,
    /// The file was replaced by a resized one: reopen.
    #[error("the table has been replaced by a new one; open it again")]
    Retired,
}
