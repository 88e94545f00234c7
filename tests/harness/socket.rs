//! Sockets that start inside a namespace, from a chosen address.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::namespace::Namespace;

/// Connects to `target` inside `namespace`, from `source` with any port.
///
/// A socket belongs for good to the namespace it was made in, so a short-lived thread goes there
/// (a namespace is a thread's, not a process's), makes the connection and hands it back.
pub fn connect_inside(
    namespace: &Namespace,
    source: IpAddr,
    target: SocketAddr,
) -> io::Result<TcpStream> {
    let namespace = File::open(namespace.path())?;
    let worker = std::thread::spawn(move || -> io::Result<OwnedFd> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket(family, SocketType::STREAM, Some(ipproto::TCP))?;
        bind(&socket, &SocketAddr::new(source, 0))?;
        connect(&socket, &target)?;
        Ok(socket)
    });
    worker
        .join()
        .map_err(|_| io::Error::other("the connecting thread panicked"))?
        .map(TcpStream::from)
}

/// A UDP socket inside `namespace`, bound to `source` and connected to `target`.
pub fn udp_inside(
    namespace: &Namespace,
    source: SocketAddr,
    target: SocketAddr,
) -> io::Result<UdpSocket> {
    let namespace = File::open(namespace.path())?;
    let worker = std::thread::spawn(move || -> io::Result<UdpSocket> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        let socket = UdpSocket::bind(source)?;
        socket.connect(target)?;
        Ok(socket)
    });
    worker.join().map_err(|_| io::Error::other("the binding thread panicked"))?
}
