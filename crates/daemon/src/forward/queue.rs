//! Lines on their way to one gatherer: written, and not answered yet.
//!
//! ```text
//! push ─► unsent ─► taken: written, waits for its answer ─► done
//!            ▲                          │
//!            └── again: refused for now ┘  and all of them when the connection breaks
//! ```
//!
//! Answers come in the order of the lines. A line is done with when its answer is `ok`, or an
//! error that a repeat would not mend. When the gatherer refuses one for now, no more are written
//! until all that were are answered; then, after a rest, those that were refused go first, in their
//! order. Fewer go at once then, until as many as before are taken.
//!
//! What a connection that breaks leaves unanswered is sent again: it may be counted twice, and is
//! never lost.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write;

use eximrbl_report::{Code, Order, Verb};
use eximrbl_table::UnixSeconds;

use super::feed::Progress;

/// Lines that may wait for answers after refusals without end.
const LEAST: usize = 8;

/// How far a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Unsent,
    Taken,
    Again,
    Accepted,
    Refused,
}

#[derive(Debug)]
struct Line {
    order: Order,
    /// Where to begin again, to read it again.
    from: Progress,
    way: Way,
}

/// An answer of the gatherer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// `ok`
    Accepted,
    /// `error`, with a code that is known.
    Refused(Code, String),
    /// Something else.
    Strange(String),
}

/// How many lines were written, and how many were not, for they came too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) sent: u64,
    pub(super) late: u64,
}

/// What an answer means for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was taken.
    Accepted,
    /// It was refused for good: why, in the gatherer's words.
    Refused(Code, String),
    /// It was refused for now.
    Later(Code, String),
    /// The connection is of no use: this host is not known there, or not any more.
    Denied(Code, String),
    /// That is no collector.
    Strange(String),
}

/// The lines, oldest first.
pub(super) struct Queue {
    lines: VecDeque<Line>,
    /// The number of the first line, counted from the start.
    first: u64,
    /// Numbers of the lines that wait for answers, in their order.
    waiting: VecDeque<u64>,
    /// The number of the first line that may be unsent: before it, none is.
    unsent: u64,
    /// Most lines in all.
    most: usize,
    /// Most lines that wait for answers just now.
    window: usize,
    /// Lines that were accepted since the last one that was refused for now.
    clean: usize,
    /// Whether no more are written until all are answered, and a rest was taken.
    is_refused: bool,
}

impl Answer {
    /// Reads a line, without its end.
    pub(super) fn read(line: &[u8]) -> Self {
        let line = line.trim_ascii_end();
        let strange = || {
            let text: Vec<u8> = line.iter().take(60).copied().collect();
            Self::Strange(text.escape_ascii().to_string())
        };
        let Ok(text) = str::from_utf8(line) else { return strange() };
        if text == "ok" || text.starts_with("ok ") {
            return Self::Accepted;
        }
        let Some((code, text)) = text.strip_prefix("error ").and_then(|rest| rest.split_once(':'))
        else {
            return strange();
        };
        let text: String = text.trim_start().chars().filter(|c| !c.is_control()).collect();
        Code::named(code).map_or_else(strange, |code| Self::Refused(code, text))
    }
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            first: 0,
            waiting: VecDeque::new(),
            unsent: 0,
            most,
            window: most,
            clean: 0,
            is_refused: false,
        }
    }

    /// Whether another line may be pushed.
    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < self.most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether lines wait for their answers.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Adds a line at the end.
    pub(super) fn push(&mut self, order: Order, from: Progress) {
        self.lines.push_back(Line { order, from, way: Way::Unsent });
    }

    /// Where to begin again, so that no line which is not done is missed.
    pub(super) fn oldest(&self) -> Option<Progress> {
        self.lines.front().map(|line| line.from)
    }

    /// Writes lines that are to be sent, up to so many bytes; they wait for their answers from now on.
    /// `left_of` says what is left of an order that was given at a time: lines may have waited long.
    pub(super) fn take(
        &mut self,
        text: &mut String,
        bytes: usize,
        left_of: impl Fn(Order, UnixSeconds) -> Option<Order>,
    ) -> Taken {
        let mut taken = Taken::default();
        if self.is_refused {
            return taken;
        }
        let begin = (self.unsent - self.first) as usize;
        for (place, line) in self.lines.iter_mut().enumerate().skip(begin) {
            if self.waiting.len() >= self.window || text.len() >= bytes {
                break;
            }
            self.unsent = self.first + place as u64 + 1;
            if line.way == Way::Unsent {
                let Some(order) = left_of(line.order, line.from.time) else {
                    line.way = Way::Refused;
                    taken.late += 1;
                    continue;
                };
                // Writing into a string cannot fail.
                let _ = writeln!(text, "{order}");
                line.way = Way::Taken;
                self.waiting.push_back(self.first + place as u64);
                taken.sent += 1;
            }
        }
        self.drop_done();
        taken
    }

    /// Takes an answer to the oldest line that waits for one.
    pub(super) fn answer(&mut self, answer: Answer) -> Outcome {
        let Some(number) = self.waiting.pop_front() else {
            return Outcome::Strange("an answer to nothing".to_owned());
        };
        let place = (number - self.first) as usize;
        let (way, outcome) = match answer {
            Answer::Accepted => (Way::Accepted, Outcome::Accepted),
            Answer::Refused(code, text) if code.is_passing() => {
                (Way::Again, Outcome::Later(code, text))
            }
            // Not the line is refused, but who sent it; the line is for the next connection.
            Answer::Refused(
                code @ (Code::UnknownReporter | Code::Secret | Code::Clock | Code::Replay),
                text,
            ) => (Way::Unsent, Outcome::Denied(code, text)),
            Answer::Refused(code, text) => (Way::Refused, Outcome::Refused(code, text)),
            Answer::Strange(text) => (Way::Unsent, Outcome::Strange(text)),
        };
        if let Some(line) = self.lines.get_mut(place) {
            line.way = way;
        }
        match way {
            Way::Again => {
                if !self.is_refused {
                    self.window = (self.window / 2).max(LEAST.min(self.most));
                }
                self.is_refused = true;
                self.clean = 0;
            }
            Way::Accepted => {
                self.clean += 1;
                if self.clean >= self.window && self.window < self.most {
                    self.window = (self.window * 2).min(self.most);
                    self.clean = 0;
                }
            }
            Way::Unsent | Way::Taken | Way::Refused => {}
        }
        self.drop_done();
        outcome
    }

    /// Whether a rest is due: something was refused for now, and all is answered.
    pub(super) fn is_rest_due(&self) -> bool {
        self.is_refused && self.waiting.is_empty()
    }

    /// After a rest: what was refused for now is sent again, but for rejections that came too late: a
    /// later line, which ends or lifts the listing, was taken before them. The other way round, a
    /// listing ends that would go on: an error on the side of accepting mail.
    pub(super) fn resume(&mut self) {
        self.is_refused = false;
        self.unsent = self.first;
        let mut ended = HashSet::new();
        for line in self.lines.iter_mut().rev() {
            let (verb, address) = (line.order.verb(), line.order.address());
            match line.way {
                Way::Accepted if verb != Verb::Black => _ = ended.insert(address),
                Way::Again if verb == Verb::Black && ended.contains(&address) => {
                    line.way = Way::Refused;
                }
                Way::Again => line.way = Way::Unsent,
                _ => {}
            }
        }
        self.drop_done();
    }

    /// The connection is gone: what was not answered is sent again.
    pub(super) fn disconnected(&mut self) {
        self.waiting.clear();
        self.is_refused = false;
        self.unsent = self.first;
        for line in &mut self.lines {
            if matches!(line.way, Way::Taken | Way::Again) {
                line.way = Way::Unsent;
            }
        }
    }

    fn drop_done(&mut self) {
        while let Some(Line { way: Way::Accepted | Way::Refused, .. }) = self.lines.front() {
            self.lines.pop_front();
            self.first += 1;
            self.unsent = self.unsent.max(self.first);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::following::Position;

    fn black(last: u8) -> Order {
        let address = [192, 0, 2, last].into();
        Order::Black { address, reason: None, weight: None, seconds: None }
    }

    fn queue(most: usize, lines: u8) -> Queue {
        let mut queue = Queue::new(most);
        for number in 0..lines {
            queue.push(black(number), origin(number));
        }
        queue
    }

    fn origin(number: u8) -> Progress {
        Progress { position: Position { stream: 1, next: number.into() }, time: 0 }
    }

    fn taken(queue: &mut Queue) -> Vec<String> {
        let mut text = String::new();
        queue.take(&mut text, 1 << 16, |order, _| Some(order));
        text.lines().map(|line| line.trim_start_matches("black 192.0.2.").to_owned()).collect()
    }

    fn quota() -> Answer {
        Answer::read(b"error quota: this reporter reports too much at once; more later")
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(Answer::read(b"ok"), Answer::Accepted);
        assert_eq!(Answer::read(b"ok count=3 ttl=600\r"), Answer::Accepted);
        let refused = |code, text: &str| Answer::Refused(code, text.to_owned());
        assert_eq!(
            Answer::read(b"error white: it is\x1b white"),
            refused(Code::White, "it is white")
        );
        assert_eq!(Answer::read(b"error never-listed:"), refused(Code::NeverListed, ""));
        for strange in
            [&b""[..], b"okay", b"error", b"error what: x", b"220 ESMTP\xff", b"HTTP/1.1 400"]
        {
            let read = Answer::read(strange);
            assert_eq!(read, Answer::Strange(strange.escape_ascii().to_string()));
        }
    }

    /// Caught: a position that moves over a line which was written and not answered.
    #[test]
    fn the_oldest_unanswered_line_is_where_to_go_on() {
        let mut queue = queue(10, 3);
        assert_eq!(taken(&mut queue), ["0", "1", "2"]);
        assert_eq!(queue.oldest(), Some(origin(0)));
        assert_eq!(queue.answer(Answer::Accepted), Outcome::Accepted);
        assert_eq!(queue.oldest(), Some(origin(1)));
        queue.disconnected();
        assert_eq!(queue.oldest(), Some(origin(1)));
        assert_eq!(taken(&mut queue), ["1", "2"], "what was not answered is sent again");
        let refused = Answer::read(b"error never-listed: no");
        assert!(matches!(queue.answer(refused), Outcome::Refused(Code::NeverListed, _)));
        queue.answer(Answer::Accepted);
        assert!(queue.is_empty() && !queue.is_waiting() && queue.oldest().is_none());
        assert!(matches!(queue.answer(Answer::Accepted), Outcome::Strange(_)));
    }

    /// Caught: later lines sent before the rest; refused ones sent behind them.
    #[test]
    fn what_is_refused_for_now_comes_again_in_its_order() {
        let mut queue = queue(4, 4);
        assert_eq!(taken(&mut queue), ["0", "1", "2", "3"]);
        assert!(!queue.has_room());
        queue.answer(Answer::Accepted);
        assert!(matches!(queue.answer(quota()), Outcome::Later(Code::Quota, _)));
        assert!(queue.has_room());
        queue.push(black(4), origin(4));
        assert!(taken(&mut queue).is_empty() && !queue.is_rest_due(), "two are not answered");
        queue.answer(Answer::Accepted);
        queue.answer(quota());
        assert!(taken(&mut queue).is_empty() && queue.is_rest_due());
        assert_eq!(queue.oldest(), Some(origin(1)));
        queue.resume();
        assert_eq!(taken(&mut queue), ["1", "3", "4"]);
        assert!(!queue.is_rest_due());
    }

    /// Caught: as much at once after a refusal as before; no more ever after one.
    #[test]
    fn after_a_refusal_fewer_go_at_once_until_all_is_well() {
        let mut queue = queue(64, 64);
        assert_eq!(taken(&mut queue).len(), 64);
        for _ in 0..64 {
            queue.answer(quota());
        }
        queue.resume();
        assert_eq!(taken(&mut queue).len(), 32);
        for _ in 0..32 {
            queue.answer(Answer::Accepted);
        }
        for number in 0..32 {
            queue.push(black(number), origin(number));
        }
        assert_eq!(taken(&mut queue).len(), 64);
        for _ in 0..6 {
            while queue.is_waiting() {
                queue.answer(quota());
            }
            queue.resume();
            taken(&mut queue);
        }
        assert_eq!(queue.waiting.len(), LEAST);
    }

    /// Caught: a rejection sent after the client was forgiven.
    #[test]
    fn a_rejection_that_was_lifted_meanwhile_is_not_sent_late() {
        let mut queue = queue(10, 2);
        queue.push(Order::Forgive { address: [192, 0, 2, 0].into() }, origin(2));
        taken(&mut queue);
        queue.answer(quota());
        queue.answer(quota());
        queue.answer(Answer::Accepted);
        queue.resume();
        assert_eq!(taken(&mut queue), ["1"]);
        assert_eq!(queue.oldest(), Some(origin(1)));
    }

    /// Caught: a line that is left out and never done with.
    #[test]
    fn what_comes_too_late_is_done_with() {
        let mut queue = queue(10, 4);
        let mut text = String::new();
        let is_even = |order: &Order| matches!(order.address(), std::net::IpAddr::V4(v4) if v4.octets()[3] % 2 == 0);
        let taken = queue.take(&mut text, 1 << 16, |order, _| Some(order).filter(|o| !is_even(o)));
        assert_eq!(taken, Taken { sent: 2, late: 2 });
        assert_eq!(queue.oldest(), Some(origin(1)));
        queue.answer(Answer::Accepted);
        assert_eq!(queue.oldest(), Some(origin(3)));
        queue.answer(Answer::Accepted);
        assert!(queue.is_empty());
    }

    /// Caught: lines thrown away because the secret is wrong.
    #[test]
    fn what_is_denied_to_the_sender_is_not_done_with() {
        for code in ["unknown-reporter", "secret", "clock", "replay"] {
            let mut queue = queue(10, 2);
            taken(&mut queue);
            let answer = Answer::read(format!("error {code}: no").as_bytes());
            assert!(matches!(queue.answer(answer), Outcome::Denied(..)), "{code}");
            queue.disconnected();
            assert_eq!(taken(&mut queue), ["0", "1"]);
        }
    }
}
