//! Passes reports on to one gatherer, for as long as it is configured.
//!
//! A connection is made at the start, so that what is wrong is told then, and from then on when
//! there is something to send. While there is none, changes stay in the table's ring, and what
//! was overwritten there is found in the table: nothing piles up here.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eximrbl_report::Code;
use eximrbl_zone::{ForwardSettings, Gatherer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::connection::{ANSWER_MAX, Connection, Stream, connect};
use super::feed::{Feed, Missed, Next, Progress};
use super::late;
use super::queue::{Answer, Outcome, Queue};
use super::standing::Standing;
use super::trouble::{Proof, Trouble};
use crate::seldom::{Say, Seldom};
use crate::standing::State;

/// Bytes that are written at once.
const BATCH: usize = 64 << 10;
/// How often it is looked for changes: writers wake nobody. More seldom when there are none.
const LOOK: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(20)];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether one is overdue.
const WATCH: Duration = Duration::from_secs(1);
/// A connection that was of use for so long needs no back-off when it ends.
const GOOD: Duration = Duration::from_secs(10);
/// How long answers are waited for at the end.
const FINISH: Duration = Duration::from_secs(1);

/// What belongs to one gatherer.
pub(super) struct Passing {
    pub(super) to: Gatherer,
    pub(super) settings: ForwardSettings,
    pub(super) feed: Feed,
    pub(super) queue: Queue,
    pub(super) standing: Arc<Standing>,
    /// How far all was passed on, for whoever keeps it.
    pub(super) place: Rc<Cell<Progress>>,
    seldom: Seldom<&'static str>,
    /// Rests after refusals.
    rest: Backoff,
    /// Since when the oldest line waits for its answer.
    waiting_since: Instant,
    /// Whether a line was accepted on this connection.
    is_good: bool,
    /// No more lines are taken.
    is_ending: bool,
    /// Whether a connection is worth a line: it is the first one, or trouble was told.
    is_news: bool,
}

/// Why a connection ended.
enum Ended {
    /// It was idle: there is nothing to send.
    Idle,
    /// It was told to.
    Stopped,
    Trouble(Trouble),
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// Passes reports on until told to stop.
pub(super) async fn pass(passing: Passing, mut stop: watch::Receiver<bool>) {
    let passing = RefCell::new(passing);
    let mut tries = Backoff::default();
    let mut secret = 0;
    loop {
        let begun = Instant::now();
        let ended = tokio::select! {
            ended = connected(&passing, &mut secret, stop.clone()) => ended,
            () = stopped_unconnected(&passing, &mut stop) => Ended::Stopped,
        };
        let (is_good, is_wanted) = {
            let mut passing = passing.borrow_mut();
            passing.queue.disconnected();
            (std::mem::take(&mut passing.is_good), !passing.queue.is_empty())
        };
        if is_good || begun.elapsed() > GOOD {
            tries.reset();
        }
        let trouble = match ended {
            Ended::Stopped => return,
            Ended::Idle if is_wanted && begun.elapsed() < WATCH => Trouble::Closed,
            Ended::Idle => {
                passing.borrow().standing.link.is(State::Idle, "");
                tokio::select! {
                    () = until_needed(&passing) => continue,
                    () = stopped(&mut stop) => return,
                }
            }
            Ended::Trouble(trouble) => trouble,
        };
        let rest = tries.next();
        passing.borrow_mut().tell(&trouble, rest);
        tokio::select! {
            () = sleep(rest) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// Waits until it is told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error: whoever tells is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The same, while no connection is there that may be finished.
async fn stopped_unconnected(passing: &RefCell<Passing>, stop: &mut watch::Receiver<bool>) {
    stopped(stop).await;
    let is_connected = passing.borrow().standing.link.is_connected();
    if is_connected {
        std::future::pending().await
    }
}

/// Waits until there is a line to be sent.
async fn until_needed(passing: &RefCell<Passing>) {
    loop {
        let more = passing.borrow_mut().fill();
        if !passing.borrow().queue.is_empty() {
            return;
        }
        if !more {
            sleep(LOOK[1]).await;
        }
        // Others of this thread have their turn.
        tokio::task::yield_now().await;
    }
}

/// One connection, from its beginning to its end.
async fn connected(
    passing: &RefCell<Passing>,
    secret: &mut usize,
    stop: watch::Receiver<bool>,
) -> Ended {
    let (to, settings) = {
        let passing = passing.borrow();
        (passing.to.clone(), passing.settings.clone())
    };
    let connection = match connect(&to, &settings, secret).await {
        Ok(connection) => connection,
        Err(trouble) => return trouble.into(),
    };
    passing.borrow_mut().welcome(&connection);
    let Connection { stream, read, proof, .. } = connection;
    let (reading, writing) = tokio::io::split(stream);
    let answered = Notify::new();
    let ca = settings.ca.display().to_string();
    let mut reader = std::pin::pin!(read_answers(reading, read, passing, &answered, &proof, &ca));
    let trouble = tokio::select! {
        ended = &mut reader => return ended,
        trouble = write_lines(writing, passing, &answered, &ca) => trouble,
        () = finished(passing, stop) => return Ended::Stopped,
    };
    // What broke the connection may have been said before it broke.
    match timeout(WATCH, reader).await {
        Ok(Ended::Trouble(told)) => told.into(),
        _ => trouble.into(),
    }
}

/// Writes lines as they come.
async fn write_lines(
    mut writing: WriteHalf<Box<dyn Stream>>,
    passing: &RefCell<Passing>,
    answered: &Notify,
    ca: &str,
) -> Trouble {
    let mut text = String::new();
    let [short, long] = LOOK;
    let mut look = short;
    loop {
        let more = passing.borrow_mut().take(&mut text);
        let rest = passing.borrow_mut().rest_due();
        if !text.is_empty() {
            let written = async {
                writing.write_all(text.as_bytes()).await?;
                writing.flush().await
            };
            if let Err(error) = written.await {
                return Trouble::io(error, ca);
            }
            text.clear();
            look = short;
        } else if let Some(rest) = rest {
            sleep(rest).await;
            passing.borrow_mut().queue.resume();
        } else if more {
            tokio::task::yield_now().await;
        } else {
            tokio::select! {
                () = answered.notified() => {}
                () = sleep(look) => look = (look + short).min(long),
            }
        }
    }
}

/// Reads answers as they come.
async fn read_answers(
    mut reading: ReadHalf<Box<dyn Stream>>,
    mut read: Vec<u8>,
    passing: &RefCell<Passing>,
    answered: &Notify,
    proof: &Proof,
    ca: &str,
) -> Ended {
    loop {
        let mut rest = &read[..];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            if let Err(trouble) = passing.borrow_mut().answer(&rest[..end], proof) {
                return trouble.into();
            }
            rest = &rest[end + 1..];
        }
        let used = read.len() - rest.len();
        read.drain(..used);
        if read.len() > ANSWER_MAX {
            return Trouble::Strange("a line without end".to_owned()).into();
        }
        passing.borrow_mut().note();
        answered.notify_one();
        match timeout(WATCH, reading.read_buf(&mut read)).await {
            Ok(Ok(0)) if passing.borrow().queue.is_waiting() => return Trouble::Closed.into(),
            Ok(Ok(0)) => return Ended::Idle,
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                // Between two lines, a connection may end as it likes.
                let trouble = Trouble::io(error, ca);
                let is_idle = !passing.borrow().queue.is_waiting();
                return match trouble {
                    Trouble::Closed | Trouble::Broken(_) if is_idle => Ended::Idle,
                    trouble => trouble.into(),
                };
            }
            Err(_) if passing.borrow().is_overdue() => {
                return Trouble::Silent { seconds: PATIENCE.as_secs() }.into();
            }
            Err(_) => {}
        }
    }
}

/// Waits until it is told to stop, and then, for a while, until all that was written is answered.
async fn finished(passing: &RefCell<Passing>, mut stop: watch::Receiver<bool>) {
    stopped(&mut stop).await;
    passing.borrow_mut().is_ending = true;
    let all_answered = async {
        while passing.borrow().queue.is_waiting() {
            sleep(LOOK[0]).await;
        }
    };
    // What is not answered by then is sent again by the next start.
    let _ = timeout(FINISH, all_answered).await;
    passing.borrow_mut().note();
}

impl Passing {
    pub(super) fn new(
        to: Gatherer,
        settings: ForwardSettings,
        feed: Feed,
        standing: Arc<Standing>,
    ) -> Self {
        let place = Rc::new(Cell::new(feed.progress(None)));
        Self {
            queue: Queue::new(settings.buffer as usize),
            to,
            settings,
            feed,
            standing,
            place,
            seldom: Seldom::default(),
            rest: Backoff::default(),
            waiting_since: Instant::now(),
            is_good: false,
            is_ending: false,
            is_news: true,
        }
    }

    /// Reads changes while there is room for them; whether there may be more at once.
    fn fill(&mut self) -> bool {
        while !self.is_ending && self.queue.has_room() {
            match self.feed.next() {
                Next::Order(order, from) => self.queue.push(order, from),
                Next::Network => _ = self.standing.networks.fetch_add(1, Ordering::Relaxed),
                Next::Nothing => {
                    self.note();
                    return false;
                }
                Next::More => {
                    self.note();
                    return true;
                }
                Next::Missed(missed) => self.tell_missed(missed),
            }
        }
        false
    }

    /// Takes lines to be written; whether there may be more at once.
    fn take(&mut self, text: &mut String) -> bool {
        let more = self.fill();
        if self.is_ending {
            return false;
        }
        let was_waiting = self.queue.is_waiting();
        let (table, now) = (self.feed.table(), eximrbl_table::now());
        let left_of = |order, time| late::left_of(order, time, table, now);
        let taken = self.queue.take(text, BATCH, left_of);
        if taken.sent > 0 && !was_waiting {
            self.waiting_since = Instant::now();
        }
        self.standing.sent.fetch_add(taken.sent, Ordering::Relaxed);
        self.standing.late.fetch_add(taken.late, Ordering::Relaxed);
        // What came too late made room.
        more || taken.late > 0
    }

    /// Takes an answer.
    fn answer(&mut self, line: &[u8], proof: &Proof) -> Result<(), Trouble> {
        self.waiting_since = Instant::now();
        let denied = |code, text| Trouble::Denied { code, text, by: proof.clone() };
        let answer = Answer::read(line);
        if !self.queue.is_waiting() {
            // Too many connections, for instance.
            return Err(match answer {
                Answer::Refused(code, text) => denied(code, text),
                Answer::Accepted => Trouble::Strange("ok, to nothing".to_owned()),
                Answer::Strange(text) => Trouble::Strange(text),
            });
        }
        match self.queue.answer(answer) {
            Outcome::Accepted => {
                self.standing.accepted.fetch_add(1, Ordering::Relaxed);
                self.is_good = true;
                self.rest.reset();
                Ok(())
            }
            Outcome::Refused(code, text) => {
                self.standing.refused.fetch_add(1, Ordering::Relaxed);
                self.tell_refused(code, &text);
                Ok(())
            }
            Outcome::Later(code, text) => {
                self.tell_later(code, &text);
                Ok(())
            }
            Outcome::Denied(code, text) => Err(denied(code, text)),
            Outcome::Strange(text) => Err(Trouble::Strange(text)),
        }
    }

    /// How long to rest, if something was refused for now and all is answered.
    fn rest_due(&mut self) -> Option<Duration> {
        (self.queue.is_rest_due() && !self.is_ending).then(|| self.rest.next())
    }

    fn is_overdue(&self) -> bool {
        self.queue.is_waiting() && self.waiting_since.elapsed() >= PATIENCE
    }

    /// Notes how far all was passed on.
    fn note(&mut self) {
        let progress = self.feed.progress(self.queue.oldest());
        self.place.set(progress);
        self.standing.behind.store(self.feed.behind(progress), Ordering::Relaxed);
    }

    /// A connection is there.
    fn welcome(&mut self, connection: &Connection) {
        let (to, address) = (&self.to, connection.address);
        if std::mem::take(&mut self.is_news) {
            tracing::info!("reports are passed on to {to} ({address})");
        } else {
            tracing::debug!("connected to {to} ({address})");
        }
        self.standing.link.is(State::Connected, "");
        self.waiting_since = Instant::now();
    }

    /// There is none.
    fn tell(&mut self, trouble: &Trouble, rest: Duration) {
        self.note();
        let text = trouble.to_string();
        let behind = self.standing.behind.load(Ordering::Relaxed);
        if let Some(say) = self.say(trouble.cause()) {
            self.is_news = true;
            tracing::warn!(
                "reports are not passed on to {}: {text}; changes that wait: {behind}; tried again \
                 from {} s to a minute later{say}",
                self.to,
                rest.as_secs().max(1)
            );
        } else {
            tracing::debug!("{}: {text}; tried again in {rest:?}", self.to);
        }
        self.standing.link.is(State::Disconnected, text);
    }

    fn tell_refused(&mut self, code: Code, text: &str) {
        // That a gatherer knows better is as it should be.
        let is_expected = matches!(code, Code::NeverListed | Code::White);
        let say = if is_expected { None } else { self.say(code.name()) };
        let Some(say) = say else {
            tracing::debug!("{} refused a report ({}: {text})", self.to, code.name());
            return;
        };
        let refused = self.standing.refused.load(Ordering::Relaxed);
        let advice = match code {
            Code::NotAllowed => {
                "; see the `verbs` and `networks` of this host's [[reporter]] there"
            }
            Code::Entries => "; see `entries` of this host's [[reporter]] there",
            Code::Full => "; it needs a larger table",
            _ => "",
        };
        tracing::warn!(
            "{} refused a report for good ({}: {text}){advice}; refused so far: {refused}{say}",
            self.to,
            code.name()
        );
    }

    fn tell_later(&mut self, code: Code, text: &str) {
        let why = format!("{}: {text}", code.name());
        if let Some(say) = self.say(code.name()) {
            let advice = match code {
                Code::Quota => "; see `rate` of this host's [[reporter]] there",
                _ => "",
            };
            let behind = self.standing.behind.load(Ordering::Relaxed);
            tracing::warn!(
                "{} takes no more reports for now ({why}){advice}; changes that wait: {behind}{say}",
                self.to
            );
        }
        self.standing.link.is(State::Connected, why);
    }

    /// Whether to say a line about this now: one a minute of each cause.
    fn say(&mut self, cause: &'static str) -> Option<Say> {
        self.seldom.say(cause, std::time::Instant::now())
    }

    fn tell_missed(&mut self, missed: Missed) {
        let what = match missed {
            Missed::Lost(lost) => format!("{lost} changes were overwritten before they were read"),
            Missed::Replaced => "the table is another one".to_owned(),
        };
        tracing::warn!(
            "{}: {what}; reports are passed on of all entries of this host's that have changed \
             since {}",
            self.to,
            eximrbl_zone::rfc3339(self.place.get().time)
        );
    }
}
