//! OPT records and their options (RFC 6891), made and read by hand; and queries from any address of
//! loopback.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use super::{Daemon, Response, query};

pub(crate) const NSID: u16 = 3;
pub(crate) const COOKIE: u16 = 10;
pub(crate) const EXTENDED_ERROR: u16 = 15;

/// How long a response that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// An OPT record: payload size, version, flags, and options.
pub(crate) fn opt_with(payload: u16, version: u8, flags: u16, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 41];
    bytes.extend(payload.to_be_bytes());
    bytes.extend([0, version]);
    bytes.extend(flags.to_be_bytes());
    bytes.extend((options.len() as u16).to_be_bytes());
    bytes.extend(options);
    bytes
}

/// One option.
pub(crate) fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

/// A query with an OPT record of 1232 bytes that has these options.
pub(crate) fn query_with_options(name: &str, query_type: u16, options: &[u8]) -> Vec<u8> {
    let mut packet = query(9, name, query_type);
    packet[11] = 1;
    packet.extend(opt_with(1232, 0, 0, options));
    packet
}

/// A query with a cookie.
pub(crate) fn query_with_cookie(name: &str, query_type: u16, cookie: &[u8]) -> Vec<u8> {
    query_with_options(name, query_type, &option(COOKIE, cookie))
}

impl Response {
    /// The options of the OPT record; `None` without one.
    pub(crate) fn options(&self) -> Option<Vec<(u16, Vec<u8>)>> {
        let data = self.opt()?.data;
        let mut rest = &data[..];
        let mut options = Vec::new();
        while let [c0, c1, l0, l1, more @ ..] = rest {
            let (value, after) = more.split_at(usize::from(u16::from_be_bytes([*l0, *l1])));
            options.push((u16::from_be_bytes([*c0, *c1]), value.to_vec()));
            rest = after;
        }
        assert!(rest.is_empty(), "half an option: {data:?}");
        Some(options)
    }

    /// The data of the only option with this code.
    pub(crate) fn option(&self, code: u16) -> Option<Vec<u8>> {
        let options = self.options()?.into_iter().filter(|(found, _)| *found == code);
        let mut values: Vec<_> = options.map(|(_, value)| value).collect();
        assert!(values.len() <= 1, "option {code} is there {} times", values.len());
        values.pop()
    }

    /// The extended error (RFC 8914), if there is one.
    pub(crate) fn extended_error(&self) -> Option<u16> {
        let data = self.option(EXTENDED_ERROR)?;
        Some(u16::from_be_bytes([data[0], data[1]]))
    }
}

impl Daemon {
    /// Asks by UDP from an address; a response must come.
    pub(crate) fn exchange_from(&self, client: &str, packet: &[u8]) -> Response {
        let socket = self.socket(client);
        socket.send(packet).unwrap();
        receive_patiently(&socket)
    }

    /// A socket of an address, to talk to the daemon by.
    pub(crate) fn socket(&self, client: &str) -> UdpSocket {
        let client: IpAddr = client.parse().unwrap();
        let socket = UdpSocket::bind((client, 0)).unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Asks with a cookie until there is an answer to say what it is worth; the server's cookie.
    pub(crate) fn cookie_for(&self, client: &str, own: &[u8; 8]) -> Vec<u8> {
        let packet = query_with_cookie("2.0.0.127.rbl.example", 1, own);
        let cookie = self.exchange_from(client, &packet).option(COOKIE).unwrap();
        assert_eq!((cookie.len(), &cookie[..8]), (24, &own[..]));
        cookie
    }
}

/// The next response; one must come.
pub(crate) fn receive_patiently(socket: &UdpSocket) -> Response {
    let mut buffer = [0; 65_535];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => return Response::new(&buffer[..length]),
            // Whoever stops and continues this process interrupts a receive with a time limit.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("no response: {error}"),
        }
    }
}
