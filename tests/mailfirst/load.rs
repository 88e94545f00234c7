//! 200 SMTP sessions at a time, half of them refused, while the daemon is restarted and reloaded,
//! Exim is reloaded, and the table is resized, again and again.
//!
//! Every client knows what each reply must be: how often it was refused before is in the table,
//! and Exim says that number, as the library looks it up, at each refusal. So a count that is
//! lost, doubled, or late shows in the next session; and at the end all counts are compared.
//!
//! Ten seconds in the short form, a minute with `EXIMRBL_TORTURE=1`.
//!
//! Caught: records skipped by processes that hold a table that was replaced.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use eximrbl_table::{Counter, Table, now};

use crate::client::{Client, enter};
use crate::configuration::Way;
use crate::harness::{Daemon, Lan, ZONE, dig, query_name, tool_text, wait_until};
use crate::server::{Circumstances, Server};
use crate::turns::alone;

/// Sessions at a time.
const WORKERS: u8 = 200;

/// Clients of each worker, which come in turn: every other is refused.
const CLIENTS: u8 = 8;

/// Sizes that the table gets in turn. All are large enough that no entry has to make room.
const SIZES: [u32; 4] = [16_384, 2048, 8192, 4096];

/// How long it goes on.
fn duration() -> Duration {
    let is_long = std::env::var_os("EXIMRBL_TORTURE").is_some();
    Duration::from_secs(if is_long { 60 } else { 10 })
}

/// A client: its address, and whether it is refused.
fn client(worker: u8, number: u8) -> (IpAddr, bool) {
    ([198, 19, worker, number].into(), number % 2 == 1)
}

/// What all workers share.
struct Crowd<'a> {
    lan: &'a Lan,
    server: &'a Server,
    way: Way,
    /// Workers whose first session is open: none goes on before all are.
    arrived: AtomicU32,
    stop: AtomicBool,
    open: AtomicU32,
    most_open: AtomicU32,
    sessions: AtomicU32,
    /// Connections that were refused or reset before the greeting.
    unanswered: AtomicU32,
}

/// What the clients have seen: refusals and greetings of each.
type Experience = BTreeMap<IpAddr, (u32, u32)>;

impl<'a> Crowd<'a> {
    fn new(lan: &'a Lan, server: &'a Server, way: Way) -> Self {
        let zero = || AtomicU32::new(0);
        let (open, most_open, sessions, unanswered) = (zero(), zero(), zero(), zero());
        let arrived = zero();
        let stop = AtomicBool::new(false);
        Self { lan, server, way, arrived, stop, open, most_open, sessions, unanswered }
    }

    /// Lets the crowd come for a while, and does something meanwhile until told to stop. Gives what
    /// the clients have seen, and how many sessions there were in a second.
    fn come(&self, duration: Duration, meanwhile: impl FnOnce(&Self) + Send) -> (Experience, f64) {
        let mut all = Experience::new();
        let begin = Instant::now();
        scope(|scope| {
            let workers: Vec<_> =
                (1..=WORKERS).map(|worker| scope.spawn(move || self.work(worker))).collect();
            let meddler = scope.spawn(move || meanwhile(self));
            self.wait_for_all();
            sleep(duration);
            self.stop.store(true, Ordering::Relaxed);
            let mut panicked = meddler.join().is_err();
            for worker in workers {
                match worker.join() {
                    Ok(seen) => all.extend(seen),
                    Err(_) => panicked = true,
                }
            }
            assert!(!panicked, "see above");
        });
        let sessions = f64::from(self.sessions.load(Ordering::Relaxed));
        (all, sessions / begin.elapsed().as_secs_f64())
    }

    /// One session after the other, from the worker's clients in turn.
    fn work(&self, worker: u8) -> Experience {
        enter(self.lan.internet());
        let mut seen = Experience::new();
        let mut is_first = true;
        for number in (1..=CLIENTS).cycle() {
            if self.stop.load(Ordering::Relaxed) && !is_first {
                break;
            }
            let (address, is_refused) = client(worker, number);
            let so_far = seen.entry(address).or_default();
            let connected = self.connect(address);
            let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_open.fetch_max(open, Ordering::Relaxed);
            if is_first {
                is_first = false;
                self.arrived.fetch_add(1, Ordering::Relaxed);
                self.wait_for_all();
            }
            let times = 1 + u32::from(worker % 16);
            let before = if self.way == Way::Plain { 0 } else { so_far.0 };
            let expected = Expected { before, times: if is_refused { times } else { 0 } };
            if let Err(what) = expected.hold(connected) {
                // All may go home.
                self.stop.store(true, Ordering::Relaxed);
                let found = self.found(address);
                panic!("{address}, refused {} times before: {what}; {found}", so_far.0);
            }
            so_far.0 += expected.times;
            so_far.1 += 1;
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.sessions.fetch_add(1, Ordering::Relaxed);
        }
        seen
    }

    /// Waits until every worker's first session is open, or one has failed.
    fn wait_for_all(&self) {
        while self.arrived.load(Ordering::Relaxed) < WORKERS.into()
            && !self.stop.load(Ordering::Relaxed)
        {
            sleep(Duration::from_millis(5));
        }
    }

    /// What a process that comes anew finds of a client, to tell a lost count from a wrong answer:
    /// the session's own refusals are in it as well.
    fn found(&self, address: IpAddr) -> String {
        let Ok(table) = Table::open(&self.server.table()) else { return "no table".to_owned() };
        let entry = table.entry(table.client_network(address), now());
        format!("after it, the table has {entry:?}, {:?}", table.counters())
    }

    /// Comes again as long as nobody answers.
    fn connect(&self, address: IpAddr) -> Client {
        let target = self.server.address(address);
        for _ in 0..1000 {
            match Client::connect(address, target) {
                Ok((client, greeting)) => {
                    assert!(greeting.starts_with("220 mx.example.org ESMTP"), "{greeting}");
                    return client;
                }
                Err(_) => {
                    self.unanswered.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(50));
                }
            }
        }
        self.stop.store(true, Ordering::Relaxed);
        panic!("{address}: no greeting in 1000 tries");
    }
}

/// What a session must be like.
struct Expected {
    /// Refusals of the client before this session.
    before: u32,
    /// Refusals in it; none: its message is accepted.
    times: u32,
}

impl Expected {
    /// Holds the session; an error says what was not as expected.
    fn hold(&self, mut client: Client) -> Result<(), String> {
        let mut say = |line: &str, expected: &str| {
            let reply = client.command(line).map_err(|error| format!("{line}: {error}"))?;
            let is_expected = match expected.strip_suffix('…') {
                Some(start) => reply.starts_with(start),
                None => reply == expected,
            };
            if is_expected { Ok(()) } else { Err(format!("{line}: {reply}, not {expected}")) }
        };
        say("EHLO client.example", "250 HELP")?;
        say("MAIL FROM:<sender@client.example>", "250 OK")?;
        if self.times == 0 {
            say("RCPT TO:<good@example.org>", "250 Accepted")?;
            say("DATA", "354 Enter message, ending with \".\" on a line by itself")?;
            say("Subject: load\r\n\r\ntext\r\n.", "250 OK id=…")?;
        }
        let listed = if self.before > 0 { "yes" } else { "no" };
        let expected = format!("550 no such user here (listed: {listed}, count: {})", self.before);
        let lines = vec!["RCPT TO:<nobody@example.org>"; self.times as usize];
        let replies = client.pipeline(&lines).map_err(|error| format!("RCPT: {error}"))?;
        if let Some(reply) = replies.iter().find(|reply| **reply != expected) {
            return Err(format!("RCPT: {reply}, not {expected}"));
        }
        let reply = client.quit().map_err(|error| format!("QUIT: {error}"))?;
        if reply == "221 mx.example.org closing connection" { Ok(()) } else { Err(reply) }
    }
}

/// Nobody is served while Exim starts anew: seldom, so that there are sessions to look at.
const BETWEEN_RELOADS: Duration = Duration::from_secs(3);

/// How often each thing was done.
#[derive(Debug, Default)]
struct Done {
    daemon_stopped: u32,
    daemon_killed: u32,
    daemon_reloaded: u32,
    exim_reloaded: u32,
    resized: u32,
}

/// Does everything until told to stop, each thing at least once.
fn meddle(crowd: &Crowd<'_>, daemon: &mut Daemon) -> Done {
    let table = daemon.table();
    scope(|scope| {
        // Beside all else, so that the daemon also starts and reloads in the middle of a resize.
        let resizer = scope.spawn(|| resize_again_and_again(&table, &crowd.stop));
        let mut done = restart(crowd, daemon);
        done.resized = resizer.join().unwrap();
        done
    })
}

/// Reloads, stops and kills the daemon, and reloads Exim.
fn restart(crowd: &Crowd<'_>, daemon: &mut Daemon) -> Done {
    let server = crowd.server;
    let mut done = Done::default();
    let mut last_reload = Instant::now();
    while !crowd.stop.load(Ordering::Relaxed) || done.daemon_killed == 0 {
        daemon.process().signal("HUP");
        done.daemon_reloaded += 1;
        if last_reload.elapsed() > BETWEEN_RELOADS || done.exim_reloaded == 0 {
            last_reload = Instant::now();
            reload(server);
            done.exim_reloaded += 1;
        }
        daemon.process().stop();
        daemon.start_again(server.host(), None);
        done.daemon_stopped += 1;
        daemon.process().signal("KILL");
        wait_until("eximrbld is gone", || !daemon.process().is_running());
        daemon.start_again(server.host(), None);
        done.daemon_killed += 1;
    }
    done
}

/// Gives the table another size, and looks whether it is sound; how often.
fn resize_again_and_again(table: &Path, stop: &AtomicBool) -> u32 {
    let mut times = 0;
    for slots in SIZES.iter().cycle() {
        let said = tool_text(table, &format!("resize --slots {slots}"));
        assert!(!said.contains("had to make room"), "{said}");
        tool_text(table, "verify");
        times += 1;
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    times
}

/// Lets Exim's daemon execute itself anew, and waits until it has.
///
/// On a busy machine Exim 4.96 was seen to miss a SIGHUP: it ignores them while it starts anew, and
/// says that it has started before it listens to them again. If it takes long, it gets another.
fn reload(server: &Server) {
    let starts = || server.main_log().matches("daemon started").count();
    let (before, mut sent) = (starts(), Instant::now());
    server.exim().signal("HUP");
    wait_until("Exim has started again", || {
        if sent.elapsed() > Duration::from_secs(4) {
            sent = Instant::now();
            server.exim().signal("HUP");
        }
        starts() > before
    });
}

/// A server whose clients are in 198.19.0.0/16.
fn server(lan: &Lan) -> Server {
    let server = Server::new(lan, 10);
    lan.internet().ip("route add local 198.19.0.0/16 dev lo");
    server.host().ip("route add 198.19.0.0/16 via 198.51.100.254");
    server
}

/// Sessions in a second when nobody meddles, for comparison. What the clients have seen is in the table,
/// if the way has one.
fn rate(way: Way) -> f64 {
    let lan = Lan::new();
    let mut server = server(&lan);
    server.create_table(4096);
    server.start(&way.text_for_load(), Circumstances::default());
    let (seen, rate) = Crowd::new(&lan, &server, way).come(duration() / 8, |_| ());
    server.settle();
    let table = Table::open(&server.table()).unwrap();
    for (address, (refused, _)) in &seen {
        let entry = table.entry(table.client_network(*address), now());
        let expected = if way == Way::Plain { 0 } else { *refused };
        assert_eq!(entry.map_or(0, |entry| entry.count), expected, "{way:?}, {address}");
    }
    rate
}

#[test]
fn no_session_differs_and_no_count_is_lost() {
    let _turn = alone();
    let lan = Lan::new();
    let mut server = server(&lan);
    let mut daemon = Daemon::start(server.host(), "", None);
    server.use_folder_of(&daemon.table());
    server.start(&Way::Preloaded.text_for_load(), Circumstances::default());

    let mut done = Done::default();
    let crowd = Crowd::new(&lan, &server, Way::Preloaded);
    let (seen, rate) = crowd.come(duration(), |crowd| done = meddle(crowd, &mut daemon));
    server.settle();
    let refused: u32 = seen.values().map(|(refused, _)| refused).sum();
    let (sessions, unanswered) = (crowd.sessions.into_inner(), crowd.unanswered.into_inner());
    eprintln!(
        "{WORKERS} SMTP sessions at a time, {sessions} in all, {rate:.0}/s, {refused} refusals \
         recorded, none lost, {unanswered} connections before Exim was ready again; {done:?}"
    );
    assert_eq!(crowd.most_open.into_inner(), u32::from(WORKERS), "sessions at a time");

    // In the table, each client's count; in the counter, their sum; nobody else.
    let table = Table::open(&daemon.table()).unwrap();
    for (address, (refused, _)) in &seen {
        let entry = table.entry(table.client_network(*address), now());
        assert_eq!(entry.map_or(0, |entry| entry.count), *refused, "{address}");
    }
    let total: u32 = table.entries(now()).map(|entry| entry.count).sum();
    assert_eq!(total, refused, "the sum of all entries");
    assert_eq!(table.counters().get(Counter::Records), refused.into(), "the counter of records");
    assert_eq!(table.counters().get(Counter::Evicted), 0, "the table is large enough");

    // No process ended before it greeted: each connection that Exim took was greeted.
    let logs = server.take_logs();
    assert_eq!(logs.panic, "");
    let taken = |line: &&str| {
        line.contains("] SMTP connection from [198.19.")
            && line.contains("] (TCP/IP connection count")
    };
    let connections = logs.main.lines().filter(taken).count();
    let greeted: u32 = seen.values().map(|(_, greeted)| greeted).sum();
    assert_eq!(connections, greeted as usize, "connections that Exim took, and greetings");
    let told: Vec<&str> = logs.main.lines().filter(|line| line.contains("eximrbl:")).collect();
    assert!(told.is_empty(), "{told:#?}");

    for number in [1, 2] {
        let (address, is_refused) = client(1, number);
        let answer = dig(server.host(), daemon.address(), &query_name(address, ZONE), "A");
        assert_eq!(answer.data("A") == ["127.0.0.2"], is_refused, "{}", answer.text);
    }
}

/// Caught: calls after a process's first one that do nothing.
#[test]
fn every_way_to_call_stands_the_load() {
    let _turn = alone();
    // The figures are to be looked at; what else the machine does meanwhile is not judged.
    for way in [Way::Plain, Way::Functions, Way::Direct, Way::Preloaded] {
        eprintln!("{WORKERS} sessions at a time, {way:?}: {:.0}/s", rate(way));
    }
}
