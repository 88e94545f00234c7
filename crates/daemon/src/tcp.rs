//! Serves TCP (RFC 7766).
//!
//! hickory-server has a loop of its own for this, which is not used, because it takes any number
//! of connections: with as many idle ones as the process may have files, it turns without rest,
//! and the table and the configuration can no longer be opened. Here connections are counted, in
//! all and of each client: `connections`.
//!
//! Queries of one connection are answered in their order, as many at a time as have arrived
//! (`incoming`). There is no limit to their number: a connection that asks on and on is no worse
//! than one that is made anew for each query, and gives way to others as any other does.

mod connections;
mod incoming;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use eximrbl_dns::Transport;
use eximrbl_dns::counters::Event;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::responder::Responder;
use connections::Place;
pub(crate) use connections::{Client, Connections};
use incoming::Incoming;

/// How long to wait after a connection could not be accepted for want of files or memory.
const RESPITE: Duration = Duration::from_millis(100);
/// Bytes of responses after which they are sent, though more queries are there to be answered.
const RESPONSES: usize = 16 << 10;

/// Serves one listening socket until something is wrong with it.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    responder: Responder,
    connections: Connections,
) -> io::Error {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    // Connections end with this set when the daemon stops.
    let mut serving = JoinSet::new();
    loop {
        while serving.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, client)) => {
                let limits = &responder.served().tcp;
                responder.tally().note(Event::TcpAccepted);
                let Some(place) = connections.take(client.ip(), limits) else {
                    responder.tally().note(Event::TcpRefused);
                    continue;
                };
                (0..place.displaced).for_each(|_| responder.tally().note(Event::TcpDisplaced));
                let number = place.number;
                let responder = responder.clone();
                let task = serving.spawn(async move {
                    serve_counted(stream, client, &responder, place).await;
                });
                connections.can_be_ended_by(number, task);
            }
            Err(error) if is_fatal(&error) => return error,
            Err(error) => {
                tracing::debug!("TCP connection not accepted: {error}");
                sleep(RESPITE).await;
            }
        }
    }
}

/// Serves one connection, and counts how it ended. However that was, the client sees that it
/// ended, and can ask anew.
async fn serve_counted(stream: TcpStream, client: SocketAddr, responder: &Responder, place: Place) {
    if let Err(error) = serve_connection(stream, client, responder, &place).await
        && error.kind() == io::ErrorKind::TimedOut
    {
        responder.tally().note(Event::TcpTimedOut);
    }
}

/// Answers one query after the other, until the client is done or too slow.
async fn serve_connection(
    mut stream: TcpStream,
    client: SocketAddr,
    responder: &Responder,
    place: &Place,
) -> io::Result<()> {
    // Responses are whole when they are written; waiting for more to send gains nothing.
    stream.set_nodelay(true)?;
    let mut incoming = Incoming::default();
    let mut responses = Vec::new();
    while read_query(&mut stream, &mut incoming, responder).await? {
        let mut is_done = false;
        while responses.len() < RESPONSES
            && let Some(query) = incoming.next()
        {
            // What gets no answer is no DNS client.
            let Some(response) = responder.respond(query, client, Transport::Tcp) else {
                is_done = true;
                break;
            };
            let length = u16::try_from(response.len()).map_err(io::Error::other)?;
            responses.extend_from_slice(&length.to_be_bytes());
            responses.extend_from_slice(&response);
        }
        let patience = io_timeout(responder);
        // One write, so that length and response leave in one segment (RFC 7766 section 8).
        timeout(patience, stream.write_all(&responses)).await??;
        if is_done {
            return Ok(());
        }
        responses.clear();
        place.has_been_answered();
        // A client that always has another query ready leaves the thread to others in between.
        yield_now().await;
    }
    Ok(())
}

/// Reads until there is a whole query; whether there is one. There is none when the client is done.
async fn read_query(
    stream: &mut TcpStream,
    incoming: &mut Incoming,
    responder: &Responder,
) -> io::Result<bool> {
    let mut has_begun = !incoming.is_empty();
    let patience = if has_begun {
        io_timeout(responder)
    } else {
        seconds(responder.served().tcp.idle_timeout)
    };
    let mut deadline = Instant::now() + patience;
    while !incoming.has_query() {
        if timeout_at(deadline, stream.read_buf(incoming.room())).await?? == 0 {
            return Ok(false);
        }
        // A whole query, from its first byte on: who sends it byte by byte gains no time.
        if !std::mem::replace(&mut has_begun, true) {
            deadline = Instant::now() + io_timeout(responder);
        }
    }
    Ok(true)
}

fn io_timeout(responder: &Responder) -> Duration {
    seconds(responder.served().tcp.io_timeout)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Errors of the listening socket itself; all others concern one connection, or pass.
fn is_fatal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::InvalidInput)
}
