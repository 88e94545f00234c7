//! What arrives, and how often: across restarts on both sides, and whatever the gatherer does.

use std::collections::BTreeMap;
use std::fs;

use eximrbl_table::{Table, WritableTable, dictionary, now};
use nix::sys::signal::Signal;

use crate::common::{Place, wait_until};
use crate::double::{Gatherer, Manner, free};
use crate::{client, forwarder, line, record_by, record_clients, standing, wait_for_standing};

/// How often each line is there.
fn times(lines: &[String]) -> BTreeMap<&str, usize> {
    let mut times = BTreeMap::new();
    for line in lines {
        *times.entry(line.as_str()).or_default() += 1;
    }
    times
}

/// Caught: reports of others passed on; a standing that never counts answers.
#[test]
fn what_this_host_reports_arrives_and_what_others_do_does_not() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let daemon = forwarder(&place, gatherer.address);
    daemon.wait_for(&format!("INFO reports are passed on to {0} ({0})", gatherer.address));
    let table = place.table();
    record_by(&table, "mx2", "192.0.2.9", 1);
    record_by(&table, "local", "192.0.2.1", 3);
    record_by(&table, "collector", "2001:db8:1:2:3::4", 1);
    record_by(&table, "admin", "192.0.2.8", 1);
    record_by(&table, "rejectlog", "192.0.2.1", 1);
    let writable = WritableTable::open(&table).unwrap();
    let network = "192.0.2.1".parse().unwrap();
    writable.forgive(network, dictionary::LOCAL, now()).unwrap();
    writable.white(network, Some(60), dictionary::LOCAL, now()).unwrap();
    writable.white(network, Some(0), dictionary::LOCAL, now()).unwrap();
    let expected = [
        "black 192.0.2.1 rcpt 3",
        "black 2001:db8:1:2:: rcpt 1",
        "black 192.0.2.1 rcpt 1",
        "forgive 192.0.2.1",
        "white 192.0.2.1 60",
        "white 192.0.2.1 0",
    ];
    assert_eq!(gatherer.wait_for(expected.len()), expected);
    wait_for_standing(&place, "accepted", 6);
    wait_for_standing(&place, "behind", 0);
    let standing = standing(&place);
    assert_eq!((&standing["sent"], &standing["refused"]), (&6.into(), &0.into()));
    assert_eq!(standing["state"], "connected");
    assert_eq!(standing["to"], gatherer.address.to_string());
    assert_eq!((gatherer.taken().len(), gatherer.connections()), (6, 1));
}

/// Caught: a position that is not kept at the end; one that begins anew at each start.
#[test]
fn a_restart_loses_nothing_and_repeats_nothing() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let mut daemon = forwarder(&place, gatherer.address);
    for round in 0..3 {
        record_clients(&place.table(), round * 20..round * 20 + 10);
        gatherer.wait_for(round as usize * 20 + 10);
        wait_for_standing(&place, "behind", 0);
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.ended().success());
        assert!(place.path("table.forward").exists() && !place.path("table.forward.new").exists());
        record_clients(&place.table(), round * 20 + 10..round * 20 + 20);
        daemon = forwarder(&place, gatherer.address);
        gatherer.wait_for(round as usize * 20 + 20);
    }
    wait_for_standing(&place, "behind", 0);
    let expected: Vec<_> = (0..60).map(line).collect();
    assert_eq!(gatherer.taken(), expected);
}

/// Caught: a position that moves when a line is written, not when it is answered.
#[test]
fn what_was_not_answered_is_sent_again_after_the_forwarder_was_killed() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    gatherer.be(Manner::Drop(usize::MAX));
    let mut daemon = forwarder(&place, gatherer.address);
    record_clients(&place.table(), 0..10);
    gatherer.wait_for(10);
    wait_for_standing(&place, "behind", 10);
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    gatherer.be(Manner::Take);
    let _daemon = forwarder(&place, gatherer.address);
    gatherer.wait_for(20);
    let all: Vec<_> = (0..10).chain(0..10).map(line).collect();
    assert_eq!(gatherer.taken(), all);
}

/// Caught: unanswered lines that are dropped with their connection.
#[test]
fn connections_that_break_lose_nothing_and_repeat_no_more_than_was_unanswered() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    gatherer.be(Manner::Drop(3));
    let daemon = forwarder(&place, gatherer.address);
    record_clients(&place.table(), 0..10);
    wait_until(|| gatherer.connections() >= 3, || daemon.log());
    gatherer.be(Manner::Take);
    wait_for_standing(&place, "behind", 0);
    let taken = gatherer.taken();
    let times = times(&taken);
    assert_eq!(times.len(), 10, "{taken:?}");
    // Only the first three were ever unanswered.
    for number in 3..10 {
        assert_eq!(times[line(number).as_str()], 1, "{taken:?}");
    }
    daemon.wait_for("the gatherer closed the connection before all lines were answered");
}

/// Caught: a connection that is never tried again; changes that are not read after one.
#[test]
fn a_gatherer_that_is_away_is_caught_up_with() {
    let (place, address) = (Place::new(), free());
    let daemon = forwarder(&place, address);
    daemon.wait_for(&format!(
        "WARN reports are not passed on to {address}: {address}: Connection refused (os error \
         111); does eximrbld run there, with this port in its [collector]?; changes that wait: 0"
    ));
    record_clients(&place.table(), 0..100);
    wait_for_standing(&place, "state", "disconnected");
    assert!(standing(&place)["why"].as_str().unwrap().contains("refused"));
    let gatherer = Gatherer::at(address, crate::double::SECRET, None);
    let expected: Vec<_> = (0..100).map(line).collect();
    assert_eq!(gatherer.wait_for(100), expected);
    daemon.wait_for(&format!("INFO reports are passed on to {address}"));
    // Away once more, and back with another connection.
    gatherer.be(Manner::Close);
    record_clients(&place.table(), 100..200);
    gatherer.be(Manner::Take);
    gatherer.wait_for(200);
    wait_for_standing(&place, "behind", 0);
    assert_eq!(times(&gatherer.taken()).len(), 200);
}

/// Caught: an idle connection that was closed taken for trouble; reports that wait for ever then.
#[test]
fn an_idle_connection_may_be_closed_and_comes_back_with_the_next_report() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let daemon = forwarder(&place, gatherer.address);
    for round in 0..3 {
        record_clients(&place.table(), round..round + 1);
        gatherer.wait_for(round as usize + 1);
        wait_for_standing(&place, "behind", 0);
        // Closes what is open.
        gatherer.be(Manner::Take);
        wait_for_standing(&place, "state", "idle");
    }
    assert_eq!(gatherer.taken(), (0..3).map(line).collect::<Vec<_>>());
    assert!(!daemon.log().contains("closed the connection"), "{}", daemon.log());
}

/// Caught: lines in wait without bound; a scan that is not made; one that sends what was passed on.
#[test]
fn what_the_ring_has_lost_is_found_in_the_table() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let daemon = forwarder(&place, gatherer.address);
    let table = place.table();
    record_clients(&table, 0..1);
    gatherer.wait_for(1);
    // Entries from before are old for the scan that follows.
    settled(&place);
    record_clients(&table, 1..2);
    gatherer.wait_for(2);
    settled(&place);

    daemon.stop();
    record_clients(&table, 2..302);
    record_clients(&table, 2..12);
    record_by(&table, "local", &client(0), 5);
    // Others' changes drive them out.
    record_others(&table, 66_000);
    daemon.signal(Signal::SIGCONT);
    let taken = gatherer.wait_for(2 + 301);
    wait_for_standing(&place, "behind", 0);
    daemon.wait_for("changes were overwritten before they were read");
    assert_eq!(gatherer.taken(), taken);
    let found: BTreeMap<_, _> = taken[2..]
        .iter()
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            (words[1], (words[3], words.len()))
        })
        .collect();
    // Made while it was away: the whole count, with the life that is left.
    assert_eq!(found[client(2).as_str()], ("2", 5));
    assert_eq!(found[client(301).as_str()], ("1", 5));
    assert_eq!(found[client(0).as_str()], ("1", 4), "how many of it are new is not known");
    assert!(!found.contains_key(client(1).as_str()), "nothing new");
    assert!(!found.contains_key("192.0.2.77"), "another's");
    assert_eq!(found.len(), 301);
}

/// Records rejections by another host.
fn record_others(table: &std::path::Path, number: u32) {
    let table = WritableTable::open(table).unwrap();
    let reporter = table.reporter(eximrbl_table::Name::new(b"mx2").unwrap()).unwrap();
    let network = "192.0.2.77".parse().unwrap();
    let report =
        eximrbl_table::Report { network, reason: 1, reporter, weight: Some(1), seconds: Some(1) };
    for _ in 0..number {
        table.record(&report, now()).unwrap();
    }
}

/// Caught: a refusal for now taken as final; one for good repeated; lines out of their order.
#[test]
fn refusals_for_now_are_repeated_and_others_counted() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    gatherer.be(Manner::Quota(5));
    let daemon = forwarder(&place, gatherer.address);
    record_clients(&place.table(), 0..12);
    gatherer.wait_for(12);
    daemon.wait_for(&format!(
        "WARN {} takes no more reports for now (quota: later); see `rate` of this \
         host's [[reporter]] there; changes that wait: ",
        gatherer.address
    ));
    wait_for_standing(&place, "behind", 0);
    let taken = gatherer.taken();
    assert!(times(&taken).values().all(|times| *times == 1) && taken.len() == 12, "{taken:?}");
    assert!(!gatherer.refused().is_empty());
    assert_eq!(standing(&place)["refused"], 0);

    gatherer.be(Manner::Refuse("error not-allowed: this reporter may not \"black\"".to_owned()));
    record_clients(&place.table(), 100..103);
    wait_for_standing(&place, "refused", 3);
    daemon.wait_for("refused a report for good (not-allowed: this reporter may not \"black\");");
    gatherer.be(Manner::Take);
    record_clients(&place.table(), 200..201);
    assert_eq!(gatherer.wait_for(13)[12], line(200));
    assert_eq!(daemon.log().matches("for good").count(), 1, "{}", daemon.log());
}

/// Caught: a file that cannot be read taken for the end; one that is never written again.
#[test]
fn a_position_that_cannot_be_read_is_told_and_begins_anew() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let mut daemon = forwarder(&place, gatherer.address);
    record_clients(&place.table(), 0..1);
    gatherer.wait_for(1);
    daemon.signal(Signal::SIGTERM);
    daemon.ended();
    let file = place.path("table.forward");
    fs::write(&file, "{").unwrap();
    let daemon = forwarder(&place, gatherer.address);
    daemon.wait_for(&format!("WARN {}: cannot be read: ", file.display()));
    record_clients(&place.table(), 1..2);
    assert_eq!(gatherer.wait_for(2), [line(0), line(1)]);
    wait_until(
        || fs::read_to_string(&file).is_ok_and(|text| text.contains("\"gatherers\":{\"127.")),
        || fs::read_to_string(&file).unwrap(),
    );
}

/// A table of another size, and quite another table.
///
/// Caught: changes of the new table that are not followed; the old table's place taken in it.
#[test]
fn another_table_is_followed_too() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let daemon = forwarder(&place, gatherer.address);
    let table = place.table();
    let has = |number| {
        gatherer.taken().iter().any(|line| line.split(' ').nth(1) == Some(&client(number)))
    };
    record_clients(&table, 0..5);
    gatherer.wait_for(5);
    settled(&place);
    WritableTable::open(&table).unwrap().resize(8192).unwrap();
    record_clients(&table, 5..10);
    daemon.wait_for("was resized to");
    wait_until(|| (5..10).all(has), || format!("{:?}", gatherer.taken()));
    settled(&place);
    fs::remove_file(&table).unwrap();
    daemon.wait_for("was gone; made an empty one");
    daemon.wait_for("the table is another one");
    record_clients(&table, 10..15);
    wait_until(|| (10..15).all(has), || format!("{:?}", gatherer.taken()));
    let taken = gatherer.taken();
    // Numbers of changes leave a gap at a resize, and the table is looked through: what came while it
    // was may be there twice. What was passed on long before is not.
    let times = times(&taken);
    assert!((0..5).all(|number| times[line(number).as_str()] == 1), "{taken:?}");
    assert!(taken[5..].iter().all(|line| !line.contains(" 198.18.0.0 ")), "{taken:?}");
}

/// Waits until all is passed on, in an earlier second than the last change that was looked at.
fn settled(place: &Place) {
    wait_for_standing(place, "behind", 0);
    let passed = now();
    wait_until(|| now() > passed + 1, || "the clock stands still".to_owned());
    record_others(&place.table(), 1);
    let serial = Table::open(&place.table()).unwrap().serial();
    let kept = || fs::read_to_string(place.path("table.forward")).unwrap();
    // Further on when the change's entry has run out meanwhile, which is a change as well.
    let next = || {
        let kept: serde_json::Value = serde_json::from_str(&kept()).unwrap();
        let mut places = kept["gatherers"].as_object().unwrap().values();
        places.next().and_then(|place| place["next"].as_u64())
    };
    wait_until(|| next() >= Some(serial), || format!("not up to {serial}: {}", kept()));
}

/// A gatherer that answers nothing: no more than `buffer` lines are written, memory stays as it is,
/// and DNS is served.
///
/// Caught: lines taken from the table without end.
#[test]
fn a_gatherer_that_hangs_takes_no_memory_and_is_left_at_the_end() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let more = "buffer = 50\n";
    let settings = crate::forwarding(&place, gatherer.address, more);
    let mut daemon = crate::common::Daemon::start(&place, &settings);
    daemon.wait_for("INFO reports are passed on");
    gatherer.fall_silent();
    let table = place.table();
    record_clients(&table, 0..1000);
    wait_for_standing(&place, "behind", 1000);
    let anonymous = || {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = anonymous();
    for _ in 1..60 {
        record_clients(&table, 0..1000);
    }
    wait_for_standing(&place, "behind", 60_000);
    // As many again for each connection: one that hangs is left after half a minute.
    let sent = standing(&place)["sent"].as_u64().unwrap();
    let connections = gatherer.connections() as u64;
    assert!(sent > 0 && sent <= 50 * connections, "{sent} by {connections} connections");
    let grown = anonymous().saturating_sub(before);
    assert!(grown < 4096, "{grown} kB more for 59,000 changes");
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", 1).addresses(), [[127, 0, 0, 2]]);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().success());
}

/// Caught: an answer that is waited for without end; lines that are dropped then.
#[test]
fn a_gatherer_that_answers_nothing_is_left_after_half_a_minute() {
    if std::env::var_os("EXIMRBL_TORTURE").is_none() {
        eprintln!("not run: takes half a minute; set EXIMRBL_TORTURE=1");
        return;
    }
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let daemon = forwarder(&place, gatherer.address);
    daemon.wait_for("INFO reports are passed on");
    gatherer.fall_silent();
    record_clients(&place.table(), 0..3);
    std::thread::sleep(std::time::Duration::from_secs(29));
    daemon.wait_for("no answer for 30 s; does eximrbld work there?; changes that wait: 3");
    gatherer.be(Manner::Take);
    assert_eq!(gatherer.wait_for(3), (0..3).map(line).collect::<Vec<_>>());
}

/// Caught: an address in brackets that is no host.
#[test]
fn a_gatherer_may_have_an_ipv6_address() {
    let place = Place::new();
    let gatherer = Gatherer::at("[::1]:0".parse().unwrap(), crate::double::SECRET, None);
    let _daemon = forwarder(&place, gatherer.address);
    record_clients(&place.table(), 0..1);
    assert_eq!(gatherer.wait_for(1), [line(0)]);
}
