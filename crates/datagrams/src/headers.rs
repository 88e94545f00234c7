//! The two system calls, and the structures that they take.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::BATCH;
use crate::address::{Control, Peer};

/// One datagram on its way: its bytes, whom it comes from or goes to, and the control message.
pub(crate) struct Datagram<'b> {
    pub(crate) bytes: &'b mut [u8],
    pub(crate) peer: &'b mut Peer,
    pub(crate) control: &'b mut Control,
    /// Bytes of the control message that count, when it is sent.
    pub(crate) control_length: usize,
}

/// What the kernel said of a datagram that it received.
#[derive(Clone, Copy)]
pub(crate) struct Arrived {
    pub(crate) length: usize,
    pub(crate) control_length: usize,
}

/// Receives up to [`BATCH`] datagrams: waits for the first, and takes what else there is. How many
/// came, and what was said of each.
pub(crate) fn receive<'b>(
    socket: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = Datagram<'b>>,
    arrived: &mut [Arrived; BATCH],
) -> io::Result<usize> {
    let mut call = Call::new();
    call.fill(datagrams, true);
    #[allow(unsafe_code)]
    // SAFETY: the first `count` headers point to buffers of the lengths given, all distinct and
    // borrowed for writing until this function ends (see `fill`).
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            call.headers.as_mut_ptr(),
            call.count as libc::c_uint,
            libc::MSG_WAITFORONE,
            std::ptr::null_mut(),
        )
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    for (arrived, header) in arrived.iter_mut().zip(&call.headers[..count.min(call.count)]) {
        let control_length = header.msg_hdr.msg_controllen;
        *arrived = Arrived { length: header.msg_len as usize, control_length };
    }
    Ok(count)
}

/// Sends datagrams, at most [`BATCH`]. Those that the kernel refuses, each for a reason of its own,
/// are left out; how many left, and the last reason of those that did not.
pub(crate) fn send<'b>(
    socket: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = Datagram<'b>>,
    flags: libc::c_int,
) -> (usize, Option<io::Error>) {
    let mut call = Call::new();
    call.fill(datagrams, false);
    let (mut next, mut left, mut refused) = (0, 0, None);
    while next < call.count {
        let rest = &mut call.headers[next..call.count];
        #[allow(unsafe_code)]
        // SAFETY: these headers point to buffers of the lengths given, borrowed until this function
        // ends (see `fill`); the kernel only reads them.
        let count = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, flags)
        };
        match usize::try_from(count) {
            Ok(count) if count > 0 => {
                next += count;
                left += count;
            }
            // The first of the rest: the kernel tells its error only when nothing went before it.
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    next += 1;
                    refused = Some(error);
                }
            }
        }
    }
    (left, refused)
}

/// The structures of one call. They point to each other, so they stay where they are filled.
struct Call<'b> {
    headers: [libc::mmsghdr; BATCH],
    parts: [libc::iovec; BATCH],
    count: usize,
    buffers: std::marker::PhantomData<&'b mut [u8]>,
}

impl<'b> Call<'b> {
    fn new() -> Self {
        const PART: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        #[allow(unsafe_code)]
        // SAFETY: a header of zeros is one of null pointers and lengths of 0.
        const HEADER: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            headers: [HEADER; BATCH],
            parts: [PART; BATCH],
            count: 0,
            buffers: std::marker::PhantomData,
        }
    }

    /// Points the headers to the datagrams' buffers. They are borrowed as long as `self` lives, and
    /// the caller does not move `self` between this and the call.
    fn fill(&mut self, datagrams: impl Iterator<Item = Datagram<'b>>, receives: bool) {
        self.count = 0;
        let places = self.headers.iter_mut().zip(&mut self.parts);
        for ((header, part), datagram) in places.zip(datagrams) {
            let Datagram { bytes, peer, control, control_length } = datagram;
            let name_length = if receives { size_of::<Peer>() } else { peer.length() };
            let control_length = if receives { size_of::<Control>() } else { control_length };
            *part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            let header = &mut header.msg_hdr;
            header.msg_name = std::ptr::from_mut(peer).cast();
            header.msg_namelen = name_length as libc::socklen_t;
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = std::ptr::from_mut(control).cast();
            header.msg_controllen = control_length;
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    /// One datagram that the kernel refuses does not keep the others back: IPv6 through an IPv4
    /// socket. Caught: a loop that ends, or never ends, at the first error.
    #[test]
    fn a_refused_datagram_leaves_the_others() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let theirs = "[2001:db8::1]:53".parse().unwrap();
        for order in [[false, true, true], [true, false, true], [true, true, false], [false; 3]] {
            let mut bytes = [[1], [2], [3]];
            let address = |good| if good { ours.local_addr().unwrap() } else { theirs };
            let mut peers = order.map(|good| Peer::of(address(good)));
            let mut controls = [Control::NONE; 3];
            let buffers = bytes.iter_mut().zip(&mut peers).zip(&mut controls);
            let datagrams = buffers.map(|((bytes, peer), control)| Datagram {
                bytes,
                peer,
                control,
                control_length: 0,
            });
            let (left, refused) = send(socket.as_fd(), datagrams, 0);
            assert!(refused.is_some());
            let sent: Vec<u8> =
                (1..).zip(order).filter(|(_, good)| *good).map(|(i, _)| i).collect();
            assert_eq!(left, sent.len());
            for expected in sent {
                let mut buffer = [0; 9];
                assert_eq!(ours.recv(&mut buffer).unwrap(), 1);
                assert_eq!(buffer[0], expected);
            }
        }
    }
}
