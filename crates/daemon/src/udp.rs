//! Serves UDP.
//!
//! hickory-server has a loop of its own for this, which is not used, because it
//! - answers from whatever address the kernel picks, so that on a host with several addresses a
//!   socket that is bound to all of them answers from the wrong one,
//! - answers malformed *responses* with FORMERR, so that two servers could be set upon each other,
//! - does not keep to the size that the client's OPT record gives.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use eximrbl_dns::Transport;
use eximrbl_dns::counters::Event;
use nix::cmsg_space;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
};
use tokio::io::Interest;

use crate::responder::Responder;

/// Largest query that is read. Longer ones are cut, and then answered as malformed.
const QUERY_MAX: usize = 4096;
/// The address of ours that a query was sent to, when the socket is bound to all.
#[derive(Clone, Copy)]
enum Local {
    Unknown,
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

/// Serves one socket until something is wrong with it.
pub(crate) async fn serve(socket: UdpSocket, responder: Responder) -> io::Error {
    match tokio::net::UdpSocket::from_std(socket) {
        Ok(socket) => loop {
            if let Err(error) = serve_one(&socket, &responder).await {
                return error;
            }
        },
        Err(error) => error,
    }
}

/// Reads one query and answers it.
async fn serve_one(socket: &tokio::net::UdpSocket, responder: &Responder) -> io::Result<()> {
    let mut buffer = [0; QUERY_MAX];
    let received = socket.async_io(Interest::READABLE, || receive(socket, &mut buffer)).await;
    let (length, client, local) = match received {
        Ok(Some(received)) => received,
        Ok(None) => return Ok(()),
        Err(error) if is_passing(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let response = responder.respond(&buffer[..length], client, Transport::Udp);
    let Some(response) = response else {
        return Ok(());
    };
    let sent = socket.async_io(Interest::WRITABLE, || send(socket, &response, client, local)).await;
    if let Err(error) = sent {
        // A client that cannot be reached is no reason to stop; it asks again, or does not.
        tracing::debug!("response to {client} not sent: {error}");
        responder.tally().note(Event::Unsent);
    }
    Ok(())
}

/// Reads a datagram: its length, who sent it, and where to. `None` when the sender is odd.
fn receive(
    socket: &tokio::net::UdpSocket,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, SocketAddr, Local)>> {
    let mut control = cmsg_space!(in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let mut local = Local::Unknown;
    for message in received.cmsgs().into_iter().flatten() {
        match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => local = Local::V4(info),
            ControlMessageOwned::Ipv6PacketInfo(info) => local = Local::V6(info),
            _ => {}
        }
    }
    let client = received.address.as_ref().and_then(address);
    Ok(client.map(|client| (received.bytes, client, local)))
}

/// Sends a datagram from the address that the query was sent to.
fn send(
    socket: &tokio::net::UdpSocket,
    response: &[u8],
    client: SocketAddr,
    local: Local,
) -> io::Result<()> {
    let client = SockaddrStorage::from(client);
    let parts = [IoSlice::new(response)];
    let from_v4;
    let from_v6;
    let control = match local {
        Local::Unknown => None,
        Local::V4(info) => {
            // The route decides on the interface (0), only the address is given.
            from_v4 = in_pktinfo { ipi_ifindex: 0, ..info };
            Some(ControlMessage::Ipv4PacketInfo(&from_v4))
        }
        Local::V6(info) => {
            // Link-local addresses (fe80::/10) mean nothing without their interface.
            let is_link_local =
                matches!(info.ipi6_addr.s6_addr, [0xfe, second, ..] if second & 0xc0 == 0x80);
            let ipi6_ifindex = if is_link_local { info.ipi6_ifindex } else { 0 };
            from_v6 = in6_pktinfo { ipi6_ifindex, ..info };
            Some(ControlMessage::Ipv6PacketInfo(&from_v6))
        }
    };
    sendmsg(socket.as_raw_fd(), &parts, control.as_slice(), MsgFlags::empty(), Some(&client))?;
    Ok(())
}

/// The sender's address in std's form.
fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|&v4| SocketAddr::V4(SocketAddrV4::from(v4)));
    v4.or_else(|| address.as_sockaddr_in6().map(|&v6| SocketAddr::V6(SocketAddrV6::from(v6))))
}

/// Errors that concern one datagram, or a moment, but not the socket.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::Interrupted
            | Kind::OutOfMemory
            | Kind::InvalidInput
    )
}
