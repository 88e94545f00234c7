//! Many datagrams with one system call: `recvmmsg` and `sendmmsg`.
//!
//! The only place here that hands memory to the kernel. A [`Batch`] owns all that the calls read
//! and write; the lists of pointers that they want are made anew before each call, so that no
//! pointer outlives a borrow.
#![allow(unsafe_code)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use libc::{c_int, c_uint, iovec, mmsghdr, sockaddr_storage, socklen_t};

/// Room for one datagram. Longer ones are cut, which the check of answers finds.
const SIZE: usize = 1232;

/// Room for a fixed number of datagrams.
pub(crate) struct Batch {
    bytes: Vec<[u8; SIZE]>,
    lengths: Vec<usize>,
    /// Where each came from, for a socket that is not connected.
    peers: Vec<sockaddr_storage>,
    vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

impl Batch {
    /// Room for `capacity` datagrams.
    pub(crate) fn new(capacity: usize) -> Self {
        // SAFETY: plain data of the C interface, for which all zeroes is a value: null pointers
        // with lengths of zero, and an address of no family.
        let (vector, header, peer) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            bytes: vec![[0; SIZE]; capacity],
            lengths: vec![0; capacity],
            peers: vec![peer; capacity],
            vectors: vec![vector; capacity],
            headers: vec![header; capacity],
        }
    }

    /// Datagrams it has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The datagram at this place, as long as it was received or put.
    pub(crate) fn get(&self, place: usize) -> &[u8] {
        &self.bytes[place][..self.lengths[place]]
    }

    /// Puts a datagram to send at this place; the bytes can then be changed.
    pub(crate) fn put(&mut self, place: usize, datagram: &[u8]) -> &mut [u8] {
        let bytes = &mut self.bytes[place][..datagram.len()];
        bytes.copy_from_slice(datagram);
        self.lengths[place] = datagram.len();
        bytes
    }

    /// Receives as many as there are and room is for. `wait`: sleeps until there is one at least.
    /// None is no error.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, wait: bool) -> io::Result<usize> {
        self.lengths.fill(SIZE);
        self.point(self.capacity(), true);
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        let count = self.headers.len() as c_uint;
        // SAFETY: `point` has just made the headers point into vectors that this value owns and
        // that nothing else borrows until the call is over, with their true lengths. No time-out.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                flags as _,
                std::ptr::null_mut(),
            )
        };
        let received = count_of(received)?;
        for (length, header) in self.lengths.iter_mut().zip(&self.headers[..received]) {
            *length = header.msg_len as usize;
        }
        Ok(received)
    }

    /// Sends the first `count` datagrams to the socket's peer; gives how many the kernel took.
    pub(crate) fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        self.point(count, false);
        self.send_pointed(socket, count)
    }

    /// Sends the first `count` datagrams back to where they were received from.
    pub(crate) fn send_back(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        self.point(count, true);
        self.send_pointed(socket, count)
    }

    fn send_pointed(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        debug_assert!(count <= self.capacity());
        let (descriptor, headers) = (socket.as_raw_fd(), self.headers.as_mut_ptr());
        // SAFETY: as in `receive`; `count` headers were made to point at what is owned here.
        count_of(unsafe { libc::sendmmsg(descriptor, headers, count as c_uint, 0) })
    }

    /// Makes the first `count` headers point at the datagrams, and at the peers' addresses.
    fn point(&mut self, count: usize, with_peers: bool) {
        let places = self.bytes.iter_mut().zip(&self.lengths).zip(&mut self.peers);
        let lists = self.vectors.iter_mut().zip(&mut self.headers);
        for (((bytes, length), peer), (vector, header)) in places.zip(lists).take(count) {
            *vector = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: *length };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if with_peers {
                header.msg_hdr.msg_name = std::ptr::from_mut(peer).cast();
                header.msg_hdr.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
            } else {
                header.msg_hdr.msg_name = std::ptr::null_mut();
                header.msg_hdr.msg_namelen = 0;
            }
        }
    }
}

/// The calls' result. That there is nothing, or no room, now is zero; so is a peer that does not
/// listen (any more), which the kernel tells a connected socket at its next call.
fn count_of(result: c_int) -> io::Result<usize> {
    if let Ok(count) = usize::try_from(result) {
        return Ok(count);
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock
        | io::ErrorKind::Interrupted
        | io::ErrorKind::ConnectionRefused => Ok(0),
        _ => Err(error),
    }
}
