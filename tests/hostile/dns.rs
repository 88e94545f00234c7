//! Questions to the daemon, as packets made by hand.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Types of questions.
pub(crate) const A: u16 = 1;
pub(crate) const TXT: u16 = 16;
pub(crate) const SOA: u16 = 6;

/// The name under which a client is asked for.
pub(crate) fn name_of(client: &str, zone: &str) -> String {
    let labels: Vec<String> = match client.parse().unwrap() {
        std::net::IpAddr::V4(address) => address.octets().iter().rev().map(u8::to_string).collect(),
        std::net::IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev();
            nibbles.flat_map(|byte| [byte & 15, byte >> 4]).map(|n| format!("{n:x}")).collect()
        }
    };
    format!("{}.{zone}", labels.join("."))
}

/// Asks; the response code and the number of answers.
pub(crate) fn ask(server: SocketAddr, name: &str, kind: u16) -> io::Result<(u8, u16)> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend([kind.to_be_bytes(), [0, 1]].concat());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.send(&query).unwrap();
    let mut response = [0; 4096];
    let length = loop {
        match socket.recv(&mut response) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => break received?,
        }
    };
    let response = &response[..length];
    assert!(response.starts_with(&query[..2]) && response[2] & 0x80 != 0, "{response:?}");
    Ok((response[3] & 15, u16::from_be_bytes([response[6], response[7]])))
}
