//! Whatever is missing, clients see what an Exim without eximrbl shows them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cases::{CASES, Case, case};
use crate::document;
use crate::frame::Sections;
use crate::harness::Lan;
use crate::light::light_exim;
use crate::machine::Machine;
use crate::transcript::{Session, play, steady_log};

/// The functions of an Exim that never heard of eximrbl.
const NO_FUNCTIONS: &str = "\
rbl_record:
  accept
rbl_listed:
  accept
rbl_lookup:
  accept
rbl_forgive:
  accept
rbl_allow:
  accept
";

/// A configuration without its direct calls: settings that have one are taken out.
fn without_calls(text: &str) -> String {
    let mut kept = String::new();
    let mut setting = String::new();
    for line in text.lines() {
        setting.push_str(line);
        setting.push('\n');
        if line.ends_with('\\') {
            continue;
        }
        if !setting.contains("${dlfunc") {
            kept.push_str(&setting);
        }
        setting.clear();
    }
    kept
}

/// What clients saw, and what the reject log says.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    replies: String,
    reject_log: String,
}

/// Starts Exim and lets the clients of a case speak.
fn see(lan: &Lan, machine: &mut Machine, case: &Case, configuration: &str) -> Seen {
    machine.start_with(configuration);
    let replies = play(lan, machine, case.sessions);
    Seen { replies, reject_log: steady_log(&machine.log("reject")) }
}

/// Lets a case run on all kinds of incomplete installations.
#[track_caller]
fn compare(case: &Case) {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let configuration = case.configuration();

    case.write_files(&machine);
    machine.write("/etc/exim4/eximrbl.acls", NO_FUNCTIONS);
    for (path, text) in document::files(case.id) {
        machine.write(&path, &without_calls(&text));
    }
    let plain = see(&lan, &mut machine, case, &without_calls(&configuration));
    assert_eq!(machine.log("panic"), "", "the plain configuration is broken");

    case.write_files(&machine);
    machine.write("/etc/exim4/eximrbl.acls", &document::example("eximrbl.acls"));
    if case.only_records {
        let seen = see(&lan, &mut machine, case, &configuration);
        assert_eq!(seen, plain, "{}: with everything in place", case.id);
    }

    let table = machine.real("/var/lib/eximrbl/table");
    std::fs::remove_file(table).unwrap();
    let seen = see(&lan, &mut machine, case, &configuration);
    assert_eq!(seen, plain, "{}: without the table", case.id);
    assert_eq!(machine.log("panic"), "", "{}: without the table", case.id);

    let library = machine.real("/usr/lib/exim4/eximrbl.so");
    std::fs::remove_file(&library).unwrap();
    let seen = see(&lan, &mut machine, case, &configuration);
    assert_eq!(seen, plain, "{}: without the library", case.id);
    assert_eq!(machine.log("panic"), "", "{}: without the library", case.id);

    std::fs::write(&library, "half a library").unwrap();
    let seen = see(&lan, &mut machine, case, &configuration);
    assert_eq!(seen, plain, "{}: with a library that can't be loaded", case.id);

    if case.light {
        machine.install_library();
        machine.create_table();
        machine.mount(light_exim(), "/usr/sbin/exim4");
        let seen = see(&lan, &mut machine, case, &configuration);
        assert_eq!(seen, plain, "{}: with an Exim without dlfunc", case.id);
    }
}

/// A test for each case.
macro_rules! cases {
    ($($test:ident: $id:literal,)*) => {
        $(
            #[test]
            fn $test() {
                compare(case($id));
            }
        )*

        #[test]
        fn no_case_is_left_out() {
            let mut tested = vec![$($id),*];
            let mut all: Vec<&str> = CASES.iter().map(|case| case.id).collect();
            tested.sort_unstable();
            all.sort_unstable();
            assert_eq!(tested, all);
        }
    };
}

cases! {
    wrapper: "wrapper",
    wrapper_file: "wrapper-file",
    explicit: "explicit",
    direct: "direct",
    quiet: "quiet",
    auth_condition: "auth-condition",
    auth_quit: "auth-quit",
    notquit: "notquit",
    refuse_connect: "refuse-connect",
    refuse_rcpt: "refuse-rcpt",
    lookup: "lookup",
    forgive: "forgive",
    allow: "allow",
}

/// A client who is refused at RCPT twice.
const REFUSED_TWICE: Session = Session {
    client: 1,
    lines: &[
        "EHLO client.example",
        "MAIL FROM:<>",
        "RCPT TO:<a%b@example.org>",
        "RCPT TO:<nobody@example.org>",
        "QUIT",
    ],
};

#[test]
fn a_missing_table_is_told_once_a_connection() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    std::fs::remove_file(machine.real("/var/lib/eximrbl/table")).unwrap();
    machine.start_with(&Sections::of_blocks(&["explicit"]).text());
    play(&lan, &machine, &[REFUSED_TWICE, REFUSED_TWICE]);
    let log = machine.log("main");
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains("/var/lib/eximrbl/table")).collect();
    assert_eq!(told.len(), 2, "{log}");
    assert!(told.iter().all(|line| line.contains("eximrbl")), "{log}");
}

#[test]
fn a_table_that_cannot_be_used_changes_no_reply() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let configuration = Sections::of_blocks(&["explicit"]).text();
    machine.start_with(&configuration);
    let plain = play(&lan, &machine, &[REFUSED_TWICE]);
    let table = machine.real("/var/lib/eximrbl/table");
    let damages: [(&str, &dyn Fn()); 5] = [
        ("closed to Exim", &|| set_mode(&table, 0o600)),
        ("read-only", &|| set_mode(&table, 0o440)),
        ("cut short", &|| {
            std::fs::OpenOptions::new().write(true).open(&table).unwrap().set_len(5000).unwrap();
        }),
        ("of another kind", &|| std::fs::write(&table, vec![b'x'; 100_000]).unwrap()),
        ("empty", &|| std::fs::write(&table, "").unwrap()),
    ];
    for (what, damage) in damages {
        machine.create_table();
        damage();
        machine.start_with(&configuration);
        assert_eq!(play(&lan, &machine, &[REFUSED_TWICE]), plain, "a table that is {what}");
        let log = machine.log("main");
        let told = log.lines().filter(|line| line.contains("/var/lib/eximrbl/table")).count();
        assert_eq!(told, 1, "a table that is {what}:\n{log}");
        assert_eq!(machine.log("panic"), "", "a table that is {what}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_call_without_guards_fills_the_logs() {
    // Why ACL.md has `exists` and `.ifdef` in its direct call.
    let block = document::block("direct").text;
    let bare = block.replace(".ifdef _HAVE_DLFUNC\n", "").replace(".endif\n", "");
    let unguarded = bare.replace("${if exists{EXIMRBL_SO}", "${if bool{yes}");
    assert!(unguarded != bare && bare != block);
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    std::fs::remove_file(machine.real("/usr/lib/exim4/eximrbl.so")).unwrap();
    let lines = |machine: &mut Machine, text: &str| {
        let mut sections = Sections::of_blocks(&[]);
        sections.add(text);
        machine.start_with(&sections.text());
        play(&lan, machine, &[REFUSED_TWICE]);
        let count = |name| machine.log(name).lines().filter(|line| line.contains("dlfunc")).count();
        (count("main"), count("panic"))
    };
    assert_eq!(lines(&mut machine, &block), (0, 0));
    assert_eq!(lines(&mut machine, &unguarded), (2, 2));
    machine.mount(light_exim(), "/usr/sbin/exim4");
    assert_eq!(lines(&mut machine, &block), (0, 0));
    assert_eq!(lines(&mut machine, &bare), (2, 2));
}

#[test]
fn a_library_that_cannot_be_loaded_is_told_at_each_call() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let library = machine.real("/usr/lib/exim4/eximrbl.so");
    std::fs::remove_file(&library).unwrap();
    std::fs::write(library, "half a library").unwrap();
    machine.start_with(&Sections::of_blocks(&["explicit"]).text());
    play(&lan, &machine, &[REFUSED_TWICE]);
    for name in ["main", "panic"] {
        let log = machine.log(name);
        assert_eq!(log.matches("dlopen \"/usr/lib/exim4/eximrbl.so\" failed").count(), 4, "{log}");
        assert_eq!(log.lines().filter(|line| line.contains("eximrbl.so")).count(), 4, "{log}");
    }
    // The functions lose nothing of the statement's own text.
    assert!(machine.log("reject").contains(": restricted characters in address\n"));
}

#[test]
fn a_direct_call_that_fails_costs_the_log_text() {
    let direct = "acl_smtp_rcpt = acl_check_rcpt
begin acl
acl_check_rcpt:
  deny
    message     = to the client
    log_message = ${if exists{EXIMRBL_SO}{${dlfunc{EXIMRBL_SO}{rbl_record}{$sender_host_address}}}}to the log
";
    let mut sections = Sections::of_blocks(&[]);
    sections.add(direct);
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    machine.start_with(&sections.text());
    play(&lan, &machine, &[REFUSED_TWICE]);
    assert!(machine.log("reject").contains(": to the log\n"), "{}", machine.log("reject"));

    std::fs::write(machine.real("/usr/lib/exim4/eximrbl.so"), "half a library").unwrap();
    machine.start_with(&sections.text());
    let transcript = play(&lan, &machine, &[REFUSED_TWICE]);
    assert!(transcript.contains("550 to the client"), "{transcript}");
    assert!(machine.log("reject").contains(": to the client\n"), "{}", machine.log("reject"));
}

#[test]
fn what_the_warnings_are_about_gives_every_sender_a_451() {
    let unsafe_places = [
        // A missing library, unguarded.
        "    set acl_m_x = ${dlfunc{/nowhere/eximrbl.so}{rbl_record}{$sender_host_address}}",
        "    condition = ${dlfunc{/nowhere/eximrbl.so}{rbl_listed}{$sender_host_address}}",
        // One that can't be loaded, guarded.
        "    condition = ${if exists{/etc/passwd}{${dlfunc{/etc/passwd}{rbl_listed}{$sender_host_address}}}}",
        // An ACL file that is not there.
        "    acl = /etc/exim4/rbl.acl.gone",
    ];
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let good = [Session {
        client: 1,
        lines: &["HELO a", "MAIL FROM:<>", "RCPT TO:<good@example.org>", "QUIT"],
    }];
    for place in unsafe_places {
        let mut sections = Sections::of_blocks(&[]);
        sections.add(&format!("begin acl\nacl_check_rcpt:\n  warn\n{place}\n  accept\n"));
        machine.start_with(&sections.text());
        let transcript = play(&lan, &machine, &good);
        assert!(
            transcript.contains("RCPT TO:<good@example.org>\nS: 451 "),
            "{place}\n{transcript}"
        );
    }
}

#[test]
fn missing_functions_are_seen_before_the_restart() {
    let lan = Lan::new();
    let machine = Machine::new(&lan, "primary", 10);
    machine.write("/etc/exim4/exim4.conf", &Sections::of_blocks(&["wrapper"]).text());
    let check = |machine: &Machine| machine.command("exim4").arg("-bV").output().unwrap();
    assert!(check(&machine).status.success());
    std::fs::remove_file(machine.real("/etc/exim4/eximrbl.acls")).unwrap();
    let output = check(&machine);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("/etc/exim4/eximrbl.acls"), "{said}");
}

#[test]
fn nothing_is_recorded_under_bh() {
    let lan = Lan::new();
    let machine = Machine::new(&lan, "primary", 10);
    machine.write("/etc/exim4/exim4.conf", &Sections::of_blocks(&["explicit"]).text());
    machine.write("/srv/session", &[REFUSED_TWICE.lines.join("\n"), "\n".into()].concat());
    let mut command = machine.command("sh");
    command.args(["-c", "exim4 -bh 203.0.113.1 < /srv/session"]);
    let output = crate::harness::run(&mut command);
    assert!(output.contains("550 restricted characters in address"), "{output}");
    assert_eq!(machine.recorded(crate::transcript::client(1)), "0");
}
