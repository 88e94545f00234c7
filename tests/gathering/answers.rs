//! What the functions of report.acls send, and what they make of answers.

use std::process::{Command, Stdio};

use crate::double::{Act, Double};
use crate::gatherer::{Gatherer, NUMBER};
use crate::harness::{Host, Lan, run, wait_until};
use crate::machine::Machine;
use crate::sender::{KEY, around, be_refused_often, configuration, machine};

/// The beginning of the line that tells of a failure.
const TOLD: &str = "eximrbl: not reported to inet:198.51.100.30:4444: ";

/// A mail server, and a host for its gatherer.
struct Site {
    lan: Lan,
    machine: Machine,
    gatherer: Host,
}

impl Site {
    fn new() -> Self {
        let lan = Lan::new();
        let machine = machine(&lan);
        let gatherer = lan.host("gatherer", NUMBER);
        Self { lan, machine, gatherer }
    }

    /// Refuses client `number` two recipients.
    #[track_caller]
    fn refuse(&self, number: u8) {
        self.refuse_often(number, 1);
    }

    /// Refuses client `number` two recipients of each of so many messages in one connection.
    #[track_caller]
    fn refuse_often(&self, number: u8, messages: usize) {
        let client = self.lan.client(number);
        let replies = be_refused_often(&self.lan, &self.machine, client, messages);
        let codes: Vec<u16> = replies.iter().map(|reply| reply.code).collect();
        let expected = [550, 550, 250, 250].repeat(messages);
        assert_eq!(codes, expected, "{replies:?}\n{}", self.machine.log("main"));
    }

    /// eximrbl's lines in the main log, from what was told on.
    fn told(&self) -> Vec<String> {
        self.told_after(0)
    }

    /// The same without so many bytes of the log.
    fn told_after(&self, taken: usize) -> Vec<String> {
        let log = self.machine.log("main").split_off(taken);
        let own = |line: &str| Some(line.split_once(TOLD)?.1.to_owned());
        let told: Vec<String> = log.lines().filter_map(own).collect();
        assert_eq!(log.matches("eximrbl").count(), told.len(), "{log}");
        told
    }
}

/// A configuration without a secret, with so much patience.
fn unsigned(patience: &str, acls: &str) -> String {
    around(&format!(
        "EXIMRBL_REPORT_TO = inet:198.51.100.30:4444\nEXIMRBL_REPORT_HOW = {patience}\n\
         acl_smtp_rcpt = acl_check_rcpt\n\
         begin acl\n.include /etc/exim4/report.acls\n{acls}"
    ))
}

/// Two refused recipients, reported for the reason `rcpt`.
fn reporting(patience: &str) -> String {
    let call =
        "  accept\n    endpass\n    message = ${acl{rbl_report}{rcpt}}\n    acl = acl_inner\n";
    let inner = "  require\n    verify = recipient\n  accept\n";
    unsigned(patience, &format!("acl_check_rcpt:\n{call}acl_inner:\n{inner}"))
}

/// Caught: the memory of a failure left out (four connections for each client); kept in an `acl_m`
/// variable, which a message takes with it (two).
#[test]
fn a_client_is_held_up_once() {
    let mut site = Site::new();
    for act in [Act::AnswerAndStay(b""), Act::AnswerAndStay(b"ok")] {
        let double = Double::start(&site.gatherer, act);
        site.machine.start_with(&reporting("3s"));
        let site = &site;
        std::thread::scope(|scope| {
            for client in [1, 2] {
                scope.spawn(move || site.refuse_often(client, 2));
            }
        });
        let line = |client: u8| format!("black 203.0.113.{client} rcpt -\n");
        let mut lines = double.lines();
        lines.sort_unstable();
        assert_eq!(lines, [line(1), line(2)], "{act:?}");
        assert_eq!(site.told(), ["no answer", "no answer"], "{act:?}");
    }
    assert_eq!(site.machine.log("panic"), "");
}

/// Caught: a line for each report; control characters in the log; `never-listed` told.
#[test]
fn answers_are_told_once_a_connection() {
    let mut site = Site::new();
    const LONG: &str = match str::from_utf8(&[b'x'; 200]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let answers: [(Act, &[&str]); 9] = [
        (Act::Answer(b"ok listed 600\n"), &[]),
        (Act::Answer(b"ok\n"), &[]),
        (Act::Answer(b"error never-listed: your own\n"), &[]),
        (Act::Answer(b"error white: for a day\n"), &[]),
        (Act::Answer(b"error clock: 400 s late\n"), &["error clock: 400 s late"]),
        (Act::Answer(b""), &["no answer, closed"]),
        (Act::Reset, &["no answer, closed"]),
        (
            Act::Answer(b"error\n2026-11-22 23:00:00 [1] \x1b[2Jforged \xff\0\n"),
            &["error2026-11-22 23:00:00 [1] [2Jforged "],
        ),
        (Act::Answer(&[b'x'; 100_000]), &[LONG]),
    ];
    site.machine.start_with(&reporting("30s"));
    for (number, (act, expected)) in answers.into_iter().enumerate() {
        let double = Double::start(&site.gatherer, act);
        let taken = site.machine.log("main").len();
        site.refuse(1);
        assert_eq!(double.lines().len(), 2, "{number}: each rejection is reported");
        assert_eq!(site.told_after(taken), expected, "{number}");
        assert_eq!(site.machine.log("panic"), "", "{number}");
    }
}

/// Caught: the guards of `rbl_report` left out, one after the other; a reason that is taken as it is.
#[test]
fn what_is_sent_and_what_is_not() {
    let mut site = Site::new();
    let double = Double::start(&site.gatherer, Act::Answer(b"ok\n"));
    let calls = [
        ("one", "${acl{rbl_report}}"),
        ("two", "${acl{rbl_report}{virus}{5}}"),
        ("three", "${acl{rbl_report}{rcpt\\nwhite 192.0.2.1}{1 2}}"),
        ("four", "${acl{rbl_report}{a\\n}{7\\n}}"),
        ("five", "${acl{rbl_report_forgive}}"),
    ];
    let statement = |(name, call): &(&str, &str)| {
        format!("  deny\n    local_parts = {name}\n    log_message = {call}as it was\n")
    };
    let statements: String = calls.iter().map(statement).collect();
    let quiet = "  deny\n    local_parts = quiet\n    set acl_c_rbl_quiet = yes\n    \
                 log_message = ${acl{rbl_report}{rcpt}}as it was\n";
    let text = unsigned("30s", &format!("acl_check_rcpt:\n{statements}{quiet}  accept\n"));
    site.machine.start_with(&text);

    let mut smtp = site.machine.dial(&site.lan, site.lan.client(1));
    smtp.hello();
    smtp.command("MAIL FROM:<>");
    for name in ["one", "two", "three", "four", "five", "quiet"] {
        assert_eq!(smtp.command(&format!("RCPT TO:<{name}@example.org>")).code, 550);
    }
    smtp.quit();
    site.machine.settle();
    let sent = [
        "black 203.0.113.1 - -\n",
        "black 203.0.113.1 virus 5\n",
        "black 203.0.113.1 - -\n",
        "black 203.0.113.1 - -\n",
        "forgive 203.0.113.1\n",
    ];
    assert_eq!(double.lines(), sent);
    let rejections = site.machine.log("reject").matches(": as it was").count();
    assert_eq!(rejections, 6, "{}", site.machine.log("reject"));

    // A user who has logged in mistypes an address.
    let mut smtp = site.machine.dial(&site.lan, site.lan.client(2));
    smtp.hello();
    assert_eq!(smtp.command("AUTH PLAIN AHVzZXIAcGFzcw==").code, 235);
    smtp.command("MAIL FROM:<>");
    assert_eq!(smtp.command("RCPT TO:<two@example.org>").code, 550);
    smtp.quit();
    site.machine.settle();
    // A trial.
    let lines = "EHLO a\\r\\nMAIL FROM:<>\\r\\nRCPT TO:<two@example.org>\\r\\nQUIT\\r\\n";
    let mut command = site.machine.command("sh");
    let tried = run(command.args(["-c", &format!("printf '{lines}' | exim4 -bh 203.0.113.3")]));
    assert!(tried.contains("\n550 "), "{tried}");
    assert_eq!(double.lines(), sent, "nothing more");
    assert_eq!(site.told(), [""; 0]);
}

/// Caught: the call in `set` of the refusing statement (a 451).
#[test]
fn a_secret_that_cannot_be_read_costs_log_lines() {
    let mut site = Site::new();
    let double = Double::start(&site.gatherer, Act::Answer(b"ok\n"));
    run(Command::new("chmod").arg("0600").arg(site.machine.real(KEY)));
    for id in ["report", "report-sha3"] {
        site.machine.start_with(&configuration(id));
        site.refuse(1);
        assert_eq!(double.lines(), [""; 0], "{id}");
        let panics = site.machine.log("panic");
        let tries = if id == "report" { 1 } else { 2 };
        assert_eq!(panics.lines().count(), tries, "{id}: {panics}");
        assert!(panics.lines().all(|line| line.contains("failed to expand ACL ")), "{panics}");
        assert!(!panics.contains("b2Zm"), "{id} shows the secret: {panics}");
    }
}

/// Caught: `logwrite` left out.
#[test]
fn the_gatherers_refusals_are_in_exims_log() {
    let mut site = Site::new();
    let gatherer = Gatherer::start_with(&site.gatherer, "verbs = [\"forgive\"]\n");
    // More patience than is advised: the machine may be busy.
    let text = configuration("report").replace("= 3s", "= 30s");
    assert!(text.contains("= 30s"), "{text}");
    let known = text.replace("= mx2", "= mx9");
    assert_ne!(text, known);
    for (text, code) in [(&text, "not-allowed"), (&known, "unknown-reporter")] {
        site.machine.start_with(text);
        site.refuse(1);
        let told = site.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("error {code}: ")), "{told:?}");
    }
    site.machine.write(KEY, "another secret than the gatherer's\n");
    run(Command::new("chown").arg("root:Debian-exim").arg(site.machine.real(KEY)));
    site.machine.start_with(&text);
    site.refuse(1);
    let told = site.told();
    assert!(told.len() == 1 && told[0].starts_with("error secret: "), "{told:?}");
    assert_eq!(gatherer.recorded(site.lan.client(1)), "0");
}

/// Caught: a mode that lets everybody read it.
#[test]
fn the_secret_is_made_as_acl_md_says() {
    let site = Site::new();
    std::fs::remove_file(site.machine.real(KEY)).unwrap();
    let block = crate::document::block("report-secret");
    let mut command = site.machine.command("bash");
    command.args(["-ec", &block.text]).current_dir(crate::document::root());
    run(command.stdin(Stdio::null()));
    let secret = site.machine.read(KEY);
    assert!(secret.trim_end().len() == 32 && secret.ends_with('\n'), "{secret:?}");
    let stat = run(Command::new("stat").args(["-c", "%a %U:%G"]).arg(site.machine.real(KEY)));
    assert_eq!(stat.trim(), "640 root:Debian-exim");
    wait_until("the functions are there", || {
        site.machine.read("/etc/exim4/report.acls").contains("rbl_report:")
    });
}
