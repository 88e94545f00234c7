//! The buffers of a batch, and who may use which of them when.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::address::{Control, Local, Peer};
use crate::headers::{self, Arrived, Datagram};
use crate::{BATCH, QUERY_MAX, RESPONSE_MAX};

/// Room for so many datagrams, and for a response to each. Made once, used for ever.
pub struct Batch {
    queries: Queries,
    responses: Responses,
}

/// The datagrams that were received.
pub struct Queries {
    bytes: Box<[[u8; QUERY_MAX]]>,
    peers: Box<[Peer]>,
    controls: Box<[Control]>,
    arrived: Box<[Arrived; BATCH]>,
    count: usize,
}

/// A response to each datagram that was received; without a length, none is sent.
pub struct Responses {
    bytes: Box<[[u8; RESPONSE_MAX]]>,
    lengths: [usize; BATCH],
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Makes the buffers: about 170 kB, of which quiet servers touch little.
    pub fn new() -> Self {
        Self {
            queries: Queries {
                bytes: vec![[0; QUERY_MAX]; BATCH].into(),
                peers: vec![Peer::NONE; BATCH].into(),
                controls: vec![Control::NONE; BATCH].into(),
                arrived: Box::new([Arrived { length: 0, control_length: 0 }; BATCH]),
                count: 0,
            },
            responses: Responses {
                bytes: vec![[0; RESPONSE_MAX]; BATCH].into(),
                lengths: [0; BATCH],
            },
        }
    }

    /// Waits for a datagram, as long as the socket's own time limit says (SO_RCVTIMEO of socket(7)),
    /// and takes what else has arrived. No response has a length yet.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let Queries { bytes, peers, controls, arrived, count } = &mut self.queries;
        *count = 0;
        self.responses.lengths = [0; BATCH];
        let buffers = bytes.iter_mut().zip(peers.iter_mut()).zip(controls.iter_mut());
        let datagrams = buffers.map(|((bytes, peer), control)| {
            *peer = Peer::NONE;
            *control = Control::NONE;
            Datagram { bytes, peer, control, control_length: 0 }
        });
        *count = headers::receive(socket, datagrams, arrived)?;
        Ok(())
    }

    /// The datagrams, and the buffers for their responses.
    pub fn split(&mut self) -> (&Queries, &mut Responses) {
        (&self.queries, &mut self.responses)
    }

    /// Sends the responses that have a length, waiting for room in the socket's buffer. Those that the kernel refuses are left out: how many
    /// left, and the last reason of those that did not.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> (usize, Option<io::Error>) {
        let Queries { peers, controls, arrived, count, .. } = &mut self.queries;
        let Responses { bytes, lengths } = &mut self.responses;
        let addressed = peers.iter_mut().zip(controls.iter_mut()).zip(arrived.iter());
        let responses = bytes.iter_mut().zip(lengths.iter()).zip(addressed).take(*count);
        let datagrams = responses.filter(|((_, length), _)| **length > 0).map(
            |((bytes, length), ((peer, control), arrived))| {
                let control_length;
                (*control, control_length) = Control::of(control.local(arrived.control_length));
                Datagram { bytes: &mut bytes[..*length], peer, control, control_length }
            },
        );
        headers::send(socket, datagrams, 0)
    }
}

impl Queries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What a datagram holds.
    pub fn packet(&self, index: usize) -> &[u8] {
        let length = self.arrived[index].length.min(QUERY_MAX);
        &self.bytes[index][..length]
    }

    /// Who sent it; `None` when it is neither IPv4 nor IPv6.
    pub fn client(&self, index: usize) -> Option<SocketAddr> {
        self.peers[index].address()
    }

    /// Which of our addresses it was sent to.
    pub fn local(&self, index: usize) -> Local {
        self.controls[index].local(self.arrived[index].control_length)
    }
}

impl Responses {
    /// The buffer for one response.
    pub fn buffer(&mut self, index: usize) -> &mut [u8; RESPONSE_MAX] {
        &mut self.bytes[index]
    }

    /// How many have a length.
    pub fn count(&self) -> usize {
        self.lengths.iter().filter(|&&length| length > 0).count()
    }

    /// Says how long a response is, of at most [`RESPONSE_MAX`] bytes; 0 for none.
    pub fn set_length(&mut self, index: usize, length: usize) {
        self.lengths[index] = length.min(RESPONSE_MAX);
    }
}

/// Sends one datagram from an address of ours, without waiting for room in the socket's buffer.
pub fn send_to(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    client: SocketAddr,
    local: Local,
) -> io::Result<()> {
    let mut peer = Peer::of(client);
    let (mut control, control_length) = Control::of(local);
    let datagram = Datagram { bytes, peer: &mut peer, control: &mut control, control_length };
    match headers::send(socket, std::iter::once(datagram), libc::MSG_DONTWAIT) {
        (_, Some(error)) => Err(error),
        _ => Ok(()),
    }
}
