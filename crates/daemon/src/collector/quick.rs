//! The quick way of connections: accepted, read, answered and closed at once.
//!
//! A report is one line, and is there when the connection is accepted, or just after. So it costs a few
//! system calls and nothing else: no registration with the event loop, no timer, no task. Whoever has
//! not said all yet waits in a task of his own.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use eximrbl_report::Denial;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::conversation::{self, Waiting};
use super::counts::Event;
use super::desk::Talk;
use super::{Hall, RESPITE};

/// Connections that are accepted before others get their turn.
const BATCH: usize = 64;
/// Bytes that are read at a time.
const READ: usize = 4096;
/// Bytes that one connection may send before it has to wait its turn.
const MOST: usize = 32 << 10;

/// A socket that connections are accepted from.
pub(super) trait Listener: AsFd + AsRawFd {
    /// What is accepted.
    type Stream: AsRawFd;

    /// Accepts one connection.
    fn accept(&self) -> io::Result<(Self::Stream, Talk)>;

    /// Goes on with one in a task of its own, which is told how to be ended.
    fn go_on(stream: Self::Stream, waiting: Waiting, hall: &Hall);
}

/// Serves one listening socket until something is wrong with it.
pub(super) async fn serve<L: Listener>(listener: L, hall: Hall) -> io::Error {
    // Deprecated in favour of an unsafe one, for things that do not own their file. A listener of std
    // does. tokio's own listeners would register every connection with the event loop.
    #[allow(deprecated)]
    let listener = match AsyncFd::new(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let mut answers = Vec::new();
    loop {
        let mut ready = match listener.readable().await {
            Ok(ready) => ready,
            Err(error) => return error,
        };
        for _ in 0..BATCH {
            match ready.get_inner().accept() {
                Ok((stream, talk)) => {
                    hall.desk.borrow().counts().note(Event::Accepted);
                    greet::<L>(stream, talk, &mut answers, &hall);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) if is_fatal(&error) => return error,
                // It has gone away again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::debug!("report connection not accepted: {error}");
                    sleep(RESPITE).await;
                    break;
                }
            }
        }
        yield_now().await;
    }
}

/// Reads what is there, answers it, and closes; or leaves the rest to a task.
fn greet<L: Listener>(stream: L::Stream, mut talk: Talk, answers: &mut Vec<u8>, hall: &Hall) {
    let fd = stream.as_raw_fd();
    let (mut buffer, mut filled, mut total) = ([0; READ], 0, 0);
    answers.clear();
    let is_end = loop {
        match recv(fd, &mut buffer[filled..], MsgFlags::MSG_DONTWAIT) {
            Ok(0) => break true,
            Ok(count) => {
                filled += count;
                total += count;
                let mut desk = hall.desk.borrow_mut();
                let done = desk.take(&mut talk, &buffer[..filled], false, answers);
                buffer.copy_within(done..filled, 0);
                filled -= done;
                if total >= MOST {
                    break false;
                }
            }
            Err(Errno::EAGAIN) => break false,
            Err(Errno::EINTR) => {}
            // The client is gone.
            Err(_) => return,
        }
    };
    if is_end {
        hall.desk.borrow_mut().take(&mut talk, &buffer[..filled], true, answers);
        filled = 0;
    }
    let is_done = talk.has_answers && filled == 0 && total < MOST && !talk.is_within_a_line();
    let closes = is_end || (is_done && !talk.may_stay() && !talk.sends_a_list());
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    if closes {
        match send(fd, answers, flags) {
            Ok(sent) if sent < answers.len() => _ = answers.drain(..sent),
            // Whoever is gone gets nothing. An empty socket buffer takes some bytes at least.
            _ => return,
        }
    }
    let Some(place) = hall.places.take(talk.client()) else {
        let mut desk = hall.desk.borrow_mut();
        desk.refuse(&mut talk, None, Denial::Connections, answers);
        let _ = send(fd, answers, flags);
        return;
    };
    let rest = buffer[..filled].to_vec();
    let waiting = Waiting { talk, place, rest, answers: std::mem::take(answers) };
    L::go_on(stream, waiting, hall);
}

impl Listener for TcpListener {
    type Stream = std::net::TcpStream;

    fn accept(&self) -> io::Result<(Self::Stream, Talk)> {
        let (stream, client) = TcpListener::accept(self)?;
        Ok((stream, Talk::with_host(client.ip())))
    }

    fn go_on(stream: Self::Stream, waiting: Waiting, hall: &Hall) {
        let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
        let Ok(stream) = ready.and_then(|()| tokio::net::TcpStream::from_std(stream)) else {
            return;
        };
        conversation::start(stream, waiting, hall);
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn accept(&self) -> io::Result<(Self::Stream, Talk)> {
        let (stream, _) = UnixListener::accept(self)?;
        Ok((stream, Talk::with_program()))
    }

    fn go_on(stream: Self::Stream, waiting: Waiting, hall: &Hall) {
        let ready = stream.set_nonblocking(true);
        let Ok(stream) = ready.and_then(|()| tokio::net::UnixStream::from_std(stream)) else {
            return;
        };
        conversation::start(stream, waiting, hall);
    }
}

/// Errors of the listening socket itself; all others concern one connection, or pass.
pub(super) fn is_fatal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::InvalidInput)
}
