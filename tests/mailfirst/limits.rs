//! Exim's processes at the limits of open files and of memory.
//!
//! The limits are set on running processes: Exim raises those that it is started with.
//!
//! Caught: `FAIL` returned unless the table can be written; a process that ends when it can have none.

use std::process::Command;
use std::thread::{scope, sleep};

use crate::configuration::Way;
use crate::harness::{Lan, run};
use crate::running::{UNTIL_THE_NEXT_LOOK, replace_by_a_table};
use crate::server::{Circumstances, Server};
use crate::sessions::{MOMENT, SESSIONS, Session, play};
use crate::standing::assert_unaffected;
use crate::steady::Teller;
use crate::turns::among_others;

/// A client of whose process the limit is lowered at the first moment, and lifted at the second.
const LIMITED: [Session; 1] = [Session {
    client: "203.0.113.30",
    changes: true,
    lines: &[
        "EHLO client.example",
        "MAIL FROM:<sender@client.example>",
        "RCPT TO:<nobody@example.org>",
        MOMENT,
        "RCPT TO:<nobody@example.org>",
        "RCPT TO:<multi@example.org>",
        "RCPT TO:<direct@example.org>",
        MOMENT,
        "RCPT TO:<nobody@example.org>",
        "RCPT TO:<good@example.org>",
        "DATA",
        "Subject: at the limits",
        "",
        "text",
        ".",
        "QUIT",
    ],
}];

/// Sets a soft limit (`nofile`, `as`) of one of Exim's processes; without a value, none.
///
/// As Exim's user: root may do it only where it has the capability `CAP_SYS_RESOURCE`.
fn limit(process: u32, what: &str, value: Option<u64>) {
    let value = value.map_or("unlimited".to_owned(), |value| value.to_string());
    let value = if what == "nofile" && value == "unlimited" { "512".to_owned() } else { value };
    run(Command::new("setpriv")
        .args(["--reuid=Debian-exim", "--regid=Debian-exim", "--clear-groups", "prlimit"])
        .args(["--pid", &process.to_string()])
        .arg(format!("--{what}={value}:")));
}

/// The size of a process's address space in bytes.
fn address_space(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Lowers a limit of an Exim process in the middle of a session, at the moment when it has to
/// open a new table. `tells`: what its only line says.
#[track_caller]
fn compare(way: Way, what: &str, lowest: fn(u32) -> u64, tells: &str) {
    let name = format!("{way:?}, {what}");
    let lan = Lan::new();
    let mut server = Server::new(&lan, 10);
    let play_limited = |server: &mut Server, replaces: bool| {
        let mut is_first = true;
        play(&lan, server, &LIMITED, &mut |server, process| {
            if is_first {
                if replaces {
                    // Larger than the one before, whose place is free when it is tried again.
                    replace_by_a_table(server, 1 << 16);
                }
                sleep(UNTIL_THE_NEXT_LOOK);
                limit(process, what, Some(lowest(process)));
            } else {
                limit(process, what, None);
                sleep(UNTIL_THE_NEXT_LOOK);
            }
            is_first = false;
        })
    };
    server.start(&Way::Plain.text(), Circumstances::default());
    let plain = play_limited(&mut server, false);
    server.create_table(1024);
    server.start(&way.text(), Circumstances::default());
    let seen = play_limited(&mut server, true);
    assert_unaffected(&name, &seen, &plain);
    let found: Vec<&Teller> = seen.told.iter().map(|line| &line.teller).collect();
    assert_eq!(found, [&Teller::Child(LIMITED[0].client.to_owned())], "{name}: {:#?}", seen.told);
    assert!(seen.told[0].text.contains(tells), "{name}: {:?}", seen.told);
    // It heals: what came after the limit was lifted is in the new table.
    let count = crate::running::count(&server.table(), LIMITED[0].client);
    assert_eq!(count, 1, "{name}: recorded after the limit was lifted");
}

#[test]
fn open_files_run_out() {
    let _turn = among_others();
    scope(|scope| {
        for way in [Way::Functions, Way::Direct, Way::Preloaded] {
            scope.spawn(move || compare(way, "nofile", |_| 3, "Too many open files"));
        }
    });
}

#[test]
fn address_space_runs_out() {
    let _turn = among_others();
    scope(|scope| {
        for way in [Way::Functions, Way::Direct, Way::Preloaded] {
            // What Exim itself may need for these lines, and far from what a table takes.
            let lowest = |process| address_space(process) + (256 << 10);
            scope.spawn(move || compare(way, "as", lowest, "Cannot allocate memory"));
        }
    });
}

/// Steps by which the address space of Exim's children grows, in bytes: from nothing to all that
/// library and table take.
const STEP: u64 = 128 << 10;
const STEPS: u64 = 36;

#[test]
fn address_space_is_tight_from_the_start() {
    let _turn = among_others();
    // Each of the two plays under the same limit above what its daemon had. The library does not
    // always fit then; the functions of ACL.md let Exim go on without it.
    let lan = Lan::new();
    let mut servers = [Server::new(&lan, 10), Server::new(&lan, 11)];
    servers[1].create_table(1024);
    for (server, way) in servers.iter_mut().zip([Way::Plain, Way::Functions]) {
        server.start(&way.text(), Circumstances::default());
    }
    let sessions = [SESSIONS[0], SESSIONS[4], SESSIONS[9]];
    let unlimited = play(&lan, &mut servers[0], &sessions, &mut |_, _| ());
    let (mut possible, mut starved, mut without_library, mut without_table) = (0, 0, 0, 0);
    for step in 0..STEPS {
        servers[1].create_table(1024);
        let [plain, seen] = servers.each_mut().map(|server| {
            let daemon = server.exim().id();
            limit(daemon, "as", Some(address_space(daemon) + step * STEP));
            play(&lan, server, &sessions, &mut |_, _| ())
        });
        if plain.replies != unlimited.replies {
            continue;
        }
        possible += 1;
        // What the library has taken is not there any more when Exim itself needs it.
        if seen.main.contains("failed to malloc") {
            starved += 1;
            continue;
        }
        let what = format!("{} KiB above what Exim's daemon has", step * STEP / 1024);
        // Where it did not fit, Exim itself says so.
        let refused = |line: &&str| line.contains("/usr/lib/exim4/eximrbl.so");
        let own = |log: &str| {
            log.lines()
                .filter(|line| !refused(line))
                .fold(String::new(), |text, line| text + line + "\n")
        };
        let mut rest = seen.clone();
        rest.main = own(&seen.main);
        rest.panic = own(&seen.panic);
        assert_unaffected(&what, &rest, &plain);
        without_library += u32::from(seen.main != rest.main);
        without_table += u32::from(!seen.told.is_empty());
    }
    eprintln!(
        "address space in {STEPS} steps: Exim alone goes on at {possible}; with the calls, it had \
         too little at {starved}, no library at {without_library}, no table at {without_table}"
    );
    // Once below the library's size, and once below the table's, Exim needs the last few kB.
    assert!(starved <= 4, "Exim itself has too little memory at {starved} of {STEPS} steps");
    assert!(without_library > 0 && without_table > 0, "too few steps, or too wide ones");
}
