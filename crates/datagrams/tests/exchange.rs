//! Batches over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use eximrbl_datagrams::{BATCH, Batch, Local, QUERY_MAX, RESPONSE_MAX, send_to};
use nix::sys::socket::{setsockopt, sockopt};

const PATIENCE: Duration = Duration::from_secs(30);

/// A socket on loopback that tells which address datagrams were sent to.
fn server(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    if address.contains(':') {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).unwrap();
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).unwrap();
    }
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn to(socket: &UdpSocket, ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), socket.local_addr().unwrap().port())
}

/// Answers everything that comes with its bytes in reverse, until `count` datagrams were answered.
fn reverse(socket: &UdpSocket, count: usize) -> usize {
    let (mut batch, mut done, mut largest) = (Batch::new(), 0, 0);
    while done < count {
        batch.receive(socket.as_fd()).unwrap();
        let (queries, responses) = batch.split();
        largest = largest.max(queries.len());
        for i in 0..queries.len() {
            let packet = queries.packet(i);
            let out = responses.buffer(i);
            out.iter_mut().zip(packet.iter().rev()).for_each(|(out, byte)| *out = *byte);
            responses.set_length(i, packet.len());
        }
        done += queries.len();
        let (sent, refused) = batch.send(socket.as_fd());
        assert!(refused.is_none() && sent > 0, "{refused:?}");
    }
    largest
}

/// More datagrams than one batch takes, from several clients: each gets its own answer. Caught: a
/// response that goes to another datagram's sender.
#[test]
fn everybody_gets_his_own_answer() {
    let socket = server("127.0.0.1");
    let address = to(&socket, "127.0.0.1");
    let clients: Vec<UdpSocket> = (0..5).map(|_| client("127.0.0.1")).collect();
    let texts: Vec<String> = (0..3 * BATCH).map(|i| format!("datagram {i}")).collect();
    for (i, text) in texts.iter().enumerate() {
        clients[i % clients.len()].send_to(text.as_bytes(), address).unwrap();
    }
    let largest = reverse(&socket, texts.len());
    assert_eq!(largest, BATCH, "they are taken together");
    for (i, text) in texts.iter().enumerate() {
        let mut buffer = [0; 100];
        let length = clients[i % clients.len()].recv(&mut buffer).unwrap();
        let expected: Vec<u8> = text.bytes().rev().collect();
        assert_eq!(buffer[..length], expected);
    }
}

/// Answers leave from the address that was asked. Caught: an answer from 127.0.0.1 to who asked
/// 127.0.0.9, which a connected socket never sees.
#[test]
fn answers_come_from_the_address_that_was_asked() {
    for (all, addresses) in [("0.0.0.0", &["127.0.0.1", "127.0.0.9"][..]), ("::", &["::1"])] {
        let socket = server(all);
        for asked in addresses {
            let local: IpAddr = asked.parse().unwrap();
            let client = client(if local.is_ipv4() { "127.0.0.1" } else { "::1" });
            client.connect(to(&socket, asked)).unwrap();
            client.send(b"abc").unwrap();
            reverse(&socket, 1);
            let mut buffer = [0; 100];
            assert_eq!(client.recv(&mut buffer).unwrap(), 3);
            assert_eq!(&buffer[..3], b"cba");
        }
    }
}

/// What came with a datagram is told; an answer can be sent later, by itself.
#[test]
fn an_answer_can_come_later() {
    let socket = server("0.0.0.0");
    let client = client("127.0.0.1");
    client.connect(to(&socket, "127.0.0.7")).unwrap();
    client.send(b"now").unwrap();
    let mut batch = Batch::new();
    batch.receive(socket.as_fd()).unwrap();
    let (queries, _) = batch.split();
    assert_eq!((queries.len(), queries.packet(0)), (1, &b"now"[..]));
    assert_eq!(queries.client(0), Some(client.local_addr().unwrap()));
    assert_eq!(queries.local(0), Local::V4("127.0.0.7".parse().unwrap()));
    let (client_address, local) = (queries.client(0).unwrap(), queries.local(0));
    // Without a length, nothing is sent.
    assert_eq!(batch.send(socket.as_fd()).0, 0);
    send_to(socket.as_fd(), &mut b"later".to_vec(), client_address, local).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(client.recv(&mut buffer).unwrap(), 5);
}

/// Datagrams of no bytes and of too many are received, and lengths that are too long are cut.
#[test]
fn sizes_have_bounds() {
    let socket = server("127.0.0.1");
    let client = client("127.0.0.1");
    client.connect(to(&socket, "127.0.0.1")).unwrap();
    client.send(&[]).unwrap();
    client.send(&[7; QUERY_MAX + 100]).unwrap();
    let (mut batch, mut lengths) = (Batch::new(), Vec::new());
    while lengths.len() < 2 {
        batch.receive(socket.as_fd()).unwrap();
        let (queries, responses) = batch.split();
        for i in 0..queries.len() {
            lengths.push(queries.packet(i).len());
            responses.set_length(i, usize::MAX);
        }
        assert!(batch.send(socket.as_fd()).1.is_none());
    }
    assert_eq!(lengths, [0, QUERY_MAX]);
    for _ in 0..2 {
        let mut buffer = [0; 2 * RESPONSE_MAX];
        assert_eq!(client.recv(&mut buffer).unwrap(), RESPONSE_MAX);
    }
}

/// A socket's time limit ends the wait.
#[test]
fn waiting_ends_with_the_sockets_limit() {
    let socket = server("127.0.0.1");
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let error = Batch::new().receive(socket.as_fd()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
}
