//! Faults that come while Exim has the table open.
//!
//! Caught: the file's place is never looked at again; `DEFER` returned where the table cannot be
//! opened.

use std::path::Path;
use std::process::Command;
use std::thread::{scope, sleep};
use std::time::Duration;

use eximrbl_table::{CreateOptions, Table, WritableTable, now};

use crate::configuration::Way;
use crate::faults::{rubbish, write};
use crate::harness::{Lan, run, set_mode};
use crate::server::{Circumstances, Server};
use crate::sessions::{MOMENT, SESSIONS, Session, play};
use crate::standing::assert_unaffected;
use crate::steady::Teller;
use crate::turns::among_others;

/// A client who is there when it happens, one who is refused afterwards, and one who is not.
pub const RUNNING: [Session; 3] = [
    Session {
        client: THERE,
        changes: true,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<nobody@example.org>",
            MOMENT,
            "RCPT TO:<nobody@example.org>",
            "RCPT TO:<multi@example.org>",
            "RCPT TO:<good@example.org>",
            "DATA",
            "Subject: through it all",
            "",
            "text",
            ".",
            "QUIT",
        ],
    },
    Session {
        client: REFUSED,
        changes: true,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<direct@example.org>",
            "RCPT TO:<nobody@example.org>",
            "QUIT",
        ],
    },
    SESSIONS[0],
];

const THERE: &str = "203.0.113.20";
const REFUSED: &str = "203.0.113.21";
const ACCEPTED: &str = SESSIONS[0].client;

/// Something that happens to a table that is in use.
struct Event {
    name: &'static str,
    happens: fn(&Server),
    /// Whose processes have to tell, when children open the table.
    children: &'static [&'static str],
    /// The same when the daemon has opened it; `DAEMON` is itself.
    preloaded: &'static [&'static str],
    /// What their lines say.
    text: &'static str,
}

const DAEMON: &str = "daemon";
const EVERYBODY: &[&str] = &[THERE, REFUSED, ACCEPTED];
/// The child that was there tells, and then the daemon; later children know that it was told.
const CHILD_AND_DAEMON: &[&str] = &[THERE, DAEMON];

const EVENTS: [Event; 8] = [
    Event { name: "nothing", happens: |_| (), children: &[], preloaded: &[], text: "" },
    Event {
        name: "deleted",
        happens: |server| std::fs::remove_file(server.table()).unwrap(),
        children: EVERYBODY,
        preloaded: CHILD_AND_DAEMON,
        text: "/table: no such table",
    },
    Event {
        name: "replaced by another table",
        happens: |server| replace_by_a_table(server, 64),
        children: &[],
        preloaded: &[],
        text: "",
    },
    Event {
        name: "replaced by garbage",
        happens: |server| write(server, &rubbish(300_000)),
        children: EVERYBODY,
        preloaded: CHILD_AND_DAEMON,
        text: "/table: not a table of eximrbl",
    },
    Event {
        name: "replaced by a FIFO",
        happens: |server| {
            std::fs::remove_file(server.table()).unwrap();
            run(Command::new("mkfifo").args(["-m", "0666"]).arg(server.table()));
        },
        children: EVERYBODY,
        preloaded: CHILD_AND_DAEMON,
        text: "/table: not a regular file",
    },
    Event {
        name: "the folder closed",
        happens: |server| set_mode(server.table().parent().unwrap(), 0o700),
        children: EVERYBODY,
        preloaded: CHILD_AND_DAEMON,
        text: "/table: permission denied",
    },
    Event {
        // Whoever has it open goes on.
        name: "made read-only",
        happens: |server| set_mode(&server.table(), 0o640),
        children: &[REFUSED],
        preloaded: &[],
        text: "/table can only be read",
    },
    Event {
        name: "marked as replaced, with nothing in its place",
        happens: |server| {
            use std::os::unix::fs::FileExt;
            let file = std::fs::OpenOptions::new().write(true).open(server.table()).unwrap();
            file.write_all_at(&1_u64.to_ne_bytes(), RETIRED).unwrap();
        },
        children: EVERYBODY,
        preloaded: CHILD_AND_DAEMON,
        text: "this table has been replaced",
    },
];

/// Where the header says that another table has taken this one's place, in bytes.
const RETIRED: u64 = 16 * 8;

/// Longer than the second after which the library looks at the file's place again.
pub const UNTIL_THE_NEXT_LOOK: Duration = Duration::from_millis(1100);

/// As the daemon or the tool does it: made aside and renamed, never a moment without a table.
pub fn replace_by_a_table(server: &Server, slots: u64) {
    let aside = server.table().with_file_name("aside");
    WritableTable::create(&aside, &CreateOptions { slots, ..CreateOptions::default() }).unwrap();
    run(Command::new("chown").arg("root:Debian-exim").arg(&aside));
    std::fs::rename(aside, server.table()).unwrap();
}

/// How often a client was counted in a table.
pub fn count(table: &Path, client: &str) -> u32 {
    let table = Table::open(table).unwrap();
    let network = table.client_network(client.parse().unwrap());
    table.entry(network, now()).map_or(0, |entry| entry.count)
}

/// Lets one thing happen in the middle of a session.
#[track_caller]
fn compare(way: Way, event: &Event) {
    let what = format!("{way:?}, {}", event.name);
    let lan = Lan::new();
    let mut server = Server::new(&lan, 10);
    server.start(&Way::Plain.text(), Circumstances::default());
    let plain = play(&lan, &mut server, &RUNNING, &mut |_, _| ());

    server.create_table(1024);
    server.start(&way.text(), Circumstances::default());
    let mut before = 0;
    let seen = play(&lan, &mut server, &RUNNING, &mut |server, _| {
        before = count(&server.table(), THERE);
        (event.happens)(server);
        sleep(UNTIL_THE_NEXT_LOOK);
    });
    assert_unaffected(&what, &seen, &plain);
    assert_eq!(before, 1, "{what}: recorded before it happened");

    let expected = if way == Way::Preloaded { event.preloaded } else { event.children };
    let name = |teller: &Teller| match teller {
        Teller::Daemon => DAEMON.to_owned(),
        Teller::Child(client) => client.clone(),
    };
    let found: Vec<String> = seen.told.iter().map(|line| name(&line.teller)).collect();
    assert_eq!(found, expected, "{what}: who told\n{:#?}", seen.told);
    for line in &seen.told {
        assert!(line.text.contains(event.text), "{what}: {line:?}");
    }
    if event.name == "replaced by another table" {
        let counts = [THERE, REFUSED].map(|client| count(&server.table(), client));
        assert_eq!(counts, [2, 4], "{what}: recorded in the new table");
    }
}

/// All of them at the same time, each at a site of its own: they wait most of the time.
fn compare_all(way: Way) {
    scope(|scope| {
        for event in &EVENTS {
            scope.spawn(move || compare(way, event));
        }
    });
}

#[test]
fn functions_fail_open_while_running() {
    let _turn = among_others();
    compare_all(Way::Functions);
}

#[test]
fn direct_calls_fail_open_while_running() {
    let _turn = among_others();
    compare_all(Way::Direct);
}

#[test]
fn preloaded_calls_fail_open_while_running() {
    let _turn = among_others();
    compare_all(Way::Preloaded);
}
