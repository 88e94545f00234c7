//! Loading the library early, and tables at other places.

use crate::frame::Sections;
use crate::harness::{Lan, finished};
use crate::machine::Machine;
use crate::transcript::{Session, client, play};

/// The blocks that are run here.
pub const BLOCKS: [&str; 3] = ["preload", "other-table", "environment"];

/// One rejection that the wrapper records.
fn rejected_once(client: u8) -> [Session; 1] {
    let lines = &["HELO a", "MAIL FROM:<>", "RCPT TO:<nobody@example.org>", "QUIT"];
    [Session { client, lines }]
}

/// What the daemon has mapped.
fn maps(machine: &Machine) -> String {
    std::fs::read_to_string(format!("/proc/{}/maps", machine.exim_id())).unwrap()
}

#[test]
fn preload_maps_library_and_table_in_the_daemon() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let without = Sections::of_blocks(&["wrapper"]).text();
    machine.start_with(&without);
    let plain = play(&lan, &machine, &rejected_once(1));
    assert!(!maps(&machine).contains("eximrbl.so"), "loaded without being asked to");

    machine.start_with(&Sections::of_blocks(&["wrapper", "preload"]).text());
    let transcript = play(&lan, &machine, &rejected_once(1));
    assert_eq!(transcript, plain);
    let mapped = maps(&machine);
    for file in ["/eximrbl.so", "/eximrbl/table"] {
        assert!(mapped.lines().any(|line| line.ends_with(file)), "{file} is not in\n{mapped}");
    }
    assert_eq!(machine.recorded(client(1)), "2 rcpt");

    // Still so after a reload, and the children still record.
    machine.reload();
    play(&lan, &machine, &rejected_once(1));
    assert!(maps(&machine).contains("eximrbl.so"));
    assert_eq!(machine.recorded(client(1)), "3 rcpt");
    assert_eq!(machine.log("panic"), "");
}

#[test]
fn preload_keeps_the_limit_of_connections() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let mut sections = Sections::of_blocks(&["preload"]);
    let limited = sections.main.replace("}}}}0\n", "}}}}1\n");
    assert_ne!(limited, sections.main);
    sections.main = limited;
    machine.start_with(&sections.text());
    let mut first = machine.dial(&lan, client(1));
    assert_eq!(first.reply().code, 220);
    assert_eq!(machine.dial(&lan, client(1)).reply().code, 421, "a second connection at once");
    assert_eq!(machine.dial(&lan, client(2)).reply().code, 220);
    first.quit();
}

#[test]
fn preload_needs_smtp_accept_max() {
    let lan = Lan::new();
    let machine = Machine::new(&lan, "primary", 10);
    let with = Sections::of_blocks(&["wrapper", "preload"]).text();
    let without = with.replace("smtp_accept_max = 200\n", "smtp_accept_max = 0\n");
    assert_ne!(with, without);
    for (text, valid) in [(with, true), (without, false)] {
        machine.write("/etc/exim4/exim4.conf", &text);
        let output = finished(machine.command("exim4").arg("-bV"));
        assert_eq!(output.status.success(), valid, "{output:?}");
    }
}

#[test]
fn preload_of_a_broken_library_lets_everybody_in() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let configuration = Sections::of_blocks(&["wrapper", "preload"]).text();
    machine.start_with(&Sections::of_blocks(&["wrapper"]).text());
    let plain = play(&lan, &machine, &rejected_once(1));
    let library = machine.real("/usr/lib/exim4/eximrbl.so");
    std::fs::remove_file(&library).unwrap();
    machine.start_with(&configuration);
    assert_eq!(play(&lan, &machine, &rejected_once(1)), plain);
    assert_eq!(machine.log("panic"), "");
    std::fs::write(library, "half a library").unwrap();
    machine.start_with(&configuration);
    assert_eq!(play(&lan, &machine, &rejected_once(1)), plain);
    assert!(machine.log("panic").contains("smtp_accept_max_per_host"), "{}", machine.log("panic"));
}

#[test]
fn another_table_is_used_also_after_a_reload() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    std::fs::create_dir(machine.real("/srv/mail")).unwrap();
    machine.create_table_at("/srv/mail/rbl.table");
    machine.start_with(&Sections::of_blocks(&["wrapper", "other-table"]).text());
    play(&lan, &machine, &rejected_once(1));
    assert_eq!(machine.recorded_at("/srv/mail/rbl.table", client(1)), "1 rcpt");
    machine.reload();
    play(&lan, &machine, &rejected_once(1));
    assert_eq!(machine.recorded_at("/srv/mail/rbl.table", client(1)), "2 rcpt");
    assert_eq!(machine.recorded(client(1)), "0", "the installed place was used");
    assert_eq!(machine.log("panic"), "");
}

#[test]
fn the_environment_counts_until_a_reload() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    std::fs::create_dir(machine.real("/srv/mail")).unwrap();
    machine.create_table_at("/srv/mail/rbl.table");
    machine.start_with(&Sections::of_blocks(&["wrapper", "environment"]).text());
    play(&lan, &machine, &rejected_once(1));
    assert_eq!(machine.recorded_at("/srv/mail/rbl.table", client(1)), "1 rcpt");
    assert_eq!(machine.recorded(client(1)), "0");
    // What ACL.md warns of: from now on the daemon is a set-uid program.
    machine.reload();
    play(&lan, &machine, &rejected_once(1));
    assert_eq!(machine.recorded_at("/srv/mail/rbl.table", client(1)), "1 rcpt");
    assert_eq!(machine.recorded(client(1)), "1 rcpt");
}

#[test]
fn the_environment_comes_before_the_preloaded_path() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    std::fs::create_dir(machine.real("/srv/mail")).unwrap();
    for path in ["/srv/mail/rbl.table", "/srv/first.table"] {
        machine.create_table_at(path);
    }
    let mut sections = Sections::of_blocks(&["wrapper", "other-table"]);
    sections.add("add_environment = EXIMRBL_TABLE=/srv/first.table");
    machine.start_with(&sections.text());
    play(&lan, &machine, &rejected_once(1));
    assert_eq!(machine.recorded_at("/srv/first.table", client(1)), "1 rcpt");
    assert_eq!(machine.recorded_at("/srv/mail/rbl.table", client(1)), "0");
}
