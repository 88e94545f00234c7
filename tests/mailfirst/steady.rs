//! Transcripts and logs without what differs from run to run: times, message identifiers, process
//! numbers. And eximrbl's own lines, taken out of them.

use std::collections::BTreeSet;

/// Who wrote a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Teller {
    /// Exim's daemon.
    Daemon,
    /// The process that served the connection from this address.
    Child(String),
}

/// A line of eximrbl's in the main log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who wrote it.
    pub teller: Teller,
    /// The process's number.
    pub process: u32,
    /// The line from `eximrbl:` on.
    pub text: String,
}

impl Told {
    /// What it is about: the library promises one line for each cause and process.
    pub fn cause(&self) -> &'static str {
        let causes = [
            ("until then, nothing is recorded", "open"),
            ("can only be read", "read-only"),
            ("no room: ", "full"),
            ("too many writers at one place", "contention"),
            ("the table has been replaced by a new one", "retired"),
            ("internal error", "panic"),
        ];
        let found = causes.iter().find(|(part, _)| self.text.contains(part));
        found.unwrap_or_else(|| panic!("a line of no known cause: {}", self.text)).1
    }
}

/// A transcript without the banner's end, message identifiers and challenges.
pub fn steady_transcript(text: &str) -> String {
    let steady = |line: &str| {
        let cut = [" ESMTP", " id=", "S: 334 "]
            .iter()
            .find_map(|mark| line.find(mark).map(|at| &line[..at + mark.len()]));
        format!("{}\n", cut.unwrap_or(line))
    };
    text.lines().map(steady).collect()
}

/// A line of a log: who wrote it, and what (before which Exim puts the identifier of the message
/// that it is about, if any). `None` if it does not start with a time.
fn parts(line: &str) -> Option<(u32, &str)> {
    // `2026-11-22 05:43:10 [123] text`; the year may be 1970.
    let time = line.get(..19)?.as_bytes();
    let is_time = time.first()?.is_ascii_digit() && time.get(4) == Some(&b'-');
    let (process, text) = line.get(20..)?.strip_prefix('[')?.split_once("] ")?;
    Some((process.parse().ok().filter(|_| is_time)?, text))
}

/// The text of a line, if it is eximrbl's.
fn own(text: &str) -> Option<&str> {
    let after = text.split_once(' ').filter(|(word, _)| is_identifier(word));
    Some(after.map_or(text, |(_, rest)| rest)).filter(|text| text.starts_with("eximrbl:"))
}

/// The main log without eximrbl's lines.
pub fn steady_log(text: &str) -> String {
    let others = |line: &&str| parts(line).and_then(|(_, text)| own(text)).is_none();
    text.lines().filter(others).map(steady_line).collect()
}

/// The reject log, of which all is compared, headers of rejected messages included.
pub fn steady_reject_log(text: &str) -> String {
    text.lines().map(steady_line).collect()
}

fn steady_line(line: &str) -> String {
    let text = parts(line).map_or(line, |(_, text)| text);
    // The date in a Received header stands on a line of its own.
    if text.starts_with('\t') && text.ends_with("+0000") {
        return "\tDATE\n".to_owned();
    }
    // How many connections there are: the one before may not have been waited for yet.
    let text = text.split(" (TCP/IP connection count").next().unwrap_or(text);
    let words: Vec<&str> =
        text.split(' ').map(|word| if is_identifier(word) { "ID" } else { word }).collect();
    words.join(" ") + "\n"
}

/// True for a message identifier of Exim's, until 4.96 and since.
fn is_identifier(word: &str) -> bool {
    let word = word.strip_prefix("id=").unwrap_or(word).trim_end_matches(';').trim();
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    lengths == [6, 6, 2] || lengths == [6, 11, 4]
}

/// eximrbl's lines of a main log. `daemon` is the number of Exim's daemon.
pub fn told(text: &str, daemon: u32) -> Vec<Told> {
    let lines: Vec<(u32, &str)> = text.lines().filter_map(parts).collect();
    let teller = |process: u32| {
        if process == daemon {
            return Teller::Daemon;
        }
        let address =
            lines.iter().filter(|(writer, _)| *writer == process).find_map(|(_, line)| {
                let inside = line.split_once(" [").or_else(|| line.split_once("=["))?.1;
                Some(inside.split_once(']')?.0.to_owned())
            });
        Teller::Child(
            address.unwrap_or_else(|| format!("process {process}, of which no more is known")),
        )
    };
    let told = |&(process, line): &(u32, &str)| {
        let text = own(line)?.to_owned();
        Some(Told { teller: teller(process), process, text })
    };
    lines.iter().filter_map(told).collect()
}

/// Fails unless two texts are the same, with the lines where they part.
#[track_caller]
pub fn assert_same(what: &str, seen: &str, plain: &str) {
    if seen == plain {
        return;
    }
    let same = seen.lines().zip(plain.lines()).take_while(|(seen, plain)| seen == plain).count();
    let from = |text: &str| {
        let lines: Vec<&str> = text.lines().skip(same.saturating_sub(3)).take(8).collect();
        lines.join("\n")
    };
    let (seen, plain) = (from(seen), from(plain));
    panic!("{what}: differs from line {}:\n{seen}\n--- without eximrbl:\n{plain}", same + 1);
}

/// Fails unless every process told each cause at most once, and no mistake of the library's own.
#[track_caller]
pub fn assert_told_once(what: &str, told: &[Told]) {
    let mut causes = BTreeSet::new();
    for line in told {
        let is_first = causes.insert((line.process, line.cause()));
        assert_ne!(line.cause(), "panic", "{what}: {line:?}");
        assert!(is_first, "{what}: told twice by one process: {line:?}\n{told:#?}");
    }
}
