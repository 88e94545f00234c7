//! Connections that have more to say, or are not done saying it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use eximrbl_report::Denial;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::{spawn_local, unconstrained, yield_now};
use tokio::time::{Instant, timeout, timeout_at};

use super::Hall;
use super::counts::Event;
use super::desk::Talk;
use super::places::Place;

/// Bytes that are taken from one connection before others get their turn.
const TURN: usize = 32 << 10;
/// Room for what is kept of an idle connection.
const IDLE_ROOM: usize = 1024;
/// How long a connection whose end was said is listened to, and how much is dropped meanwhile: closed with
/// bytes unread, it would be reset, and some systems then take the answers away from the client.
const FAREWELL: Duration = Duration::from_secs(1);
const DROPPED: usize = 256 << 10;

/// Where a conversation goes on.
pub(super) struct Waiting {
    pub(super) talk: Talk,
    pub(super) place: Place,
    /// What was read of a line that has not ended.
    pub(super) rest: Vec<u8>,
    /// What is to be sent.
    pub(super) answers: Vec<u8>,
}

/// Goes on with a connection in a task of its own.
pub(super) fn start<S>(mut stream: S, waiting: Waiting, hall: &Hall)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (number, of_task) = (waiting.place.number, hall.clone());
    let task = spawn_local(async move { hold(&mut stream, waiting, &of_task).await });
    hall.places.can_be_ended_by(number, task.abort_handle());
}

/// Answers until the client is done, too slow, or has to make room for another.
pub(super) async fn hold<S>(stream: &mut S, waiting: Waiting, hall: &Hall)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Waiting { mut talk, place, mut rest, mut answers } = waiting;
    let mut line_ends = None;
    if talk.may_stay() {
        place.is_of_a_reporter();
    }
    loop {
        if !answers.is_empty() {
            let (_, line) = hall.desk.borrow().patience();
            if !matches!(timeout(line, send(stream, &answers)).await, Ok(Ok(()))) {
                hall.places.counts().note(Event::TimedOut);
                return;
            }
            answers.clear();
        }
        rest.shrink_to(IDLE_ROOM);
        answers.shrink_to(IDLE_ROOM);
        let (idle, line) = hall.desk.borrow().patience();
        let is_within = !rest.is_empty() || talk.is_within_a_line();
        let deadline = match line_ends {
            Some(deadline) => deadline,
            None if is_within => *line_ends.insert(Instant::now() + line),
            None => Instant::now() + idle,
        };
        let first = timeout_at(deadline, read(stream, &mut rest, &hall.scratch)).await;
        let Ok(first) = first else {
            hall.places.counts().note(Event::TimedOut);
            if is_within {
                hall.desk.borrow_mut().refuse(&mut talk, None, Denial::Slow, &mut answers);
            }
            break;
        };
        let was_staying = talk.may_stay();
        let mut turn = match first {
            Ok(count) => Turn { is_end: count == 0, total: count, has_line: false },
            Err(_) => return,
        };
        turn.take(&mut talk, &mut rest, &mut answers, hall);
        while !turn.is_end && turn.total < TURN {
            match read_now(stream, &mut rest, &hall.scratch).await {
                None => break,
                Some(Ok(count)) => {
                    turn.is_end = count == 0;
                    turn.total += count;
                    turn.take(&mut talk, &mut rest, &mut answers, hall);
                }
                Some(Err(_)) => return,
            }
        }
        let is_within = !rest.is_empty() || talk.is_within_a_line();
        if !is_within || turn.has_line {
            line_ends = None;
        }
        if talk.may_stay() && !was_staying {
            place.is_of_a_reporter();
        }
        let is_done = talk.has_answers && !is_within && !talk.may_stay() && turn.total < TURN;
        if turn.is_end || is_done {
            break;
        }
        yield_now().await;
    }
    let (_, line) = hall.desk.borrow().patience();
    if matches!(timeout(line, send(stream, &answers)).await, Ok(Ok(()))) {
        let _ = timeout(FAREWELL, take_leave(stream, &hall.scratch)).await;
    }
}

/// What came before others got their turn.
struct Turn {
    is_end: bool,
    /// Bytes.
    total: usize,
    /// Whether a line ended.
    has_line: bool,
}

impl Turn {
    fn take(&mut self, talk: &mut Talk, rest: &mut Vec<u8>, answers: &mut Vec<u8>, hall: &Hall) {
        let was_within = talk.is_within_a_line();
        let done = hall.desk.borrow_mut().take(talk, rest, self.is_end, answers);
        rest.drain(..done);
        // Of a line that is too long, what is dropped gains no time.
        self.has_line |= done > 0 && !(was_within && talk.is_within_a_line());
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, answers: &[u8]) -> io::Result<()> {
    stream.write_all(answers).await?;
    stream.flush().await
}

/// Says that the end has come, and waits for the client's.
async fn take_leave<S>(stream: &mut S, scratch: &RefCell<Box<[u8]>>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.shutdown().await?;
    let mut total = 0;
    let mut dropped = Vec::new();
    while total < DROPPED {
        match read(stream, &mut dropped, scratch).await? {
            0 => break,
            count => total += count,
        }
        dropped.clear();
    }
    Ok(())
}

/// Reads what comes next. The bytes go by way of a buffer that all connections share, so that idle ones
/// have none.
async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    rest: &mut Vec<u8>,
    scratch: &RefCell<Box<[u8]>>,
) -> io::Result<usize> {
    poll_fn(|cx| poll(stream, cx, rest, scratch)).await
}

/// Reads what is there; `None` if that is nothing.
async fn read_now<S: AsyncRead + Unpin>(
    stream: &mut S,
    rest: &mut Vec<u8>,
    scratch: &RefCell<Box<[u8]>>,
) -> Option<io::Result<usize>> {
    // Else tokio pretends from time to time that nothing is there.
    unconstrained(poll_fn(|cx| {
        Poll::Ready(match poll(stream, cx, rest, scratch) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => None,
        })
    }))
    .await
}

fn poll<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    rest: &mut Vec<u8>,
    scratch: &RefCell<Box<[u8]>>,
) -> Poll<io::Result<usize>> {
    let mut scratch = scratch.borrow_mut();
    let mut buffer = ReadBuf::new(&mut scratch);
    Pin::new(stream).poll_read(cx, &mut buffer).map_ok(|()| {
        rest.extend_from_slice(buffer.filled());
        buffer.filled().len()
    })
}
