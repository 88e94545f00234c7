//! What must hold under every fault: `OK` and the default answer, one line in the log that says
//! what to do, and healing without help.

use crate::caller::Caller;
use crate::stage::{CLIENT, Stage, next_second};

/// Calls everything twice. Without a usable table, each yields its default.
#[track_caller]
pub(crate) fn yields_defaults(caller: &mut Caller) {
    for _ in 0..2 {
        for function in ["rbl_record", "rbl_forgive"] {
            assert_eq!(caller.call(function, &[CLIENT]), "");
        }
        assert_eq!(caller.call("rbl_allow", &[CLIENT, "60"]), "");
        assert_eq!(caller.call("rbl_listed", &[CLIENT]), "no");
        assert_eq!(caller.call("rbl_lookup", &[CLIENT]), "");
        assert_eq!(caller.call("rbl_preload", &[]), "");
        assert!(caller.call("rbl_version", &[]).starts_with("eximrbl "));
    }
}

/// The one line that was logged, which must hold these texts.
#[track_caller]
pub(crate) fn is_told_once(caller: &Caller, texts: &[&str]) {
    assert_eq!(caller.logged.len(), 1, "{:?}", caller.logged);
    let line = &caller.logged[0];
    assert!(line.starts_with("eximrbl: "), "{line}");
    for text in texts {
        assert!(line.contains(text), "no {text:?} in {line:?}");
    }
}

/// Under a fault that lasts over a second's end: defaults, and one line that says what to do.
#[track_caller]
pub(crate) fn fails_open(caller: &mut Caller, texts: &[&str]) {
    yields_defaults(caller);
    next_second();
    yields_defaults(caller);
    is_told_once(caller, texts);
}

/// The fault has gone: from the next second on all is well, and nothing more is logged.
#[track_caller]
pub(crate) fn heals(stage: &Stage, caller: &mut Caller) {
    let told = caller.logged.len();
    next_second();
    works(stage, caller);
    assert_eq!(caller.logged.len(), told, "{:?}", caller.logged);
}

/// A rejection is recorded, answered, and seen by others.
#[track_caller]
pub(crate) fn works(stage: &Stage, caller: &mut Caller) {
    let before = stage.entry(CLIENT).map_or(0, |entry| entry.count);
    assert_eq!(caller.call("rbl_record", &[CLIENT, "rcpt"]), "");
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
    assert_eq!(stage.entry(CLIENT).map(|entry| entry.count), Some(before + 1));
}
