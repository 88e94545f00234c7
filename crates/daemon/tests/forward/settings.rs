//! Settings: what is wrong with them is told, and a reload changes them.

use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::common::{
    Daemon, PLAIN, Place, Statistics, command, control_section, fails, wait_until,
};
use crate::double::{Gatherer, Manner, SECRET, free, write_secret};
use crate::{forwarder, forwarding, line, record_clients, wait_for_standing};

/// Caught: a wrong secret that is told without what to do; one line for each try.
#[test]
fn a_wrong_secret_is_told_with_what_to_do_and_the_right_one_counts_at_once() {
    let place = Place::new();
    let right = "another-secret-of-the-gatherer";
    let gatherer = Gatherer::at(free(), right, None);
    let daemon = forwarder(&place, gatherer.address);
    let file = place.path("secret");
    let told = format!(
        "WARN reports are not passed on to {}: the gatherer refuses this host (secret: wrong \
         signature); {} must hold the same as the secret_file of its [[reporter]] mx1; changes \
         that wait: 0",
        gatherer.address,
        file.display()
    );
    daemon.wait_for(&told);
    record_clients(&place.table(), 0..3);
    wait_until(|| gatherer.connections() > 3, || daemon.log());
    // One a minute.
    assert!(daemon.log().matches("(secret: ").count() < 3, "{}", daemon.log());
    assert!(!daemon.log().contains(SECRET), "{}", daemon.log());
    // Without a reload.
    write_secret(&file, right);
    assert_eq!(gatherer.wait_for(3), (0..3).map(line).collect::<Vec<_>>());
}

/// Caught: a second secret that is never tried.
#[test]
fn the_staged_secret_is_tried_too() {
    let place = Place::new();
    let gatherer = Gatherer::at(free(), "the-gatherers-new-secret", None);
    let settings = forwarding(&place, gatherer.address, "");
    write_secret(&place.path("secret"), &format!("{SECRET}\nthe-gatherers-new-secret\n"));
    let _daemon = Daemon::start(&place, &settings);
    record_clients(&place.table(), 0..3);
    gatherer.wait_for(3);
    wait_for_standing(&place, "behind", 0);
    gatherer.be(Manner::Take);
    wait_for_standing(&place, "state", "idle");
    let connections = gatherer.connections();
    record_clients(&place.table(), 3..4);
    gatherer.wait_for(4);
    assert_eq!(gatherer.connections(), connections + 1, "the one that was taken is used again");
}

/// Caught: gatherers that stay when they are taken out.
#[test]
fn a_reload_starts_and_stops_gatherers() {
    let place = Place::new();
    let (first, second) = (Gatherer::new(), Gatherer::new());
    let daemon = forwarder(&place, first.address);
    let table = place.table();
    record_clients(&table, 0..1);
    first.wait_for(1);
    let reload = |to: &str, more: &str| {
        // What is not answered when a connection is closed is sent again.
        let settled = |gatherer: &serde_json::Value| gatherer["behind"] == 0;
        let all = || Statistics::of(&place).0["forward"].as_array().cloned().unwrap_or_default();
        wait_until(|| all().iter().all(settled), || format!("{:?}", all()));
        let before = daemon.log().matches("INFO reloaded").count();
        let settings = forwarding(&place, first.address, more);
        place.configure(&settings.replace(&format!("\"{}\"", first.address), to));
        daemon.signal(Signal::SIGHUP);
        wait_until(|| daemon.log().matches("INFO reloaded").count() > before, || daemon.log());
    };
    reload(&format!("\"{}\", \"{}\"", first.address, second.address), "");
    daemon.wait_for(&format!("reports are passed on to {}", second.address));
    record_clients(&table, 1..2);
    assert_eq!(first.wait_for(2), [line(0), line(1)]);
    assert_eq!(second.wait_for(1), [line(1)], "from now on");
    // Other settings, and one gatherer less.
    reload(&format!("\"{}\"", second.address), "buffer = 5\n");
    daemon.wait_for(&format!("INFO reports are not passed on to {} any more", first.address));
    record_clients(&table, 2..20);
    let expected: Vec<_> = (1..20).map(line).collect();
    assert_eq!(second.wait_for(19), expected);
    assert_eq!(first.taken().len(), 2);
    // None at all.
    place.configure(&format!("{}{PLAIN}", control_section(&place)));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for(&format!("INFO reports are not passed on to {} any more", second.address));
    // And anew: the right to connect is still there. What is said of the one before may still stand
    // for a moment; from now on counts from when the new one has begun.
    reload(&format!("\"{}\"", first.address), "");
    wait_for_standing(&place, "to", first.address.to_string());
    wait_for_standing(&place, "state", "connected");
    record_clients(&table, 20..21);
    assert_eq!(first.wait_for(3)[2], line(20));
}

/// Caught: a place that begins anew when other settings are.
#[test]
fn with_other_settings_it_goes_on_where_it_was() {
    let (place, gatherer) = (Place::new(), Gatherer::new());
    let daemon = forwarder(&place, gatherer.address);
    daemon.wait_for("INFO reports are passed on");
    gatherer.fall_silent();
    record_clients(&place.table(), 0..5);
    wait_for_standing(&place, "behind", 5);
    place.configure(&forwarding(&place, gatherer.address, "buffer = 7\n"));
    daemon.signal(Signal::SIGHUP);
    wait_until(|| gatherer.connections() > 1, || daemon.log());
    gatherer.be(Manner::Take);
    assert_eq!(gatherer.wait_for(5), (0..5).map(line).collect::<Vec<_>>());
}

/// Caught: a section that seems to be in force, while the right to connect was given up.
#[test]
fn to_begin_with_it_takes_a_restart() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &format!("{}{PLAIN}", control_section(&place)));
    let gatherer = Gatherer::new();
    place.configure(&forwarding(&place, gatherer.address, ""));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("WARN forward has changed; restart eximrbld for that");
    daemon.wait_for("INFO reloaded; zones: 1");
    assert_eq!(gatherer.connections(), 0);
}

/// Files that will not do, by `--check-config`; and a daemon that serves DNS all the same.
///
/// Caught: a check that does not look into the files; a start that fails for want of a secret.
#[test]
fn files_that_will_not_do_are_named_and_dns_is_served_without_them() {
    let place = Place::new();
    let to = free();
    let settings = forwarding(&place, to, "");
    let config = place.configure(&settings);
    let config = config.to_str().unwrap();
    let check = || fails(&["--check-config", "--config", config]);
    let secret = place.path("secret");
    let shown = secret.display();
    let good = command(&["--check-config", "--config", config]).stdout(Stdio::null()).status();
    assert!(good.unwrap().success());
    for (text, expected) in [("short\n", format!("{shown}:1: ")), ("", format!("{shown}:"))] {
        write_secret(&secret, text);
        let (status, error) = check();
        assert!(status == Some(1) && error.starts_with(&expected), "{text:?}: {error}");
    }
    write_secret(&secret, SECRET);
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (_, error) = check();
    assert!(error.contains("others may read or change it (mode 0644)"), "{error}");
    std::fs::remove_file(&secret).unwrap();
    let (_, error) = check();
    assert!(
        error.starts_with(&format!("{shown}: cannot read the secret: No such file")),
        "{error}"
    );

    let daemon = Daemon::run(&["--config", config]);
    daemon.wait_for(&format!(
        "WARN reports are not passed on to {to}: {shown}: cannot read the secret: No such file"
    ));
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", 1).addresses(), [[127, 0, 0, 2]]);
    // Once it is there, all is well.
    let gatherer = Gatherer::at(to, SECRET, None);
    write_secret(&secret, SECRET);
    record_clients(&place.table(), 0..1);
    gatherer.wait_for(1);
}

/// Ports where something else listens.
///
/// Caught: any answer taken for a refusal of a report; one without end that is read to its end.
#[test]
fn what_is_no_collector_is_told_so() {
    let place = Place::new();
    let endless = vec![b'x'; 1 << 20];
    for (greeting, told) in [
        (&b"220 mx.example ESMTP Exim\r\n"[..], "\"220 mx.example ESMTP Exim\"".to_owned()),
        (&endless, format!("\"{}\"", "x".repeat(60))),
    ] {
        let listener = TcpListener::bind(free()).unwrap();
        let address = listener.local_addr().unwrap();
        let greeting = greeting.to_vec();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The daemon may have gone by then.
            let _ = stream.write_all(&greeting);
            stream
        });
        let daemon = forwarder(&place, address);
        let problem = "is no answer of a collector; is its address and port right, and `tls`?";
        daemon.wait_for(&format!("{told} {problem}"));
        server.join().unwrap();
    }
}
