//! What was measured, as Markdown for `docs/benchmarks.md`.

use std::fmt::Write;

use crate::dns::{Comparison, Figures, Live, RATES, RECORD_RATE, Run};
use crate::exim::{self, listed::Listed};
use crate::servers::Which;
use crate::statistics::median;

/// A server that used less of its processor than this could have taken more load.
const SATURATED: f64 = 0.95;

/// The tables of the name servers.
pub(crate) fn dns(machine: &str, comparisons: &[Comparison], listed: Option<&Listed>) -> String {
    let mut out = String::new();
    let versions = comparisons.first().map(versions).unwrap_or_default();
    let _ = writeln!(out, "{machine}. {versions}.\n");
    let _ = writeln!(out, "![Answers a second and processor time](benchmarks-dns.svg)");
    for comparison in comparisons {
        let _ = writeln!(out, "\n### {} entries\n", thousands(comparison.entries.into()));
        out += &saturated(comparison);
        out += &kinds(comparison);
        out += &standing(comparison);
        let live = comparison.figures.iter().find_map(|(_, figures)| figures.live.as_ref());
        out += &live.map(writes).unwrap_or_default();
    }
    if let Some(listed) = listed {
        let _ = writeln!(
            out,
            "\n### From Exim's 550 to a listed answer\n\n\
             {} sessions, each of a client that was new: p50 {}, p99 {}, longest {}. In {} of them \
             the first answer said that the client is listed.",
            listed.sessions,
            microseconds(listed.p50 as f64 / 1e3),
            microseconds(listed.p99 as f64 / 1e3),
            microseconds(listed.longest as f64 / 1e3),
            listed.at_once
        );
    }
    out
}

/// A few figures for the README.
pub(crate) fn dns_short(machine: &str, comparisons: &[Comparison]) -> String {
    let mut out = String::new();
    let [few, many @ ..] = comparisons else { return out };
    let _ = writeln!(out, "{machine}; {}.\n", versions(few));
    let mut head = vec!["server".to_owned()];
    for comparison in comparisons {
        let millions = comparison.entries / 1_000_000;
        head.push(format!("answers/s, {millions} M entries"));
        head.push("µs of CPU each".to_owned());
    }
    let last = comparisons.last().unwrap_or(few);
    head.extend(["first answer after".to_owned(), "memory".to_owned()]);
    let mut table = Table::new(head);
    for (which, _) in &few.figures {
        let mut row = vec![which.name().to_owned()];
        for comparison in std::iter::once(few).chain(many) {
            let runs = figures(comparison, *which).map(runs_of_a).unwrap_or_default();
            row.push(value(middle(&runs, |run| run.rate), rate));
            row.push(value(middle(&runs, |run| run.user + run.system), two));
        }
        let standing = figures(last, *which).or_else(|| figures(few, *which));
        let start = standing.and_then(|figures| median(figures.start.iter().copied()));
        row.push(value(start, seconds));
        row.push(value(standing.map(|figures| figures.memory.rss as f64), megabytes));
        table.add(row);
    }
    out += &table.text();
    out
}

fn versions(comparison: &Comparison) -> String {
    let mut versions = Vec::new();
    for (which, _) in &comparison.figures {
        let name = which.name().split([' ', ',']).next().unwrap_or_default();
        let version = format!("{name} {}", which.version());
        if *which != Which::Echo && !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions.join(", ")
}

/// What is compared: plain A queries, as many as the server can take.
fn saturated(comparison: &Comparison) -> String {
    let head = [
        "server",
        "answers/s",
        "of the floor",
        "× rbldnsd",
        "× rbldnsd -a",
        "µs CPU per answer",
        "user",
        "system",
        "lost",
    ];
    let mut table = Table::new(head.map(str::to_owned).into());
    let rate_of = |which| {
        figures(comparison, which).and_then(|figures| middle(&runs_of_a(figures), |run| run.rate))
    };
    for (which, figures) in &comparison.figures {
        let runs = runs_of_a(figures);
        let own = middle(&runs, |run| run.rate);
        let by = |other| Some(own? / rate_of(other)?);
        let busy = middle(&runs, |run| run.busy).unwrap_or(1.0);
        let mark = if busy < SATURATED { " \\*" } else { "" };
        table.add(vec![
            which.name().to_owned(),
            value(own, rate) + mark,
            value(by(Which::Echo), |share| format!("{:.0} %", share * 100.0)),
            value(by(Which::Rbldnsd), two),
            value(by(Which::RbldnsdBare), two),
            value(middle(&runs, |run| run.user + run.system), two),
            value(middle(&runs, |run| run.user), two),
            value(middle(&runs, |run| run.system), two),
            value(middle(&runs, |run| run.lost), |lost| format!("{:.2} %", lost * 100.0)),
        ]);
    }
    let mut text = table.text();
    if text.contains("\\*") {
        text += "\n\\* The load was less than this server could take: its processor was idle for more \
                 than a twentieth of the time.\n";
    }
    text
}

/// The other queries, if there were any.
fn kinds(comparison: &Comparison) -> String {
    let labels = ["A, EDNS", "TXT", "IPv6"];
    let has =
        |label| comparison.figures.iter().any(|(_, figures)| figures.runs.contains_key(label));
    let labels: Vec<&str> = labels.into_iter().filter(|label| has(*label)).collect();
    if labels.is_empty() {
        return String::new();
    }
    let mut head = vec!["answers/s (µs CPU)".to_owned()];
    head.extend(labels.iter().map(|&label| label.to_owned()));
    let mut table = Table::new(head);
    for (which, figures) in &comparison.figures {
        let mut row = vec![which.name().to_owned()];
        for label in &labels {
            let runs = figures.runs.get(label).cloned().unwrap_or_default();
            let cpu = middle(&runs, |run| run.user + run.system).unwrap_or_default();
            row.push(value(middle(&runs, |run| run.rate), |it| format!("{} ({cpu:.2})", rate(it))));
        }
        table.add(row);
    }
    format!("\n{}", table.text())
}

/// Latency, start, memory.
fn standing(comparison: &Comparison) -> String {
    let mut head = vec!["server".to_owned()];
    for rate in RATES {
        head.push(format!("p50, p99 at {}/s", thousands(rate.into())));
    }
    let asked = comparison.figures.iter().any(|(_, figures)| figures.dnsperf.is_some());
    head.extend(["first answer after", "RSS", "of it files"].map(str::to_owned));
    if asked {
        head.push("dnsperf, answers/s".to_owned());
    }
    let mut table = Table::new(head);
    for (which, figures) in &comparison.figures {
        let mut row = vec![which.name().to_owned()];
        for rate in RATES {
            let all = figures.latency.get(&rate).cloned().unwrap_or_default();
            let p50 = median(all.iter().map(|latency| latency.p50 as f64 / 1e3));
            let p99 = median(all.iter().map(|latency| latency.p99 as f64 / 1e3));
            row.push(format!("{}, {}", value(p50, microseconds), value(p99, microseconds)));
        }
        row.push(value(median(figures.start.iter().copied()), seconds));
        row.push(megabytes(figures.memory.rss as f64));
        row.push(megabytes(figures.memory.files as f64));
        if asked {
            row.push(value(figures.dnsperf, rate));
        }
        table.add(row);
    }
    format!("\n{}", table.text())
}

/// What live writes change.
fn writes(live: &Live) -> String {
    let calls = thousands(RECORD_RATE.into());
    let head = ["eximrbld", "answers/s", "µs CPU per answer", "user", "p50", "p99"];
    let mut table = Table::new(head.map(str::to_owned).into());
    for (name, runs, latency) in [
        ("alone".to_owned(), &live.without, &live.latency_without),
        (format!("with {calls} `rbl_record` a second"), &live.with, &live.latency_with),
    ] {
        table.add(vec![
            name,
            value(middle(runs, |run| run.rate), rate),
            value(middle(runs, |run| run.user + run.system), two),
            value(middle(runs, |run| run.user), two),
            value(median(latency.iter().map(|it| it.p50 as f64 / 1e3)), microseconds),
            value(median(latency.iter().map(|it| it.p99 as f64 / 1e3)), microseconds),
        ]);
    }
    let calls = thousands(live.calls.round() as u64);
    format!(
        "\nLive writes, in turns with runs without them, latency at {} queries a second ({calls} calls a \
         second were made, all of them counted by the table, and what they listed was served):\n\n{}",
        thousands(RATES[1].into()),
        table.text()
    )
}

/// The tables of Exim's sessions.
pub(crate) fn exim(machine: &str, figures: &[exim::Figures]) -> String {
    let version = crate::machine::version("exim4-daemon-heavy");
    let mut out =
        format!("{machine}. Exim {version}.\n\n![What a session costs](benchmarks-exim.svg)\n");
    for (place, recipients) in exim::RECIPIENTS.into_iter().enumerate() {
        let plural = if recipients == 1 { "" } else { "s" };
        let _ = writeln!(out, "\n### {recipients} refused recipient{plural} a session\n");
        let head = ["recorded by", "sessions/s", "ms CPU per session", "over bare", "page faults"];
        let mut table = Table::new(head.map(str::to_owned).into());
        for own in figures {
            let runs = &own.runs[place];
            let of = |field: fn(&exim::Run) -> f64| median(runs.iter().map(field));
            table.add(vec![
                own.variant.title(),
                value(of(|run| run.rate), rate),
                value(of(|run| run.cpu), |cpu| format!("{cpu:.3}")),
                value(over_bare(figures, own, place), |over| format!("{:+.1} %", over * 100.0)),
                value(of(|run| run.faults), |faults| format!("{faults:.0}")),
            ]);
        }
        out += &table.text();
    }
    out
}

/// How much more a session costs: the median over the rounds, each compared with its own round.
fn over_bare(figures: &[exim::Figures], own: &exim::Figures, place: usize) -> Option<f64> {
    let bare = figures.iter().find(|figures| figures.variant == exim::Variant::Bare)?;
    let pairs = own.runs[place].iter().zip(&bare.runs[place]);
    (own.variant != exim::Variant::Bare).then_some(())?;
    median(pairs.map(|(own, bare)| own.cpu / bare.cpu - 1.0))
}

/// The figures of a server.
pub(crate) fn figures(comparison: &Comparison, which: Which) -> Option<&Figures> {
    comparison.figures.iter().find(|(other, _)| *other == which).map(|(_, figures)| figures)
}

/// The runs of plain A queries.
pub(crate) fn runs_of_a(figures: &Figures) -> Vec<Run> {
    figures.runs.get("A").cloned().unwrap_or_default()
}

/// The median of a field of all runs.
pub(crate) fn middle(runs: &[Run], field: impl Fn(&Run) -> f64) -> Option<f64> {
    median(runs.iter().map(field))
}

/// A Markdown table: the first column to the left, all others to the right.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new(head: Vec<String>) -> Self {
        let rule = head.iter().enumerate();
        let rule = rule.map(|(place, _)| if place == 0 { "---" } else { "--:" }.to_owned());
        let rule = rule.collect();
        Self(vec![head, rule])
    }

    fn add(&mut self, row: Vec<String>) {
        self.0.push(row);
    }

    fn text(&self) -> String {
        let rows = self.0.iter().map(|row| format!("| {} |\n", row.join(" | ")));
        rows.collect()
    }
}

fn value(value: Option<f64>, format: impl Fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), format)
}

fn two(number: f64) -> String {
    format!("{number:.2}")
}

/// Three figures are what the noise leaves.
pub(crate) fn rate(rate: f64) -> String {
    if rate >= 1000.0 { format!("{:.0}k", rate / 1e3) } else { format!("{rate:.0}") }
}

fn microseconds(number: f64) -> String {
    match number {
        ..1000.0 => format!("{number:.0} µs"),
        ..10_000.0 => format!("{:.2} ms", number / 1e3),
        _ => format!("{:.0} ms", number / 1e3),
    }
}

fn seconds(number: f64) -> String {
    if number < 0.1 { format!("{:.1} ms", number * 1e3) } else { format!("{number:.2} s") }
}

fn megabytes(bytes: f64) -> String {
    format!("{:.0} MB", bytes / 1e6)
}

/// With commas between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught: commas counted from the left.
    #[test]
    fn numbers_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(10_000_000), "10,000,000");
        assert_eq!(rate(303_499.0), "303k");
        assert_eq!(rate(12.4), "12");
        assert_eq!(microseconds(61.8), "62 µs");
        assert_eq!(microseconds(1234.0), "1.23 ms");
        assert_eq!(seconds(0.0123), "12.3 ms");
        assert_eq!(seconds(5.512), "5.51 s");
    }

    /// Caught: the ratio turned over; a server that failed shown as 0.
    #[test]
    fn a_comparison_becomes_tables() {
        let run = |rate, busy| Run { rate, user: 0.2, system: 3.4, busy, lost: 0.001 };
        let with = |rate, busy| {
            let mut figures = Figures { start: vec![0.012], ..Figures::default() };
            figures.runs.insert("A", vec![run(rate, busy); 3]);
            figures
        };
        let comparison = Comparison {
            entries: 1_000_000,
            figures: vec![
                (Which::Echo, with(400_000.0, 0.9)),
                (Which::Eximrbld, with(300_000.0, 1.0)),
                (Which::Rbldnsd, with(200_000.0, 1.0)),
            ],
        };
        let text = dns("machine", &[comparison], None);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(text.contains("### 1,000,000 entries"));
        assert!(
            line("| eximrbld").contains("| 300k | 75 % | 1.50 | – | 3.60 | 0.20 | 3.40 | 0.10 % |")
        );
        assert!(line("| UDP echo").contains("| 400k \\* | 100 %"));
        assert!(text.contains("12.0 ms"));
    }
}
