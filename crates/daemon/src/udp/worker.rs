//! One thread's loop: a batch of queries in, a batch of responses out.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use eximrbl_datagrams::{BATCH, Batch, Queries, Responses};
use eximrbl_dns::counters::{Event, Outcome, Tally, Way};
use eximrbl_dns::{Pending, Service, caught};
use eximrbl_table::UnixSeconds;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::sync::mpsc::Sender;

use super::Declined;
use crate::served::Shared;

/// How often a thread without queries looks what is served: it must not keep a table that is no
/// longer served, a file as large as its own, from being freed.
const GLANCE: Duration = Duration::from_secs(1);
/// Queries that are read, looked up and answered together: enough for the memory to be asked for all
/// of them at once, few enough for what was read to stay in the processor's first cache.
const GROUP: usize = 16;
/// A packet that is no query (RFC 1035 section 4.1.1): shorter than a header, or marked as a response.
const HEADER: usize = 12;
const IS_RESPONSE: u8 = 0x80;

/// What one thread works with.
pub(super) struct Worker {
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    declined: Sender<Declined>,
    tally: Tally,
}

impl Worker {
    pub(super) fn new(
        socket: UdpSocket,
        shared: Arc<Shared>,
        declined: Sender<Declined>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(GLANCE))?;
        let tally = shared.counters.worker();
        Ok(Self { socket: Arc::new(socket), shared, declined, tally })
    }

    /// Serves until something is wrong with the socket.
    pub(super) fn serve(self) -> io::Error {
        let mut batch = Batch::new();
        let mut served = self.shared.cache();
        loop {
            let received = batch.receive(self.socket.as_fd());
            let service = &served.load().service;
            match received {
                Ok(()) => self.answer(&mut batch, service),
                Err(error) if is_passing(&error) => {}
                Err(error) => return error,
            }
        }
    }

    /// Answers a batch.
    fn answer(&self, batch: &mut Batch, service: &Service) {
        let now = eximrbl_table::now();
        let (queries, responses) = batch.split();
        if caught(|| self.answer_plain(queries, responses, service, now)).is_none() {
            for index in 0..queries.len() {
                responses.set_length(index, 0);
                self.decline(queries, index);
            }
        }
        let wanted = responses.count();
        let (sent, refused) = batch.send(self.socket.as_fd());
        if let Some(error) = refused {
            (sent..wanted).for_each(|_| self.tally.note(Event::Unsent));
            // A client that cannot be reached is no reason to stop; it asks again, or does not.
            tracing::debug!("{} responses not sent, the last one: {error}", wanted - sent);
        }
    }

    /// Answers the plain queries, and declines the others.
    fn answer_plain(
        &self,
        queries: &Queries,
        responses: &mut Responses,
        service: &Service,
        now: UnixSeconds,
    ) {
        // Every query is to be told of: the complete server does.
        let is_tracing = tracing::enabled!(tracing::Level::TRACE);
        let glance = service.content.table.glance();
        let count = queries.len().min(BATCH);
        for first in (0..count).step_by(GROUP) {
            let group = first..count.min(first + GROUP);
            let mut pending: [Option<Pending<'_, '_>>; GROUP] = [const { None }; GROUP];
            for (index, place) in group.clone().zip(&mut pending) {
                *place = match queries.client(index) {
                    Some(client) if !is_tracing => {
                        Pending::read(queries.packet(index), client, service, &glance)
                    }
                    _ => None,
                };
            }
            pending.iter_mut().flatten().for_each(Pending::fetch);
            for (index, query) in group.zip(&pending) {
                match query.as_ref().and_then(|query| query.answer(now, responses.buffer(index))) {
                    Some((length, outcome)) => {
                        responses.set_length(index, length);
                        self.tally.count(Way::UdpQuick, outcome);
                    }
                    None => self.decline(queries, index),
                }
            }
        }
    }

    /// Leaves a query to the complete server.
    #[cold]
    fn decline(&self, queries: &Queries, index: usize) {
        let packet = queries.packet(index);
        let is_query = packet.len() >= HEADER && packet[2] & IS_RESPONSE == 0;
        let Some(client) = queries.client(index).filter(|_| is_query) else {
            self.tally.count(Way::UdpQuick, Outcome::IGNORED);
            return;
        };
        self.tally.note(Event::Declined);
        let (packet, local) = (packet.to_vec(), queries.local(index));
        let declined = Declined { packet, client, local, socket: self.socket.clone() };
        if self.declined.try_send(declined).is_err() {
            self.tally.note(Event::Overrun);
        }
    }
}

/// Errors that concern one datagram, or a moment, but not the socket.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        // The time to look around.
        Kind::WouldBlock
            | Kind::TimedOut
            | Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::Interrupted
            | Kind::OutOfMemory
            | Kind::InvalidInput
    )
}

/// Keeps this thread, the `index`th of so many, on one processor of those that the process may use, so that its
/// caches stay warm. Where threads are fewer than processors, the kernel does better.
pub(super) fn pin(index: usize, threads: usize) {
    let processors = processors();
    let mut one = CpuSet::new();
    let Some(&processor) = processors.get(index % processors.len().max(1)) else { return };
    if threads < processors.len() {
        return;
    }
    if one.set(processor).is_ok()
        && let Err(error) = sched_setaffinity(Pid::from_raw(0), &one)
    {
        tracing::debug!("thread {index} not kept on processor {processor}: {error}");
    }
}

/// The processors that this process may use.
pub(crate) fn processors() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|&number| allowed.is_set(number).unwrap_or(false)).collect()
}
