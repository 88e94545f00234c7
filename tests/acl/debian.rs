//! Debian's configuration, made by Debian's own `update-exim4.conf` after the very commands of
//! ACL.md.

use crate::document;
use crate::harness::{Daemon, Lan, Unbound, finished, run};
use crate::light::light_exim;
use crate::machine::Machine;
use crate::recording::list;
use crate::transcript::{Session, client, play, steady_log};

/// The blocks of commands that are run here.
pub const BLOCKS: [&str; 3] = ["debian-split", "debian-single", "debian-backup"];

const HELLO: &str = "EHLO client.example";
const MAIL: &str = "MAIL FROM:<sender@example.org>";

/// What a client does to Debian's standard ACLs: two rejections at RCPT, one after DATA.
const SESSIONS: [Session; 1] = [Session {
    client: 1,
    lines: &[
        HELLO,
        MAIL,
        "RCPT TO:<no/body@example.org>",
        "RCPT TO:<nobody-of-that-name@example.org>",
        "RCPT TO:<root@example.org>",
        "DATA",
        "To: not an address <",
        "",
        "text",
        ".",
        "QUIT",
    ],
}];

/// A Debian machine that is set up for mail from the internet.
fn debian(lan: &Lan, split: bool) -> Machine {
    let machine = Machine::new(lan, "debian", 10);
    for name in ["eximrbl.acls", "wrappers.acls"] {
        // The commands of ACL.md bring them.
        std::fs::remove_file(machine.real(&format!("/etc/exim4/{name}"))).unwrap();
    }
    machine.write(
        "/etc/exim4/update-exim4.conf.conf",
        &format!(
            "dc_eximconfig_configtype='internet'
dc_other_hostnames='example.org'
dc_local_interfaces=''
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='{split}'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
"
        ),
    );
    // There is no DNS here; nothing listens at this address, and that is known at once.
    machine.ask(lan.client(53));
    machine.write("/etc/exim4/conf.d/main/00_test", "DC_minimaldns = 1\n");
    machine
}

/// Runs commands of ACL.md on the machine, with the checkout as the folder; `systemctl` is left out
/// since no systemd runs in a test.
fn run_block(machine: &Machine, id: &str) {
    let commands = document::block(id).text;
    assert!(commands.contains("systemctl restart exim4"), "{commands}");
    let script = format!("systemctl() {{ :; }}\nset -e\n{commands}");
    run(machine.command("bash").args(["-c", &script]).current_dir(document::root()));
}

/// The configuration of Debian alone, and what clients see of it.
fn plain(lan: &Lan, machine: &mut Machine) -> (String, String) {
    run(&mut machine.command("update-exim4.conf"));
    machine.start();
    let replies = play(lan, machine, &SESSIONS);
    (replies, steady_log(&machine.log("reject")))
}

/// Sets a Debian machine up by the commands and compares it with itself before.
fn record_on(split: bool, id: &str) {
    let lan = Lan::new();
    let mut machine = debian(&lan, split);
    if !split {
        // The template has no place for the test's line; the file before it has.
        machine.write("/etc/exim4/exim4.conf.localmacros", "DC_minimaldns = 1\n");
    }
    let before = plain(&lan, &mut machine);
    assert_eq!(before.0.matches("S: 550").count(), 3, "{}", before.0);
    assert_eq!(machine.recorded(client(1)), "0");

    if !split {
        let _ = std::fs::remove_file(machine.real("/etc/exim4/exim4.conf.localmacros"));
    }
    run_block(&machine, id);
    if !split {
        let path = "/etc/exim4/exim4.conf.localmacros";
        machine.write(path, &(machine.read(path) + "DC_minimaldns = 1\n"));
        run(&mut machine.command("update-exim4.conf"));
    }
    machine.start();
    let replies = play(&lan, &machine, &SESSIONS);
    assert_eq!((replies, steady_log(&machine.log("reject"))), before);
    assert_eq!(machine.recorded(client(1)), "3 data,rcpt");
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", machine.exim_id())).unwrap();
    assert!(maps.contains("eximrbl.so"), "the daemon has not loaded the library:\n{maps}");
    assert_eq!(machine.log("panic"), "");

    // An Exim without dlfunc takes the same files.
    machine.mount(light_exim(), "/usr/sbin/exim4");
    machine.start();
    let replies = play(&lan, &machine, &SESSIONS);
    assert_eq!((replies, steady_log(&machine.log("reject"))), before);
    assert_eq!(machine.log("panic"), "");
    assert_eq!(machine.recorded(client(1)), "3 data,rcpt");
    machine.unmount("/usr/sbin/exim4");

    // Without library and table it is Debian's Exim again.
    std::fs::remove_file(machine.real("/usr/lib/exim4/eximrbl.so")).unwrap();
    std::fs::remove_file(machine.real("/var/lib/eximrbl/table")).unwrap();
    machine.start();
    let replies = play(&lan, &machine, &SESSIONS);
    assert_eq!((replies, steady_log(&machine.log("reject"))), before);
}

#[test]
fn split_configuration() {
    record_on(true, "debian-split");
}

#[test]
fn single_configuration() {
    record_on(false, "debian-single");
}

/// The backup's commands, on either kind of configuration.
fn refuse_on(split: bool) {
    let lan = Lan::new();
    let mut machine = debian(&lan, split);
    let list_host = lan.host("list", 53);
    let daemon = Daemon::start(&list_host, "", None);
    machine.use_table(daemon.table());
    let _resolver = Unbound::start(machine.host(), daemon.address(), None);
    machine.ask([127, 0, 0, 1].into());
    list(&machine, 7);
    run_block(&machine, "debian-backup");
    if !split {
        let path = "/etc/exim4/exim4.conf.localmacros";
        machine.write(path, &(machine.read(path) + "DC_minimaldns = 1\n"));
        run(&mut machine.command("update-exim4.conf"));
    }
    machine.start();
    let refused = play(&lan, &machine, &[Session { client: 7, lines: &[] }]);
    assert!(refused.contains("blacklisted at rbl.example.org: 203.0.113.7 is "), "{refused}");
    let line =
        "H=[203.0.113.7] rejected connection in \"connect\" ACL: blacklisted at rbl.example.org\n";
    assert!(machine.log("reject").contains(line), "{}", machine.log("reject"));
    let welcome = play(&lan, &machine, &[Session { client: 1, lines: &[HELLO, "QUIT"] }]);
    assert!(welcome.contains("S: 221 "), "{welcome}");
}

#[test]
fn backup_with_split_configuration() {
    refuse_on(true);
}

#[test]
fn backup_with_single_configuration() {
    refuse_on(false);
}

#[test]
fn debians_own_macro_marks() {
    let lan = Lan::new();
    let mut machine = debian(&lan, true);
    let list_host = lan.host("list", 53);
    let daemon = Daemon::start(&list_host, "", None);
    machine.use_table(daemon.table());
    let _resolver = Unbound::start(machine.host(), daemon.address(), None);
    machine.ask([127, 0, 0, 1].into());
    list(&machine, 7);
    // The line is the one that ACL.md gives in its text.
    let text = std::fs::read_to_string(document::root().join("ACL.md")).unwrap();
    let line = text.split('`').find(|part| part.starts_with("CHECK_RCPT_IP_DNSBLS")).unwrap();
    machine.write("/etc/exim4/conf.d/main/000_eximrbl-backup", &format!("{line}\n"));
    run(&mut machine.command("update-exim4.conf"));
    machine.start();
    let session =
        Session { client: 7, lines: &[HELLO, MAIL, "RCPT TO:<root@example.org>", "QUIT"] };
    let transcript = play(&lan, &machine, &[session]);
    assert!(transcript.contains("250 Accepted"), "{transcript}");
    let log = machine.log("main");
    assert!(
        log.contains("Warning: 203.0.113.7 is listed at rbl.example.org (127.0.0.2: "),
        "{log}"
    );
}

#[test]
fn generated_configurations_are_valid() {
    let lan = Lan::new();
    for (split, id) in [(true, "debian-split"), (false, "debian-single")] {
        let machine = debian(&lan, split);
        run_block(&machine, id);
        let output = finished(machine.command("exim4").arg("-bV"));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{id}: {said}");
        assert!(said.contains("/var/lib/exim4/config.autogenerated"), "{id}: {said}");
        let rcpt = run(machine.command("exim4").args(["-bP", "acl_smtp_rcpt"]));
        assert!(rcpt.contains("rbl"), "{id}: {rcpt}");
    }
}
