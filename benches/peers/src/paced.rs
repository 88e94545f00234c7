//! Queries at a fixed rate, and how long each answer takes.
//!
//! The loop is open: when a query is due, it is sent, whatever became of those before. The time
//! counts from when it was due, not from when it was sent, so that a stall (the server's, or the
//! generator's) shows in all the queries that it delayed.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::batch::Batch;
use crate::query::Queries;
use crate::saturate::client;
use crate::statistics::percentile;

/// Identifiers, so many queries may be under way.
const UNDER_WAY: usize = 1 << 16;
/// Datagrams with one call.
const BATCH: usize = 64;
/// How long the last answers may take.
const LAST: Duration = Duration::from_secs(if cfg!(test) { 30 } else { 1 });

/// Times from due to answered, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Half of the answers took no longer.
    pub(crate) p50: u64,
    /// 99 of 100 took no longer.
    pub(crate) p99: u64,
    /// Queries without a right answer.
    pub(crate) missing: u64,
}

/// Asks `server` at so many queries a second.
pub(crate) fn run(
    server: SocketAddr,
    queries: &Queries,
    rate: u32,
    time: Duration,
) -> Result<Latency> {
    let from = if server.ip().is_loopback() { server.ip() } else { client(0) };
    let socket = UdpSocket::bind((from, 0)).with_context(|| format!("cannot send from {from}"))?;
    socket.connect(server)?;
    let interval = Duration::from_secs(1) / rate;
    let total = (time.as_secs_f64() * f64::from(rate)) as usize;
    let (mut incoming, mut outgoing) = (Batch::new(BATCH), Batch::new(BATCH));
    // Which query has the identifier; its number in the schedule says when it was due.
    let mut waiting = vec![usize::MAX; UNDER_WAY];
    let mut took = Vec::with_capacity(total);
    let mut sent = 0;
    let start = Instant::now();
    let due = |number: usize| start + interval * number as u32;
    loop {
        let now = Instant::now();
        let mut count = 0;
        while count < BATCH && sent + count < total && due(sent + count) <= now {
            let number = sent + count;
            let bytes = outgoing.put(count, queries.get(number % queries.count()));
            bytes[..2].copy_from_slice(&(number as u16).to_be_bytes());
            waiting[number % UNDER_WAY] = number;
            count += 1;
        }
        if count > 0 {
            // What the kernel does not take is sent with the next ones.
            sent += outgoing.send(&socket, count).context("cannot send")?;
        }
        let received = incoming.receive(&socket, false).context("cannot receive")?;
        let now = Instant::now();
        for answer in (0..received).map(|place| incoming.get(place)) {
            let Some(&[high, low]) = answer.first_chunk::<2>() else { continue };
            let waits = &mut waiting[usize::from(u16::from_be_bytes([high, low]))];
            let number = std::mem::replace(waits, usize::MAX);
            if number != usize::MAX && queries.is_right(number % queries.count(), answer, true) {
                took.push((now - due(number)).as_nanos() as u64);
            }
        }
        if took.len() == total || now > due(total) + LAST {
            break;
        }
    }
    ensure!(!took.is_empty(), "{server} answered nothing");
    let missing = (total - took.len()) as u64;
    let (p50, p99) = (percentile(&mut took, 50.0), percentile(&mut took, 99.0));
    Ok(Latency { p50: p50.unwrap_or(0), p99: p99.unwrap_or(0), missing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Kind;

    /// Caught: the time taken from sending, or only from the first answer on.
    #[test]
    fn a_stall_delays_all_queries_that_were_due() {
        const STALL: usize = 100;
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        // Answers none before it has them all.
        std::thread::spawn(move || {
            let mut held = Vec::new();
            let mut buffer = [0; 512];
            while held.len() < STALL {
                let (length, client) = server.recv_from(&mut buffer).unwrap();
                held.push((buffer[..length].to_vec(), client));
            }
            for (query, client) in held {
                server.send_to(&query, client).unwrap();
            }
        });
        let mut queries = Queries::some(Kind::A, 1000, 5000);
        queries.set_echoed(true);
        let time = Duration::from_millis(STALL as u64);
        let latency = run(address, &queries, 1000, time).unwrap();
        assert_eq!(latency.missing, 0);
        // The first was due 99 ms before the last, the 50th 50 ms before it.
        assert!(latency.p99 >= 97_000_000 && latency.p50 >= 49_000_000, "{latency:?}");
    }
}
