//! Each case with everything in place: what is recorded, what clients see, what the log says.

use std::time::Instant;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Name, Network, Report, now};

use crate::cases::{Case, case};
use crate::document;
use crate::frame::Sections;
use crate::harness::Lan;
use crate::machine::Machine;
use crate::transcript::{Session, client, play};

/// Lists a client by one rejection for the reason `manual`.
pub fn list(machine: &Machine, number: u8) {
    let table = machine.table();
    let reason = table.reason(Name::new(b"manual").unwrap(), true);
    let network = Network::host(client(number));
    table
        .record(&Report { network, reason, reporter: ADMIN, weight: Some(1), seconds: None }, now())
        .unwrap();
}

/// Runs a case and gives the server.
#[track_caller]
fn run_case(case: &Case) -> Machine {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    case.write_files(&machine);
    for number in case.listed {
        list(&machine, *number);
    }
    machine.start_with(&case.configuration());
    let transcript = play(&lan, &machine, case.sessions);
    for part in case.replies {
        assert!(transcript.contains(part), "{}: no reply {part:?} in\n{transcript}", case.id);
    }
    for (number, recorded) in case.recorded {
        let found = machine.recorded(client(*number));
        assert_eq!(found, *recorded, "{}: client {number} after\n{transcript}", case.id);
    }
    let log = machine.log("main");
    for part in case.log {
        assert!(log.contains(part), "{}: no {part:?} in\n{log}", case.id);
    }
    assert_eq!(machine.log("panic"), "", "{}: something went wrong", case.id);
    assert!(!log.contains("eximrbl"), "{}: the library complains:\n{log}", case.id);
    machine
}

/// A test for each case.
macro_rules! cases {
    ($($test:ident: $id:literal,)*) => {$(
        #[test]
        fn $test() {
            run_case(case($id));
        }
    )*};
}

cases! {
    wrapper: "wrapper",
    wrapper_as_a_file: "wrapper-file",
    calls_in_single_statements: "explicit",
    direct_calls: "direct",
    refusals_kept_out: "quiet",
    failed_logins_in_the_authenticator: "auth-condition",
    failed_logins_at_the_end: "auth-quit",
    broken_sessions: "notquit",
    refusing_at_connect_does_not_lengthen: "refuse-connect",
    refusing_at_rcpt_lengthens: "refuse-rcpt",
    deciding_by_what_is_known: "lookup",
    forgiving_after_a_login: "forgive",
}

#[test]
fn whitelisting_after_a_login() {
    let begun = Instant::now();
    let machine = run_case(case("allow"));
    let entry = machine.entry(client(7)).expect("client 7 has an entry");
    assert!(entry.white, "{entry:?}");
    let passed = begun.elapsed().as_secs() as u32 + 1;
    assert!((86_400 - passed..=86_400).contains(&entry.remaining), "{entry:?}");
}

#[test]
fn no_login_undoes_what_was_set_by_hand_without_end() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let (listed, white) = (Network::host(client(7)), Network::host(client(8)));
    let report =
        Report { network: listed, reason: 1, reporter: ADMIN, weight: None, seconds: None };
    machine.table().record_endless(&report, now()).unwrap();
    machine.table().white(white, None, ADMIN, now()).unwrap();
    for id in ["forgive", "allow"] {
        let Case { sessions, .. } = case(id);
        let lines = sessions[0].lines;
        machine.start_with(&case(id).configuration());
        case(id).write_files(&machine);
        let logins = [7, 8, 9].map(|client| Session { client, lines });
        let transcript = play(&lan, &machine, &logins);
        assert_eq!(transcript.matches("235 Authentication succeeded").count(), 3, "{transcript}");
        let ends = [7, 8].map(|number| machine.entry(client(number)).unwrap());
        assert!(ends[0].is_endless() && !ends[0].white, "{id}: {ends:?}");
        assert!(ends[1].is_endless() && ends[1].white, "{id}: {ends:?}");
    }
    // The login does work on what nobody has set by hand.
    assert!(machine.entry(client(9)).is_some_and(|entry| entry.white));
}

#[test]
fn wrapper_loses_the_text_of_an_accept() {
    // The one difference that ACL.md admits, and nothing beside it.
    let mut wrapped = Sections::of_blocks(&["wrapper"]);
    wrapped.add("begin acl\nacl_check_rcpt:\n  accept\n    message = 250 welcome\n");
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let session = [Session {
        client: 1,
        lines: &["HELO a", "MAIL FROM:<>", "RCPT TO:<good@example.org>", "QUIT"],
    }];
    let plain =
        wrapped.text().replace("acl_smtp_rcpt = rbl_wrap_rcpt", "acl_smtp_rcpt = acl_check_rcpt");
    assert_ne!(plain, wrapped.text());
    machine.start_with(&plain);
    assert!(play(&lan, &machine, &session).contains("S: 250 welcome"));
    machine.start_with(&wrapped.text());
    let transcript = play(&lan, &machine, &session);
    assert!(transcript.contains("RCPT TO:<good@example.org>\nS: 250 Accepted"), "{transcript}");
}

/// What a client sees and what is recorded when the ACL for RCPT is this one.
fn with_rcpt_acl(text: &str, sessions: &[Session]) -> (String, String) {
    let mut sections = Sections::of_blocks(&[]);
    sections.add(text);
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    machine.start_with(&sections.text());
    (play(&lan, &machine, sessions), machine.recorded(client(1)))
}

const BAD_RCPT: Session = Session {
    client: 1,
    lines: &["HELO a", "MAIL FROM:<>", "RCPT TO:<nobody@example.org>", "QUIT"],
};

#[test]
fn wrapper_with_its_message_too_late_records_nothing() {
    let late = document::block("wrapper").text.replace(
        "    message = ${acl{rbl_record}{rcpt}}\n    acl     = acl_check_rcpt\n",
        "    acl     = acl_check_rcpt\n    message = ${acl{rbl_record}{rcpt}}\n",
    );
    assert_ne!(late, document::block("wrapper").text);
    let (replies, recorded) = with_rcpt_acl(&late, &[BAD_RCPT]);
    assert!(replies.contains("S: 550 unknown here"), "{replies}");
    assert_eq!(recorded, "0");
}

#[test]
fn negation_instead_of_the_wrapper_changes_verdicts() {
    const SESSION: Session = Session {
        client: 1,
        lines: &[
            "HELO a",
            "MAIL FROM:<>",
            "RCPT TO:<discard@example.org>",
            "RCPT TO:<drop@example.org>",
            "QUIT",
        ],
    };
    let negation = "acl_smtp_rcpt = negation\nbegin acl\nnegation:\n  deny\n    !acl = acl_check_rcpt\n  accept\n";
    let (replies, _) = with_rcpt_acl(negation, &[SESSION]);
    assert!(replies.contains("RCPT TO:<discard@example.org>\nS: 451 "), "{replies}");
    // The server does not close: QUIT has its answer.
    assert!(replies.ends_with("S: 221 mx.example.org closing connection\n"), "{replies}");
}

#[test]
fn fakereject_is_not_recorded() {
    let fake = document::block("wrapper").text
        + "\nacl_check_rcpt:\n  accept\n    control = fakereject/a lie\n";
    let session = Session {
        client: 1,
        lines: &[
            "HELO a",
            "MAIL FROM:<>",
            "RCPT TO:<good@example.org>",
            "DATA",
            "",
            "x",
            ".",
            "QUIT",
        ],
    };
    let (replies, recorded) = with_rcpt_acl(&fake, &[session]);
    assert!(replies.contains("S: 550-a lie\n") || replies.contains("S: 550 a lie\n"), "{replies}");
    assert_eq!(recorded, "0");
}

/// The stages of wrappers.acls: the ACL's name, what a client says to be refused there.
const STAGES: [(&str, &[&str]); 10] = [
    ("connect", &[]),
    ("helo", &["EHLO badhelo", "QUIT"]),
    ("starttls", &["EHLO a", "STARTTLS", "QUIT"]),
    ("auth", &["EHLO a", "AUTH CRAM-MD5", "QUIT"]),
    ("mail", &["EHLO a", "MAIL FROM:<bad@client.example>", "QUIT"]),
    ("rcpt", &["EHLO a", "MAIL FROM:<>", "RCPT TO:<nobody@example.org>", "QUIT"]),
    (
        "predata",
        &[
            "EHLO a",
            "MAIL FROM:<predata@client.example>",
            "RCPT TO:<good@example.org>",
            "DATA",
            "QUIT",
        ],
    ),
    (
        "mime",
        &[
            "EHLO a",
            "MAIL FROM:<>",
            "RCPT TO:<good@example.org>",
            "DATA",
            "MIME-Version: 1.0",
            "Content-Type: application/x-bad",
            "",
            "text",
            ".",
            "QUIT",
        ],
    ),
    (
        "data",
        &[
            "EHLO a",
            "MAIL FROM:<>",
            "RCPT TO:<good@example.org>",
            "DATA",
            "",
            "a virus",
            ".",
            "QUIT",
        ],
    ),
    ("etrn", &["EHLO a", "ETRN example.org", "QUIT"]),
];

#[test]
fn every_wrapper_of_the_examples() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let mut sections = Sections::of_blocks(&[]);
    sections.add("tls_advertise_hosts = *");
    sections.add("begin acl\n.include /etc/exim4/wrappers.acls");
    let mut plain = sections.clone();
    for (stage, _) in STAGES {
        let (wrapper, inner) = (format!("rbl_wrap_{stage}"), format!("acl_check_{stage}"));
        assert!(document::example("wrappers.acls").contains(&format!("\n{wrapper}:\n")));
        sections.add(&format!("acl_smtp_{stage} = {wrapper}"));
        plain.add(&format!("acl_smtp_{stage} = {inner}"));
    }
    let in_examples = document::example("wrappers.acls").matches("\nrbl_wrap_").count();
    assert_eq!(in_examples, STAGES.len(), "a wrapper without a test");

    let sessions: Vec<Session> = STAGES
        .iter()
        .enumerate()
        .map(|(number, (stage, lines))| Session {
            // The frame's connect ACL refuses this one client.
            client: if *stage == "connect" { 66 } else { u8::try_from(number).unwrap() + 10 },
            lines,
        })
        .collect();
    machine.start_with(&plain.text());
    let plain = play(&lan, &machine, &sessions);
    machine.start_with(&sections.text());
    assert_eq!(play(&lan, &machine, &sessions), plain);
    for (session, (stage, _)) in sessions.iter().zip(STAGES) {
        assert_eq!(machine.recorded(client(session.client)), format!("1 {stage}"), "{plain}");
    }
}
