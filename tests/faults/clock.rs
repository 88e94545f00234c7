//! Wrong clocks. Only the time of day is played (Debian's libfaketime), for the programs alone.
//!
//! An entry's end is a time of day, so a clock that is set changes how long entries live; what
//! must hold is that nothing else suffers, and that all is well when the clock is right again.

use std::fs;
use std::process::Command;

use eximrbl_table::now;

use crate::caller::Caller;
use crate::harness::{Clock, tool};
use crate::programs::run;
use crate::stage::{CLIENT, Stage, next_second};

const OTHER: &str = "198.51.100.77";
const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// A stage on which the clock can be set to any time.
struct Setting {
    stage: Stage,
    clock: Clock,
}

impl Setting {
    fn new() -> Self {
        let setting = Self { stage: Stage::new(), clock: Clock::new() };
        setting.set(0);
        setting
    }

    /// Sets the clock to so many seconds ahead of the machine's; behind it if they are negative.
    fn set(&self, ahead: i64) {
        let aside = self.stage.path("clock.new");
        fs::write(&aside, format!("{ahead:+}\n")).unwrap();
        fs::rename(aside, self.stage.path("clock")).unwrap();
    }

    fn rule(&self, command: &mut Command) {
        self.clock.rule(command);
        command.env("FAKETIME_TIMESTAMP_FILE", self.stage.path("clock"));
    }

    fn start(&self) -> Caller {
        let mut command = self.stage.command();
        self.rule(&mut command);
        Caller::start(&mut command)
    }

    /// What the tool prints under this clock; it must end well.
    fn tool(&self, arguments: &str) -> String {
        let mut command = tool(&self.stage.table_path());
        command.args(arguments.split(' '));
        self.rule(&mut command);
        let ended = run(&mut command);
        assert_eq!(ended.status, Some(0), "{arguments}: {}{}", ended.output, ended.errors);
        ended.output
    }
}

/// The seconds that an entry has left by the machine's clock.
fn remaining(setting: &Setting, client: &str) -> Option<u32> {
    setting.stage.entry(client).map(|entry| entry.remaining)
}

/// A day back and forth again: what was listed stays listed, counts go on, and the time that the
/// day was added to the life is gone again with it.
///
/// Caught: a life that begins anew with each rejection.
#[test]
fn stepped_back_a_day() {
    let setting = Setting::new();
    let mut caller = setting.start();
    caller.call("rbl_record", &[CLIENT]);
    setting.set(-DAY);
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
    caller.call("rbl_record", &[CLIENT]);
    caller.call("rbl_record", &[OTHER]);
    assert_eq!(caller.call("rbl_listed", &[OTHER]), "yes");
    assert!(caller.call("rbl_lookup", &[CLIENT]).contains("count=2 "));
    setting.tool("verify");
    setting.tool("list");
    setting.set(0);
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
    let left = remaining(&setting, CLIENT).unwrap();
    assert!((1100..=1200).contains(&left), "two rejections: {left}");
    assert_eq!(caller.call("rbl_listed", &[OTHER]), "no", "that was yesterday");
    caller.call("rbl_record", &[OTHER]);
    assert_eq!(caller.call("rbl_listed", &[OTHER]), "yes");
    assert_eq!(setting.stage.entry(OTHER).unwrap().count, 1);
    assert_eq!(caller.end(), [""; 0], "no clock is anything to tell");
    setting.tool("verify");
}

/// A year forward and back: what nobody reports meanwhile is there again; what is reported is
/// listed for as long as the clock is wrong and no longer, for no listing lasts longer than a
/// year; and the next rejection counts from 1.
///
/// Caught: no bound on lives (the client stays listed for a year).
#[test]
fn stepped_forward_a_year() {
    let setting = Setting::new();
    let mut caller = setting.start();
    caller.call("rbl_record", &[CLIENT]);
    setting.set(YEAR);
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "no");
    caller.call("rbl_record", &[OTHER]);
    assert_eq!(caller.call("rbl_listed", &[OTHER]), "yes");
    setting.tool("verify");
    setting.set(0);
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
    assert_eq!(setting.stage.entry(CLIENT).unwrap().count, 1);
    assert_eq!(caller.call("rbl_listed", &[OTHER]), "no");
    caller.call("rbl_record", &[OTHER]);
    let left = remaining(&setting, OTHER).unwrap();
    assert!((500..=600).contains(&left), "one rejection: {left}");
    assert_eq!(setting.stage.entry(OTHER).unwrap().count, 1);
    assert_eq!(caller.end(), [""; 0]);
    setting.tool("verify");
}

/// Wrong at boot, before the time from which deadlines count: calls return, the tool works, and
/// with the right time what was listed is listed, and what comes is recorded.
///
/// Caught: a subtraction of times that wraps.
#[test]
fn at_1970() {
    let setting = Setting::new();
    let mut caller = setting.start();
    caller.call("rbl_record", &[CLIENT]);
    setting.set(-i64::from(now()) + 100);
    caller.call("rbl_listed", &[CLIENT]);
    for function in ["rbl_record", "rbl_lookup", "rbl_forgive", "rbl_record", "rbl_listed"] {
        caller.call(function, &[OTHER]);
    }
    caller.call("rbl_allow", &["198.51.100.78", "3600"]);
    for command in ["verify", "list", "info", "show 198.51.100.77"] {
        setting.tool(command);
    }
    // A process that starts under such a clock, and a table made under it.
    let mut early = setting.start();
    early.call("rbl_record", &["198.51.100.79"]);
    let mut other = tool(&setting.stage.path("early"));
    other.args(["create", "--slots", "1024"]);
    setting.rule(&mut other);
    assert_eq!(run(&mut other).status, Some(0));
    setting.set(0);
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
    for client in [OTHER, "198.51.100.78", "198.51.100.79"] {
        assert_eq!(caller.call("rbl_listed", &[client]), "no", "that was long ago");
        caller.call("rbl_record", &[client]);
        assert_eq!(caller.call("rbl_listed", &[client]), "yes");
        let left = remaining(&setting, client).unwrap();
        assert!((500..=600).contains(&left), "{client}: {left}");
    }
    assert_eq!(caller.end(), [""; 0]);
    assert_eq!(early.end(), [""; 0]);
    setting.tool("verify");
}

/// The file is looked at when the second is another one, be it earlier or later: a clock that was
/// set back does not make a process blind until the old time comes again.
///
/// Caught: a look only when the time is greater than at the last one.
#[test]
fn a_clock_set_back_does_not_stop_the_looks() {
    let setting = Setting::new();
    let mut caller = setting.start();
    caller.call("rbl_record", &[CLIENT]);
    setting.set(-DAY);
    caller.call("rbl_record", &[CLIENT]);
    setting.stage.make_table_at("new", 1024);
    fs::rename(setting.stage.path("new"), setting.stage.table_path()).unwrap();
    next_second();
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "no", "the new table is empty");
    setting.set(0);
    caller.call("rbl_record", &[CLIENT]);
    assert_eq!(setting.stage.entry(CLIENT).unwrap().count, 1);
    assert_eq!(caller.end(), [""; 0]);
}
