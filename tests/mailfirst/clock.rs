//! The clock is stepped under Exim, or wrong from the start.
//!
//! Caught: `FAIL` returned when the time is not between 2026 and 2058.

use std::thread::scope;

use crate::configuration::Way;
use crate::harness::{Clock, Lan};
use crate::running::RUNNING;
use crate::server::{Circumstances, Server};
use crate::sessions::{SESSIONS, Seen, play};
use crate::standing::assert_unaffected;
use crate::turns::among_others;

/// Wrong times, as libfaketime takes them.
const TIMES: [(&str, &str); 4] = [
    ("a day back", "-1d"),
    ("a year on", "+365d"),
    ("as at the start of a machine without a clock", "@1970-01-01 00:10:00"),
    ("past what the table's deadlines can hold", "@2100-01-01 00:00:00"),
];

/// What is seen when the time is stepped in the middle of a session, and when it was wrong before
/// Exim started.
fn see(lan: &Lan, server: &mut Server, way: Way, time: &str) -> [Seen; 2] {
    let clock = Clock::new();
    let circumstances = Circumstances { clock: Some(&clock), ..Circumstances::default() };
    server.create_table(1024);
    server.start(&way.text(), circumstances);
    let stepped = play(lan, server, &RUNNING, &mut |_, _| clock.set(time));
    server.start(&way.text(), circumstances);
    [stepped, play(lan, server, &SESSIONS, &mut |_, _| ())]
}

#[test]
fn a_stepped_clock_changes_nothing() {
    let _turn = among_others();
    scope(|scope| {
        for (name, time) in TIMES {
            scope.spawn(move || {
                let lan = Lan::new();
                let mut server = Server::new(&lan, 10);
                let plain = see(&lan, &mut server, Way::Plain, time);
                for way in [Way::Direct, Way::Preloaded] {
                    let seen = see(&lan, &mut server, way, time);
                    for (seen, plain) in seen.iter().zip(&plain) {
                        let what = format!("{way:?}, the clock {name}");
                        assert_unaffected(&what, seen, plain);
                        assert!(seen.told.is_empty(), "{what}: {:#?}", seen.told);
                    }
                }
            });
        }
    });
}
