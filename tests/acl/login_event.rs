//! Failed logins by the event `auth:fail`, which Exim raises from 4.97 on.

use crate::frame::Sections;
use crate::harness::{Lan, run};
use crate::machine::Machine;
use crate::transcript::{Session, client, play};

/// The block that is run here.
pub const BLOCKS: [&str; 1] = ["auth-event"];

const THREE_FAILURES: Session = Session {
    client: 1,
    lines: &[
        "EHLO client.example",
        "AUTH PLAIN AHVzZXIAbm8=",
        "AUTH PLAIN AHVzZXIAbm8=",
        "AUTH CRAM-MD5",
        "AAAA",
        "QUIT",
    ],
};

/// Whether the installed Exim raises the event. The block asks for the same macro.
fn has_the_event(machine: &Machine) -> bool {
    let macros = run(machine.command("exim4").args(["-bP", "macros"]));
    macros.contains("_EXP_VAR_SENDER_HELO_VERIFIED")
}

#[test]
fn each_failed_login_is_recorded_where_exim_tells_of_it() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    machine.start_with(&Sections::of_blocks(&[]).text());
    let plain = play(&lan, &machine, &[THREE_FAILURES]);
    machine.start_with(&Sections::of_blocks(&["auth-event"]).text());
    assert_eq!(play(&lan, &machine, &[THREE_FAILURES]), plain);
    let expected = if has_the_event(&machine) { "3 auth" } else { "0" };
    assert_eq!(machine.recorded(client(1)), expected);
    assert_eq!(machine.log("panic"), "");
}

#[test]
fn the_expression_records_when_an_event_of_every_exim_calls_it() {
    // `tls:fail:connect` is raised by 4.96 as well: a client that begins TLS and then talks plainly.
    const NO_TLS: Session =
        Session { client: 1, lines: &["EHLO client.example", "STARTTLS", "this is not TLS"] };
    let mut sections = Sections::of_blocks(&["auth-event"]);
    let guard = ".ifdef _EXP_VAR_SENDER_HELO_VERIFIED\n";
    let opened = sections.main.replace(guard, ".ifdef _HAVE_DLFUNC\n");
    assert_ne!(opened, sections.main);
    sections.main = opened.replace("{auth:fail}", "{tls:fail:connect}");
    sections.add("tls_advertise_hosts = *");
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    machine.start_with(&sections.text());
    play(&lan, &machine, &[NO_TLS, THREE_FAILURES]);
    assert_eq!(machine.recorded(client(1)), "1 auth");
}
