//! As many queries as the server can take: a fixed number under way at any time, over several
//! sockets, sent and received in batches.
//!
//! The loop never sleeps. The generator is meant to have a processor of its own, and to be the
//! faster one: whether it was shows in the server's use of its processor.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::batch::Batch;
use crate::query::Queries;

/// Sockets, each from an address of its own.
pub(crate) const SOCKETS: usize = 8;
/// Queries under way on each socket. All together they are a little fewer than what a server's
/// socket has room for by Linux's default, 277 of these packets: so nothing is lost for want of
/// room, and a server that takes batches always finds full ones.
pub(crate) const WINDOW: usize = 32;
/// A query that is not answered for so many times as long as others lately took is lost, and
/// another takes its place.
const LOST_AFTER: u32 = 8;
/// No query is lost before this.
const LEAST_PATIENCE: Duration = Duration::from_millis(20);
/// How long answers are thought to take before there are any.
const FIRST_PATIENCE: Duration = Duration::from_millis(50);
/// One of so many answers is looked at closely.
const CLOSELY: u64 = 64;
/// Between two looks at the sockets, so that answers come in batches.
const PAUSE: Duration = Duration::from_micros(50);

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    /// Right answers.
    pub(crate) right: u64,
    /// Of these, how many said that the address is listed.
    pub(crate) listed: u64,
    /// Wrong ones, and what nobody asked for.
    pub(crate) wrong: u64,
    /// Queries without an answer.
    pub(crate) lost: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// Addresses to ask from: of networks of their own, as busy resolvers are.
pub(crate) fn client(number: usize) -> IpAddr {
    IpAddr::from([198, 19, number as u8, 53])
}

/// Asks `server` for so long.
pub(crate) fn run(server: SocketAddr, queries: &Queries, time: Duration) -> Result<Answers> {
    let answers = run_until(server, queries, |answers| answers.seconds >= time.as_secs_f64())?;
    ensure!(answers.right > 0, "{server} answered nothing");
    Ok(answers)
}

/// Asks `server` for so long, whatever it answers: fills caches, its own and the processor's.
pub(crate) fn warm_up(server: SocketAddr, queries: &Queries, time: Duration) -> Result<()> {
    run_until(server, queries, |answers| answers.seconds >= time.as_secs_f64())?;
    Ok(())
}

/// Asks `server` until it is enough.
fn run_until(
    server: SocketAddr,
    queries: &Queries,
    is_enough: impl Fn(&Answers) -> bool,
) -> Result<Answers> {
    let mut sockets = Vec::new();
    for number in 0..SOCKETS {
        let from = if server.ip().is_loopback() { server.ip() } else { client(number) };
        sockets.push(Client::new(from, server)?);
    }
    let mut next = 0;
    let mut answers = Answers::default();
    let start = Instant::now();
    let mut now = start;
    while !is_enough(&answers) {
        for socket in &mut sockets {
            socket.receive(queries, now, &mut answers)?;
            socket.refill(queries, &mut next, now, &mut answers)?;
        }
        let resumed = now + PAUSE;
        now = Instant::now();
        while now < resumed {
            std::hint::spin_loop();
            now = Instant::now();
        }
        answers.seconds = (now - start).as_secs_f64();
    }
    Ok(answers)
}

/// One socket and its queries under way.
struct Client {
    socket: UdpSocket,
    slots: Vec<Slot>,
    free: Vec<usize>,
    incoming: Batch,
    outgoing: Batch,
    answered: u64,
    /// How long answers take lately.
    usual: Duration,
}

/// A place for a query under way. Its identifier is the place's number and, above it, a count of
/// its uses, so that a late answer to a lost query is not taken for another's.
#[derive(Clone, Copy)]
struct Slot {
    query: usize,
    sent: Instant,
    uses: u16,
    is_waiting: bool,
}

impl Slot {
    fn identifier(self, place: usize) -> u16 {
        self.uses.wrapping_mul(WINDOW as u16) | place as u16
    }
}

impl Client {
    fn new(from: IpAddr, server: SocketAddr) -> Result<Self> {
        let socket =
            UdpSocket::bind((from, 0)).with_context(|| format!("cannot send from {from}"))?;
        socket.connect(server)?;
        let slot = Slot { query: 0, sent: Instant::now(), uses: 0, is_waiting: false };
        Ok(Self {
            socket,
            slots: vec![slot; WINDOW],
            free: (0..WINDOW).collect(),
            incoming: Batch::new(WINDOW),
            outgoing: Batch::new(WINDOW),
            answered: 0,
            usual: FIRST_PATIENCE,
        })
    }

    /// Takes the answers that are there.
    fn receive(&mut self, queries: &Queries, now: Instant, answers: &mut Answers) -> Result<()> {
        let count = self.incoming.receive(&self.socket, false).context("cannot receive")?;
        for answer in (0..count).map(|place| self.incoming.get(place)) {
            let &[high, low, ..] = answer else {
                answers.wrong += 1;
                continue;
            };
            let identifier = u16::from_be_bytes([high, low]);
            let place = usize::from(identifier) % WINDOW;
            let slot = &mut self.slots[place];
            if !slot.is_waiting || slot.identifier(place) != identifier {
                // The late answer to a query that was taken for lost.
                continue;
            }
            slot.is_waiting = false;
            self.free.push(place);
            self.usual = (7 * self.usual + now.saturating_duration_since(slot.sent)) / 8;
            self.answered += 1;
            if queries.is_right(slot.query, answer, self.answered.is_multiple_of(CLOSELY)) {
                answers.right += 1;
                answers.listed += u64::from(queries.is_listed(slot.query));
            } else {
                answers.wrong += 1;
            }
        }
        Ok(())
    }

    /// Sends as many queries as places are free.
    fn refill(
        &mut self,
        queries: &Queries,
        next: &mut usize,
        now: Instant,
        answers: &mut Answers,
    ) -> Result<()> {
        if self.free.is_empty() {
            self.give_up_lost(now, answers);
        }
        for (place, &slot_place) in self.free.iter().enumerate() {
            let slot = &mut self.slots[slot_place];
            slot.query = *next;
            slot.sent = now;
            slot.uses = slot.uses.wrapping_add(1);
            slot.is_waiting = true;
            let bytes = self.outgoing.put(place, queries.get(*next));
            bytes[..2].copy_from_slice(&slot.identifier(slot_place).to_be_bytes());
            *next = (*next + 1) % queries.count();
        }
        let sent = self.outgoing.send(&self.socket, self.free.len()).context("cannot send")?;
        for place in self.free.drain(..).skip(sent).collect::<Vec<_>>() {
            self.slots[place].is_waiting = false;
            self.free.push(place);
        }
        Ok(())
    }

    /// Frees the places of lost queries.
    fn give_up_lost(&mut self, now: Instant, answers: &mut Answers) {
        let patience = (self.usual * LOST_AFTER).max(LEAST_PATIENCE);
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if slot.is_waiting && now.saturating_duration_since(slot.sent) > patience {
                slot.is_waiting = false;
                self.free.push(place);
                answers.lost += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Kind;

    /// Caught: the answer's identifier not compared; the check of answers always true.
    #[test]
    fn the_echo_is_right_for_itself_and_wrong_for_a_name_server() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::thread::spawn(move || crate::echo::serve(&server));
        // Long enough for any machine.
        let late = 30.0;

        let mut queries = Queries::some(Kind::A, 1000, 5000);
        queries.set_echoed(true);
        let enough = |answers: &Answers| answers.right >= 2000 || answers.seconds > late;
        let answers = run_until(address, &queries, enough).unwrap();
        assert!(answers.right >= 2000);
        assert_eq!(answers.wrong, 0);
        assert!(answers.listed > 0 && answers.listed < answers.right);

        let queries = Queries::some(Kind::A, 1000, 5000);
        let enough = |answers: &Answers| answers.wrong >= 2000 || answers.seconds > late;
        let answers = run_until(address, &queries, enough).unwrap();
        assert!(answers.wrong >= 2000);
        assert_eq!(answers.right, 0);
    }
}
