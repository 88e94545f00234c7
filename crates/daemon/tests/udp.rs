//! UDP by several threads, and two ways of answering.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use common::{Daemon, PLAIN, Place, Statistics, control_section, fails, query, receive};
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};

const A: u16 = 1;
const ANY: u16 = 255;
const LISTED: &str = "2.0.0.127.rbl.example";
const PATIENCE: Duration = Duration::from_secs(30);

/// The shared configuration with so many threads; all clients may ask as often as they like.
fn start(place: &Place, workers: u16) -> Daemon {
    let path = place.configure(&format!("{}{PLAIN}", control_section(place)));
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("[dns]\n", &format!("[dns]\nworkers = {workers}\n"));
    std::fs::write(&path, text).unwrap();
    Daemon::run(&["--config", path.to_str().unwrap()])
}

fn client(daemon: &Daemon) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(daemon.address).unwrap();
    socket
}

/// Queries that only the complete way answers, and a plain one behind them all: it overtakes.
///
/// How far, depends on who is let run; so it need not happen every time, but it could never happen if
/// all were answered in turn. Caught: declined queries that are answered on the spot.
#[test]
fn odd_queries_hold_up_no_plain_one() {
    let place = Place::new();
    let daemon = start(&place, 1);
    let socket = client(&daemon);
    let odd = 100;
    let overtook = (0..50).any(|_| {
        // All are there when the daemon goes on, and the last one waits longest for what is before it.
        daemon.signal(Signal::SIGSTOP);
        (1..=odd).for_each(|id| _ = socket.send(&query(id, LISTED, ANY)).unwrap());
        socket.send(&query(0, LISTED, A)).unwrap();
        daemon.signal(Signal::SIGCONT);
        let ids: Vec<u16> =
            (0..=odd).map(|_| receive(&socket, PATIENCE).expect("an answer").id()).collect();
        let mut all = ids.clone();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..=odd), "each is answered once");
        ids.last() != Some(&0)
    });
    assert!(overtook, "the plain query is always the last to be answered");
    let statistics = Statistics::of(&place);
    assert_eq!(statistics.event("declined") % u64::from(odd), 0);
    assert!(statistics.event("declined") > 0 && statistics.event("overrun") == 0);
}

/// Clients are divided between the threads, and all are answered. Caught: a socket that nobody reads.
#[test]
fn every_thread_serves() {
    let place = Place::new();
    let daemon = start(&place, 3);
    // The kernel chooses by address and port: that three sockets share 200 ports so that one of them has none,
    // happens once in 10^35.
    for id in 0..200 {
        let socket = client(&daemon);
        socket.send(&query(id, LISTED, A)).unwrap();
        let response = receive(&socket, PATIENCE).expect("an answer");
        assert_eq!((response.id(), response.addresses()), (id, vec![[127, 0, 0, 2]]));
    }
    let workers = Statistics::of(&place).0["workers"].clone();
    let counts: Vec<u64> =
        workers.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
    assert_eq!(counts.iter().filter(|&&count| count > 0).count(), 3, "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), 200);
}

/// A port that another program would share (SO_REUSEPORT) is in use all the same. Caught: half of the
/// queries answered by a stranger, or nobody.
#[test]
fn a_port_that_another_program_would_share_is_in_use() {
    let place = Place::new();
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    setsockopt(&other.as_fd(), sockopt::ReusePort, &true).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    other.bind(&any.into()).unwrap();
    let taken = other.local_addr().unwrap().as_socket().unwrap();
    let path = place.configure(PLAIN);
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("127.0.0.1:0", &taken.to_string());
    std::fs::write(&path, text.replace("[dns]\n", "[dns]\nworkers = 2\n")).unwrap();
    let (status, log) = fails(&["--config", path.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    let expected = format!("ERROR cannot listen on {taken} (UDP): Address already in use");
    assert!(log.contains(&expected), "{log}");
}
