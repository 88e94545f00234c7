//! Binding the sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes that the kernel keeps of queries that were not yet read: a second's worth of a busy
/// resolver while a sweep holds the other core. The kernel may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// The same for reports, of which each is a connection.
const REPORTS_BACKLOG: i32 = 4096;
/// How often a free port is looked for, when port 0 asks for one.
const PORT_TRIES: usize = 20;

/// The two sockets of one address.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// One for each thread that serves UDP.
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: TcpListener,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({protocol}): {error}{advice}")]
pub(crate) struct ListenError {
    address: SocketAddr,
    protocol: &'static str,
    error: io::Error,
    advice: &'static str,
}

/// Binds all addresses, by UDP (for so many threads) and TCP.
pub(crate) fn bind_all(
    addresses: &[SocketAddr],
    workers: usize,
) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        match bind(address, workers) {
            Ok(listener) => listeners.push(listener),
            // A host without IPv6 can still serve the default addresses.
            Err(failed) if is_missing_ipv6(&failed) && addresses.len() > 1 => {
                tracing::warn!("not listening on {address}: this host has no IPv6");
            }
            Err(failed) => return Err(failed),
        }
    }
    Ok(listeners)
}

/// Binds an address for reports by connections; tells its port.
pub(crate) fn bind_collecting_tcp(
    address: SocketAddr,
) -> Result<(SocketAddr, TcpListener), ListenError> {
    bind_tcp(address, REPORTS_BACKLOG)
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map_err(|error| failed(address, "reports, TCP", error))
}

/// Binds an address for reports by datagrams; tells its port.
pub(crate) fn bind_collecting_udp(
    address: SocketAddr,
) -> Result<(SocketAddr, UdpSocket), ListenError> {
    bind_one_udp(address, false)
        .and_then(|socket| Ok((socket.local_addr()?, socket)))
        .map_err(|error| failed(address, "reports, UDP", error))
}

/// Binds one address; with port 0, the same free port for both protocols.
fn bind(address: SocketAddr, workers: usize) -> Result<Listener, ListenError> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let (bound, udp) =
            bind_udp(address, workers).map_err(|error| failed(address, "UDP", error))?;
        match bind_tcp(bound, BACKLOG) {
            Ok(tcp) => {
                return Ok(Listener { address: bound, udp, tcp });
            }
            Err(error) if tries == 1 => return Err(failed(bound, "TCP", error)),
            Err(_) => tries -= 1,
        }
    }
}

/// Binds so many sockets to one address, and tells its port.
fn bind_udp(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<UdpSocket>)> {
    // Sockets that share a port do so with those of any program of the same user. This one, which
    // does not share, finds out whether the port is free.
    let alone = bind_one_udp(address, false)?;
    let bound = alone.local_addr()?;
    if count == 1 {
        return Ok((bound, vec![alone]));
    }
    drop(alone);
    let sockets = (0..count).map(|_| bind_one_udp(bound, true)).collect::<io::Result<_>>()?;
    Ok((bound, sockets))
}

fn bind_one_udp(address: SocketAddr, shares_port: bool) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    socket.set_reuse_port(shares_port)?;
    // Refused only where it is forbidden; then the default does.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    // A socket that is bound to all addresses must learn which one each query was sent to: the
    // answer has to come from there, or resolvers drop it.
    if address.ip().is_unspecified() {
        match address.ip() {
            IpAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            IpAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // Connections of a process that has ended do not keep the port from its successor.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // [::] is IPv6 alone, so that it can stand beside 0.0.0.0.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn failed(address: SocketAddr, protocol: &'static str, error: io::Error) -> ListenError {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program has it: see `ss -lntup`",
        io::ErrorKind::AddrNotAvailable => "; no interface of this host has that address",
        io::ErrorKind::PermissionDenied => {
            "; ports under 1024 need root or the capability CAP_NET_BIND_SERVICE"
        }
        _ => "",
    };
    ListenError { address, protocol, error, advice }
}

/// Whether the address is "all of IPv6" on a host that has none.
fn is_missing_ipv6(failed: &ListenError) -> bool {
    failed.address.is_ipv6()
        && failed.address.ip().is_unspecified()
        && failed.error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32)
}
