//! The library on damaged tables, loaded as Exim loads it.

use crate::cases::{self, Case};
use crate::driver::{Driver, Stage, driver};
use crate::guard::guard;
use crate::image::{LISTED, OTHERS};

/// Every case: each call returns OK, yields what it may yield, and no panic had to be contained.
///
/// Caught: no comparison of the file's length with the header's (a contained panic at "0x10000000
/// slots"); no upper bound of slots (another near 2^61); a number of never-ranges that is not clamped
/// (another), and the same with unchecked indices (SIGSEGV in the guard); an event's number that is
/// used as an index (at once).
#[test]
fn every_damage_is_survived() {
    let stage = Stage::bare();
    let cases = cases::all();
    for case in &cases {
        let logged = use_it(&stage, case);
        assert!(
            !logged.iter().any(|line| line.contains("internal error")),
            "{}: {logged:?}",
            case.name
        );
    }
    eprintln!("{} damaged tables under the library", cases.len());
}

/// On a sound table everything works, and it is guarded: otherwise the above would prove nothing.
/// Caught: another seed than the header's, by which nobody is found.
#[test]
fn a_sound_table_is_used_and_guarded() {
    let stage = Stage::bare();
    cases::all()[0].lay_down(&stage.table_path());
    let mut library = start(&stage);
    for client in LISTED {
        assert_eq!(library.call("rbl_listed", &[client]), "yes", "{client}");
        assert!(library.call("rbl_lookup", &[client]).contains("reason=auth,rcpt"));
    }
    for client in OTHERS {
        let expected = if client == "2001:db8:1:5::9" { "yes" } else { "no" };
        assert_eq!(library.call("rbl_listed", &[client]), expected, "{client}");
    }
    assert_eq!(library.end(), [""; 0]);
    assert!(stage.path("mark").exists());
}

/// The library in a guarded process.
pub(crate) fn start(stage: &Stage) -> Driver {
    let mut command = stage.command(driver());
    Driver::start(guard(&mut command, &stage.path("mark")))
}

/// Calls everything upon a damaged table; what was logged.
fn use_it(stage: &Stage, case: &Case) -> Vec<String> {
    case.lay_down(&stage.table_path());
    let mut library = start(stage);
    call_everything(&mut library, &case.name);
    library.end()
}

/// Calls everything for a few clients.
pub(crate) fn call_everything(library: &mut Driver, name: &str) {
    for client in LISTED.into_iter().chain(OTHERS) {
        look(library, client, name);
        library.call("rbl_record", &[client, "rcpt"]);
        library.call("rbl_record", &[client, "never-seen-before", "7"]);
        library.call("rbl_forgive", &[client]);
        library.call("rbl_allow", &[client, "60"]);
        library.call("rbl_allow", &[client, "0"]);
        library.call("rbl_record", &[client]);
        look(library, client, name);
    }
    library.call("rbl_preload", &[]);
}

fn look(library: &mut Driver, client: &str, name: &str) {
    let listed = library.call("rbl_listed", &[client]);
    assert!(["yes", "no"].contains(&&*listed), "{name}: {listed}");
    let known = library.call("rbl_lookup", &[client]);
    assert!(known.is_empty() || known.starts_with("listed="), "{name}: {known}");
    assert!(known.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name}: {known:?}");
}
