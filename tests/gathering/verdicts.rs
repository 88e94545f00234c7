//! Exim refuses and accepts the same, with the same words, whatever becomes of its reports.
//!
//! Each way of ACL.md is compared with the same configuration of which the calls are left out: all
//! replies, the logs, and the mail that is delivered. In the main log there may be eximrbl's own lines, and Exim's about a
//! datagram that it could not send.
//!
//! Caught: `readsocket` without its text for failures (451 in `set`); a way that damages mail
//! (`tls=yes`).

use crate::blocks::REPORTING;
use crate::harness::{run, wait_until};
use crate::machine::Machine;
use crate::sender::{around, configuration};
use crate::site::{Site, State};
use crate::transcript::{Session, play, steady_log};

/// Where the mail goes.
const MAILBOX: &str = "/var/spool/exim4/mailbox";

/// All kinds of verdicts. By hand, each of the unknown recipients is reported.
const SESSIONS: [Session; 3] = [
    Session {
        client: 1,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<multi@example.org>",
            "RCPT TO:<good@example.org>",
            "DATA",
            "Subject: good",
            "",
            "text",
            ".",
            "QUIT",
        ],
    },
    Session {
        client: 2,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<good@example.org>",
            "RCPT TO:<later@example.org>",
            "DATA",
            "Subject: bad",
            "",
            "virus",
            ".",
            "QUIT",
        ],
    },
    Session {
        client: 3,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<drop@example.org>",
            "QUIT",
        ],
    },
];

/// A text without the settings that have a call in them.
fn without_calls(text: &str) -> String {
    let (mut kept, mut setting) = (String::new(), String::new());
    for line in text.lines() {
        setting.push_str(line);
        setting.push('\n');
        if line.ends_with('\\') {
            continue;
        }
        let calls = ["${acl{rbl_report}", "${acl{tell_gatherer}", "${readsocket"];
        if !calls.iter().any(|call| setting.contains(call)) {
            kept.push_str(&setting);
        }
        setting.clear();
    }
    kept
}

/// What clients saw, and what the logs say.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    replies: String,
    reject_log: String,
    main_log: String,
    mail: Vec<String>,
}

/// Starts Exim with a patience of one second, so that the test is short.
#[track_caller]
fn start(site: &mut Site, configuration: &str) {
    site.machine.start_with(&configuration.replace("3s", "1s"));
}

/// Lets all clients speak.
#[track_caller]
fn see(site: &Site) -> Seen {
    let _ = std::fs::remove_file(site.machine.real(MAILBOX));
    let before = ["main", "reject"].map(|name| site.machine.log(name).len());
    let logged = |place: usize| {
        let mut log = site.machine.log(["main", "reject"][place]);
        log.split_off(before[place].min(log.len()))
    };
    // All at once, since they wait.
    let replies = std::thread::scope(|scope| {
        let play = |session| scope.spawn(move || play(&site.lan, &site.machine, &[session]));
        SESSIONS.map(play).map(|played| played.join().unwrap()).concat()
    });
    assert_eq!(site.machine.log("panic"), "");
    let main_log = logged(0);
    let others = |line: &&str| {
        !line.contains("eximrbl: not reported to ") && !line.contains("\"udpsend\" failed: ")
    };
    let main_log: String =
        main_log.lines().filter(others).map(|line| format!("{line}\n")).collect();
    Seen {
        reject_log: sorted(&steady_log(&logged(1))),
        main_log: sorted(&steady_log(&main_log)),
        mail: mail(&site.machine, replies.matches("S: 250 OK id=").count()),
        replies,
    }
}

/// Waits for so many messages, and gives their texts.
#[track_caller]
fn mail(machine: &Machine, count: usize) -> Vec<String> {
    let texts = || -> Vec<String> {
        let mailbox = format!("\n{}", machine.read(MAILBOX));
        let messages = mailbox.split("\nFrom ").skip(1);
        messages.filter_map(|message| Some(message.split_once("\n\n")?.1.to_owned())).collect()
    };
    // The last line of the text, or what stands in its place, and the one that ends a message.
    let is_whole = |text: &String| text.ends_with("\n\n") || text.ends_with("\n");
    wait_until(&format!("{count} messages are delivered"), || {
        let texts = texts();
        texts.len() == count && texts.iter().all(is_whole)
    });
    let mut texts: Vec<String> = texts().iter().map(|text| text.trim_end().to_owned()).collect();
    texts.sort_unstable();
    texts
}

/// The lines in an order that does not depend on who came first.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[track_caller]
fn compare(id: &str) {
    let mut site = Site::new(id);
    let configuration = configuration(id);
    let plain = without_calls(&configuration);
    assert_ne!(plain, configuration);
    start(&mut site, &plain);
    let plain = see(&site);
    for reply in ["S: 550", "S: 250 OK id="] {
        assert!(plain.replies.contains(reply), "{}", plain.replies);
    }
    assert!(plain.mail.contains(&"text".to_owned()), "{:?}", plain.mail);
    start(&mut site, &configuration);
    for state in State::of(id) {
        site.bring_about(*state);
        let seen = see(&site);
        assert_eq!(seen, plain, "{id}, {state:?}");
    }
}

/// A test for each way.
macro_rules! ways {
    ($($test:ident: $id:literal,)*) => {
        $(
            #[test]
            fn $test() {
                compare($id);
            }
        )*

        #[test]
        fn no_way_is_left_out() {
            let mut tested = vec![$($id),*];
            let mut all: Vec<&str> = REPORTING.iter().map(|(id, _)| *id).collect();
            tested.sort_unstable();
            all.sort_unstable();
            assert_eq!(tested, all);
        }
    };
}

ways! {
    signed: "report",
    instead_of_recording: "report-instead",
    signed_by_hand: "report-sha3",
    signed_by_hmac: "report-hmac",
    by_datagrams: "report-udp",
    by_datagrams_by_hand: "report-udp-sha3",
    from_the_same_host: "report-line",
}

/// What ACL.md warns of is so: otherwise the comparison would show nothing.
#[test]
fn wrong_statements_change_verdicts() {
    let mut site = Site::new("report");
    site.bring_about(State::Unreachable);
    let wrong = [
        "udpsend = <; 198.51.100.30 ; 4444 ; black $sender_host_address",
        "set acl_c_rbl = ${readsocket{inet:198.51.100.30:4444}{black $sender_host_address\\n}{1s}}",
        "set acl_c_rbl = ${readfile{/etc/exim4/nothing}{}}",
    ];
    for statement in wrong {
        site.machine.start_with(&around(&format!(
            "acl_smtp_rcpt = acl_check_rcpt\nbegin acl\nacl_check_rcpt:\n  deny\n    \
             message = no\n    {statement}\n  accept\n"
        )));
        let replies = play(&site.lan, &site.machine, &SESSIONS[2..]);
        assert!(replies.contains("S: 451"), "{statement}: {replies}");
    }
}

/// The same for TLS and Unix sockets, with the Exim of Debian 12; a later one may have been mended.
#[test]
fn other_sockets_damage_mail() {
    let version = run(std::process::Command::new("exim4").arg("-bV"));
    if !version.contains("Exim version 4.96") {
        return;
    }
    for id in ["tls", "unix"] {
        let mut site = Site::new(id);
        // Nobody speaks TLS there.
        let configuration = configuration(id).replace(":4445", ":4444");
        if id == "unix" {
            site.bring_about(State::Stopped);
        }
        site.machine.start_with(&configuration);
        let replies = play(&site.lan, &site.machine, &SESSIONS[..1]);
        assert!(replies.contains("S: 250 OK id="), "{id}: {replies}");
        let mail = mail(&site.machine, 1);
        assert!(!mail[0].contains("text"), "{id}: Exim does no harm: {mail:?}");
    }
}
