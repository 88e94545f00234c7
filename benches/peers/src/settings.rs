//! What the environment says of a run.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `EXIMRBL_BENCH_SERVERS` | all | which ones, by their short names, with commas |
//! | `EXIMRBL_BENCH_ENTRIES` | 1000000,10000000 | numbers of entries |
//! | `EXIMRBL_BENCH_SECONDS` | 6 | of each run under saturating load |
//! | `EXIMRBL_BENCH_ROUNDS` | 3 | of which the median is taken |
//! | `EXIMRBL_BENCH_ALL` | | 1: NSD, Knot and `PowerDNS` with many entries, too |
//! | `EXIMRBL_BENCH_PARTS` | all | of the reports: `limits`, `latency` |
//! | `EXIMRBL_BENCH_VARIANTS` | all | which ways to record, by their short names, with commas |
//!
//! Beside these, `benches/stage.sh` reads `EXIMRBL_BENCH_DATA`: the folder for the entries and for the
//! servers' state, `target/bench-data` by default. For Exim the runs are shorter (1.5 s) and more (9),
//! and of reports they take 2 s.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::exim::Variant;
use crate::servers::Which;

/// Above so many entries, only those servers that are made for it.
const MANY: u32 = 1_000_000;

/// A run of the name servers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// The servers, in the order of the tables.
    pub(crate) servers: Vec<Which>,
    /// Numbers of entries.
    pub(crate) entries: Vec<u32>,
    /// Of one run under saturating load.
    pub(crate) time: Duration,
    /// Runs of each kind.
    pub(crate) rounds: usize,
    /// All servers at all numbers of entries.
    pub(crate) all: bool,
    /// Ways to record, in the order of the table.
    pub(crate) variants: Vec<Variant>,
    /// Of one run of sessions.
    pub(crate) session_time: Duration,
    /// Runs of sessions of each kind.
    pub(crate) session_rounds: usize,
    /// Of one run of reports.
    pub(crate) gathering_time: Duration,
    /// What is measured of reports.
    pub(crate) parts: Vec<Part>,
}

/// What can be measured of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What the gatherer takes.
    Limits,
    /// What Exim waits for.
    Latency,
}

impl Part {
    const ALL: [Self; 2] = [Self::Limits, Self::Latency];

    fn short_name(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Latency => "latency",
        }
    }
}

impl Settings {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Result<Self> {
        Self::parse(|name| std::env::var(format!("EXIMRBL_BENCH_{name}")).ok())
    }

    fn parse(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let number = |name: &str, default: f64| match variable(name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if number > 0.0 && number < 1e9 => Ok(number),
                _ => bail!("EXIMRBL_BENCH_{name}={text}: must be a number above 0"),
            },
        };
        let servers =
            chosen("SERVERS", variable("SERVERS"), &Which::ALL, |which| which.short_name())?;
        let variants =
            chosen("VARIANTS", variable("VARIANTS"), &Variant::ALL, |which| which.short_name())?;
        let entries = variable("ENTRIES").unwrap_or_else(|| "1000000,10000000".to_owned());
        let entries = entries
            .split(',')
            .map(|text| {
                let entries = text.trim().parse().ok().filter(|n| (1000..100_000_000).contains(n));
                entries.with_context(|| {
                    format!("EXIMRBL_BENCH_ENTRIES: {text:?} must be 1000 to 99999999")
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            servers,
            entries,
            time: Duration::from_secs_f64(number("SECONDS", 6.0)?),
            rounds: number("ROUNDS", 3.0)?.ceil() as usize,
            all: variable("ALL").is_some_and(|text| text == "1"),
            variants,
            session_time: Duration::from_secs_f64(number("SECONDS", 1.5)?),
            session_rounds: number("ROUNDS", 9.0)?.ceil() as usize,
            gathering_time: Duration::from_secs_f64(number("SECONDS", 2.0)?),
            parts: chosen("PARTS", variable("PARTS"), &Part::ALL, |part| part.short_name())?,
        })
    }

    /// The servers for so many entries.
    pub(crate) fn servers_for(&self, entries: u32) -> Vec<Which> {
        let is_wanted = |which: &Which| entries <= MANY || self.all || which.is_for_many();
        self.servers.iter().copied().filter(is_wanted).collect()
    }
}

/// Those of `all` that a variable names, in the order of `all`.
fn chosen<T: Copy>(
    variable: &str,
    text: Option<String>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<T>> {
    let Some(text) = text else { return Ok(all.to_vec()) };
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    let known: Vec<&str> = all.iter().map(|&one| name(one)).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("EXIMRBL_BENCH_{variable}: {unknown:?} is none of {}", known.join(", "));
    }
    Ok(all.iter().copied().filter(|&one| names.contains(&name(one))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::parse(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    /// Caught: servers left out of the default; the order of the variable kept.
    #[test]
    fn the_environment_chooses() {
        let default = parse(&[]).unwrap();
        assert_eq!(default.servers, Which::ALL);
        assert_eq!(default.entries, [1_000_000, 10_000_000]);
        assert_eq!(default.servers_for(1_000_000).len(), 8);
        assert_eq!(default.servers_for(10_000_000).len(), 5);
        let some =
            [("SERVERS", "nsd,eximrbld"), ("ENTRIES", "5000"), ("SECONDS", "0.5"), ("ALL", "1")];
        let some = parse(&some).unwrap();
        assert_eq!(some.servers, [Which::Eximrbld, Which::Nsd]);
        assert_eq!(some.time, Duration::from_millis(500));
        assert_eq!(some.servers_for(10_000_000).len(), 2);
    }

    /// Caught: numbers below the least taken.
    #[test]
    fn mistakes_name_the_variable() {
        let mistakes = [
            ("SERVERS", "bind"),
            ("ENTRIES", "many"),
            ("ENTRIES", "10"),
            ("SECONDS", "0"),
            ("SECONDS", "NaN"),
            ("ROUNDS", "-1"),
        ];
        for mistake in mistakes {
            let error = parse(&[mistake]).unwrap_err().to_string();
            assert!(error.contains(&format!("EXIMRBL_BENCH_{}", mistake.0)), "{error}");
        }
    }
}
