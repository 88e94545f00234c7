//! DNS by TCP (RFC 7766): limits, time-outs, pipelining, and connections that come and go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use common::{
    Daemon, PLAIN, Place, Response, Statistics, command, control_section, framed, is_root, option,
    query, query_with_options, read_tcp, wait_until,
};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

const A: u16 = 1;
const SOA: u16 = 6;
const ANY: u16 = 255;
/// The option by which a client asks how long it may be idle (RFC 7828).
const KEEPALIVE: u16 = 11;
const TEST: &str = "2.0.0.127.rbl.example";

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon with these settings in `[dns.tcp]`.
fn daemon(place: &Place, settings: &str) -> Daemon {
    Daemon::start(place, &configuration(place, settings))
}

fn configuration(place: &Place, settings: &str) -> String {
    format!("[dns.tcp]\n{settings}\n{}{PLAIN}", control_section(place))
}

/// A connection from 127.0.0.`host`, which counts as a client of its own.
fn connect(daemon: &Daemon, host: u8) -> TcpStream {
    connect_from(daemon.address, Ipv4Addr::new(127, 0, 0, host).into())
}

fn connect_from(server: SocketAddr, client: IpAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(client, 0).into()).unwrap();
    socket.connect_timeout(&server.into(), PATIENCE).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks, and reads the answer; whether there was one.
fn is_served(stream: &mut TcpStream) -> bool {
    let mut length = [0; 2];
    let sent = stream.write_all(&framed(&query(5, TEST, A)));
    if sent.and_then(|()| stream.read_exact(&mut length)).is_err() {
        return false;
    }
    let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut response).is_ok()
}

/// Waits until the daemon has closed a connection, and has sent nothing more.
#[track_caller]
fn assert_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0; 100]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("not closed: {other:?}"),
    }
}

#[track_caller]
fn wait_for_event(place: &Place, name: &str, times: u64) {
    let count = || Statistics::of(place).event(name);
    wait_until(|| count() == times, || format!("{name}: {}, not {times}", count()));
}

/// More responses than are sent at a time, and more queries than are read at a time.
///
/// Caught: a query that was taken out of the buffer, and not answered, when enough was there to be
/// sent; responses that were sent twice.
#[test]
fn a_thousand_queries_in_one_go_are_answered_in_their_order() {
    let place = Place::new();
    let daemon = daemon(&place, "");
    let mut stream = connect(&daemon, 1);
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id, TEST, ANY))).collect();
    let mut writing = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || writing.write_all(&queries));
    for id in 0..1000 {
        assert_eq!(read_tcp(&mut stream).id(), id);
    }
    writer.join().unwrap().unwrap();
    // The client says that it is done, and so is the daemon.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_closed(&mut stream);
    assert_eq!(Statistics::of(&place).number(&["queries", "tcp"]), 1000);
}

/// A client may end its side at once, and is answered all the same (RFC 7766 section 6.2.3).
///
/// Caught: queries that are answered one for each read, so that the end comes before the second.
#[test]
fn a_client_that_has_said_all_gets_its_answers() {
    let place = Place::new();
    let daemon = daemon(&place, "");
    let mut stream = connect(&daemon, 1);
    stream.write_all(&[framed(&query(1, TEST, A)), framed(&query(2, TEST, A))].concat()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!([(); 2].map(|()| read_tcp(&mut stream).id()), [1, 2]);
    assert_closed(&mut stream);
}

/// Caught: connections that may be idle for ever; time-outs that are not counted.
#[test]
fn an_idle_connection_is_closed_and_a_query_cut_short_too() {
    let place = Place::new();
    let daemon = daemon(&place, "idle_timeout = 1\nio_timeout = 1");
    let mut never_asked = connect(&daemon, 1);
    // On a machine that is busy elsewhere, the time may be up before the query is sent.
    let mut asked = connect(&daemon, 2);
    while !is_served(&mut asked) {
        asked = connect(&daemon, 2);
    }
    let mut cut = connect(&daemon, 3);
    cut.write_all(&framed(&query(1, TEST, A))[..9]).unwrap();
    for stream in [&mut never_asked, &mut asked, &mut cut] {
        assert_closed(stream);
    }
    let ended = || Statistics::of(&place).event("tcp_timed_out");
    wait_until(|| ended() >= 3, || format!("{} timed out, not 3", ended()));
    assert!(Statistics::of(&place).event("tcp_accepted") >= 3);
}

/// RFC 7828: who asks by TCP how long the connection may be idle is told, by UDP nobody.
///
/// Caught: told in seconds; told by UDP; told to who has not asked.
#[test]
fn a_client_is_told_how_long_it_may_be_idle() {
    let place = Place::new();
    let daemon = daemon(&place, "idle_timeout = 25");
    let asking = query_with_options(TEST, A, &option(KEEPALIVE, b""));
    let told = |response: &Response| response.option(KEEPALIVE);
    let answers = daemon.exchange_tcp(&[framed(&asking), framed(&query(1, TEST, A))].concat(), 2);
    assert_eq!(told(&answers[0]).as_deref(), Some(&250_u16.to_be_bytes()[..]));
    assert_eq!(told(&answers[1]), None);
    let without = query_with_options(TEST, A, b"");
    assert_eq!(told(&daemon.exchange_tcp(&framed(&without), 1)[0]), None);
    // By both ways of UDP: the quick one leaves the zone's own records to the other.
    for (name, query_type) in [(TEST, A), ("rbl.example", SOA)] {
        let asking = query_with_options(name, query_type, &option(KEEPALIVE, b""));
        let by_udp = daemon.exchange_from("127.0.0.1", &asking);
        assert_eq!((told(&by_udp), by_udp.answers().len()), (None, 1));
    }
    place.configure(&configuration(&place, "idle_timeout = 3600"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("INFO reloaded; zones: 1");
    let answer = &daemon.exchange_tcp(&framed(&asking), 1)[0];
    assert_eq!(told(answer).as_deref(), Some(&36_000_u16.to_be_bytes()[..]));
}

/// A query whose bytes come one by one, for ever, is no query: what counts is its first byte.
///
/// Caught: a time-out that begins anew with each byte.
#[test]
fn bytes_that_trickle_in_gain_no_time() {
    let place = Place::new();
    let daemon = daemon(&place, "idle_timeout = 3600\nio_timeout = 1");
    let mut stream = connect(&daemon, 1);
    // 65535 bytes are announced, and would take 3 hours.
    let mut closed = stream.write_all(&[0xff, 0xff]).is_err();
    let started = std::time::Instant::now();
    while !closed {
        assert!(started.elapsed() < PATIENCE, "it waits for the rest");
        std::thread::sleep(Duration::from_millis(200));
        closed = stream.write_all(&[0]).is_err();
    }
    wait_for_event(&place, "tcp_timed_out", 1);
}

/// A client that sends and never reads: its responses fill all buffers, and then time runs out.
/// Meanwhile the others are served.
///
/// Caught: no time-out for writing; a client that is written to without others getting a turn.
#[test]
fn a_client_that_does_not_read_is_left_and_delays_nobody() {
    let place = Place::new();
    let daemon = daemon(&place, "idle_timeout = 3600\nio_timeout = 1");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&daemon.address.into()).unwrap();
    let mut deaf = TcpStream::from(socket);
    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
    let queries: Vec<u8> = (0..100).flat_map(|id| framed(&query(id, TEST, ANY))).collect();
    let flood = std::thread::spawn(move || {
        loop {
            if let Err(error) = deaf.write_all(&queries) {
                return error.kind();
            }
        }
    });
    let mut other = connect(&daemon, 2);
    while !flood.is_finished() {
        assert!(is_served(&mut other));
    }
    let ended = flood.join().unwrap();
    assert!(matches!(ended, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{ended:?}");
    wait_for_event(&place, "tcp_timed_out", 1);
}

/// Caught: places that are not given back; one client's share taken from all.
#[test]
fn each_client_has_its_share_of_connections() {
    let place = Place::new();
    let daemon = daemon(&place, "connections_per_client = 2\nidle_timeout = 3600");
    let mut own = [(); 2].map(|()| connect(&daemon, 1));
    assert!(own.iter_mut().all(is_served));
    assert!(!is_served(&mut connect(&daemon, 1)), "a third");
    assert!(is_served(&mut connect(&daemon, 2)), "another client");
    wait_for_event(&place, "tcp_refused", 1);
    let [first, mut second] = own;
    drop(first);
    wait_until(|| is_served(&mut connect(&daemon, 1)), || "no room came back".to_owned());
    assert!(is_served(&mut second));
}

/// Neighbours in one /64 are one client.
///
/// Caught: IPv6 clients told apart by their whole address.
#[test]
fn an_ipv6_network_of_64_bits_has_one_share() {
    if !is_root() {
        eprintln!("not run: needs root, for a network of its own");
        return;
    }
    // The network is that thread's and its children's, and goes with them.
    std::thread::spawn(one_share_of_an_ipv6_network).join().unwrap();
}

fn one_share_of_an_ipv6_network() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let setup = "ip link set lo up; for address in 2001:db8:0:1::1 2001:db8:0:1:ffff::2 \
        2001:db8:0:2::1; do ip -6 address add $address/128 dev lo nodad; done";
    assert!(Command::new("sh").args(["-ec", setup]).status().unwrap().success());
    let place = Place::new();
    let config =
        place.configure(&configuration(&place, "connections_per_client = 1\nidle_timeout = 3600"));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("127.0.0.1:0", "[::1]:0")).unwrap();
    let daemon = Daemon::run(&["--config", config.to_str().unwrap()]);
    let connect = |client: &str| connect_from(daemon.address, client.parse().unwrap());
    let mut first = connect("2001:db8:0:1::1");
    assert!(is_served(&mut first));
    assert!(!is_served(&mut connect("2001:db8:0:1:ffff::2")), "the same network");
    assert!(is_served(&mut connect("2001:db8:0:2::1")), "another network");
    assert!(is_served(&mut first));
}

/// Caught: new connections that wait until an old one ends; the connection ended that was
/// answered last.
#[test]
fn idle_connections_give_way_to_new_ones() {
    let place = Place::new();
    let daemon = daemon(&place, "connections = 4\nidle_timeout = 3600");
    let mut single = connect(&daemon, 2);
    assert!(is_served(&mut single));
    let mut many = [(); 3].map(|()| connect(&daemon, 3));
    assert!(many.iter_mut().all(is_served));
    let mut new = connect(&daemon, 4);
    assert!(is_served(&mut new));
    // Whoever has the most gives one up: the one that has waited longest.
    assert_closed(&mut many[0]);
    wait_for_event(&place, "tcp_displaced", 1);
    assert!([&mut single, &mut new].into_iter().chain(&mut many[1..]).all(is_served));
}

/// As many idle connections as all these clients may have.
///
/// Caught: no limit in all, with 100 files.
#[test]
fn hundreds_of_idle_connections_keep_nobody_out() {
    let place = Place::new();
    let config = place.configure(&configuration(&place, "idle_timeout = 3600"));
    // Fewer files than connections are allowed: some must be left for the table.
    let program = command(&[]).get_program().to_owned();
    let mut limited = Command::new("sh");
    limited.args(["-ec", "ulimit -n 100; exec \"$0\" --config \"$1\""]).arg(program).arg(&config);
    limited.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    let daemon = Daemon::run_command(limited);
    daemon.wait_for(
        "WARN dns.tcp.connections: 36 at most, since the process may open 100 files; raise \
         LimitNOFILE= of the unit (ulimit -n without systemd)",
    );
    let mut idle = Vec::new();
    for host in 10..20 {
        for _ in 0..25 {
            idle.push(connect(&daemon, host));
        }
        assert!(is_served(&mut connect(&daemon, 2)), "behind {} others", idle.len());
        assert_eq!(daemon.ask(TEST, A).addresses(), [[127, 0, 0, 2]]);
    }
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("INFO reloaded; zones: 1");
    assert!(Statistics::of(&place).event("tcp_displaced") >= 250 - 36);
}

/// Caught: limits that stay those of the start.
#[test]
fn a_reload_changes_the_limits_and_ends_no_connection() {
    let place = Place::new();
    let daemon = daemon(&place, "connections_per_client = 2\nidle_timeout = 3600");
    let mut own = [(); 2].map(|()| connect(&daemon, 1));
    assert!(own.iter_mut().all(is_served));
    place.configure(&configuration(&place, "connections_per_client = 1\nidle_timeout = 3600"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("INFO reloaded; zones: 1");
    assert!(own.iter_mut().all(is_served));
    let [first, second] = own;
    drop(first);
    // One is one too many already. (The end of the first may be noticed late.)
    assert!(!is_served(&mut connect(&daemon, 1)));
    drop(second);
    wait_until(|| is_served(&mut connect(&daemon, 1)), || "no room came back".to_owned());
}

/// What was read is answered; then the connection ends, and none is cut off by a reset.
///
/// Caught: a connection that is ended by a stop between reading and answering.
#[test]
fn a_stop_ends_connections_after_their_answers() {
    let place = Place::new();
    let mut daemon = daemon(&place, "idle_timeout = 3600");
    let mut idle = connect(&daemon, 1);
    assert!(is_served(&mut idle));
    let mut busy = connect(&daemon, 2);
    let queries: Vec<u8> = (0..20).flat_map(|id| framed(&query(id, TEST, A))).collect();
    busy.write_all(&queries).unwrap();
    assert_eq!(read_tcp(&mut busy).id(), 0);
    daemon.signal(Signal::SIGTERM);
    for id in 1..20 {
        assert_eq!(read_tcp(&mut busy).id(), id);
    }
    for stream in [&mut idle, &mut busy] {
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
    }
    assert!(daemon.ended().success());
}
