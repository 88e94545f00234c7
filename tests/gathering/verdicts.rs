//! Exim refuses and accepts the same, with the same words, whatever becomes of its reports.
//!
//! Each way of ACL.md is compared with the same configuration of which the calls are left out: all
//! replies, and the reject log. In the main log there may be eximrbl's own lines, and Exim's about a
//! datagram that it could not send.
//!
//! Caught: `udpsend` in `accept` instead of `warn` (451 without a route); `readsocket` without its text
//! for failures (451 in `set`); `message` after `acl` in the wrapper.

use crate::blocks::REPORTING;
use crate::sender::{around, configuration};
use crate::site::{Site, State};
use crate::transcript::{Session, play, steady_log};

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
}

#[track_caller]
fn see(site: &mut Site, configuration: &str) -> Seen {
    // One second, so that the test is short.
    let configuration = configuration.replace("3s", "1s");
    site.machine.start_with(&configuration);
    // All at once, since they wait.
    let replies = std::thread::scope(|scope| {
        let site = &*site;
        let play = |session| scope.spawn(move || play(&site.lan, &site.machine, &[session]));
        SESSIONS.map(play).map(|played| played.join().unwrap()).concat()
    });
    assert_eq!(site.machine.log("panic"), "");
    let main_log = site.machine.log("main");
    let others = |line: &&str| {
        !line.contains("eximrbl: not reported to ") && !line.contains("\"udpsend\" failed: ")
    };
    let main_log: String =
        main_log.lines().filter(others).map(|line| format!("{line}\n")).collect();
    Seen {
        replies,
        reject_log: sorted(&steady_log(&site.machine.log("reject"))),
        main_log: sorted(&steady_log(&main_log)),
    }
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
    let plain = see(&mut site, &plain);
    for reply in ["S: 550", "S: 250 OK id="] {
        assert!(plain.replies.contains(reply), "{}", plain.replies);
    }
    for state in State::of(id) {
        site.bring_about(*state);
        let seen = see(&mut site, &configuration);
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
    by_tls: "report-tls",
    from_the_same_host: "report-line",
    by_a_unix_socket: "report-unix",
}

/// What ACL.md warns of is so: otherwise the comparison would show nothing.
#[test]
fn what_acl_md_warns_of_does_harm() {
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
