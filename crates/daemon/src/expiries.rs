//! Whether entries may be ended by the clock just now: what `clock` finds out, put to use.

use eximrbl_table::{Expiry, Next, Table, UnixSeconds};

use crate::clock::{Cause, Clock, Moment, Trust};

/// The keeper's view of the clock.
pub(crate) struct Expiries {
    clock: Clock,
    /// What was found out last.
    trust: Trust,
    /// When the table that is served was made.
    made: UnixSeconds,
}

impl Expiries {
    /// Begins to watch the clock, on this table.
    pub(crate) fn of(table: &Table) -> Self {
        let moment = Moment::present();
        let clock = Clock::watch(moment, last_recorded(table));
        let made = table.created();
        let mut expiries = Self { clock, trust: Trust::Steady, made };
        // What it is at the start is what it is compared with.
        expiries.judge(moment);
        expiries
    }

    /// Another table is served from now on, which was made at that time.
    pub(crate) fn made(&mut self, made: UnixSeconds) {
        self.made = made;
    }

    /// The time, and whether entries may be ended by it.
    pub(crate) fn look(&mut self) -> (UnixSeconds, Expiry) {
        let moment = Moment::present();
        let expiry = match self.judge(moment) {
            Trust::Steady => Expiry::Due,
            Trust::Held(_) => Expiry::Held,
        };
        (moment.now, expiry)
    }

    /// Judges the clock; says so when its standing changes.
    fn judge(&mut self, moment: Moment) -> Trust {
        let trust = self.clock.judge(moment, self.made);
        match (std::mem::replace(&mut self.trust, trust), trust) {
            (Trust::Steady, Trust::Held(cause)) => tell_held(cause),
            (Trust::Held(_), Trust::Steady) => {
                tracing::info!("the clock is steady; what has expired is removed again");
            }
            (Trust::Steady, Trust::Steady) | (Trust::Held(_), Trust::Held(_)) => {}
        }
        trust
    }
}

/// When something was recorded in a table last, if that can be found out.
fn last_recorded(table: &Table) -> Option<UnixSeconds> {
    let mut reader = table.events(Some(table.serial().checked_sub(1)?));
    match table.next_event(&mut reader, eximrbl_table::now()) {
        Next::Event(event) => Some(event.time),
        Next::Nothing | Next::Lost(_) => None,
    }
}

/// Says why nothing expires for now.
fn tell_held(cause: Cause) {
    let stay = "nothing is removed as expired until it has been steady for a while";
    match cause {
        Cause::Start => {
            tracing::info!("the machine has just started, its clock may be wrong: {stay}");
        }
        Cause::Set(seconds) => tracing::warn!("the clock was set by {seconds:+} seconds: {stay}"),
        Cause::Silence(seconds) => tracing::warn!(
            "nothing was recorded for {seconds} seconds, or the clock is wrong: nothing is removed \
             as expired for an hour"
        ),
        Cause::BeforeTable => tracing::warn!(
            "the clock is wrong, for the table was made later: nothing is removed as expired until \
             it is set right"
        ),
    }
}
