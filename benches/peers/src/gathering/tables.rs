//! What was measured, as Markdown for docs/gathering.md.

use std::fmt::Write;

use super::mail::State;
use super::{Figures, IDLE, Run, Waits};
use crate::report::{rate, thousands};
use crate::statistics::median;

/// What the gatherer takes.
pub(crate) fn limits(machine: &str, figures: &Figures) -> String {
    let mut out = format!("{machine}.\n\n");
    out += "| reports | taken a second | µs CPU each | of it the kernel's | p50 | p99 |\n";
    out += "| --- | --: | --: | --: | --: | --: |\n";
    let idle = format!("the same, {} idle connections beside", thousands(IDLE as u64));
    let rows = [
        ("one connection by TLS", &figures.stream),
        ("the same from an eximrbld's forwarder", &figures.forwarder),
        ("a connection each, unsigned, from its host", &figures.unsigned),
        ("a connection each, signed", &figures.signed),
        (&idle, &figures.beside_idle),
        ("a connection each, to socat, which writes them down", &figures.socat),
    ];
    for (name, runs) in rows {
        let _ = writeln!(out, "| {name} |{} |", cells(runs));
    }
    out += "\n| report by | visible in DNS after: p50 | p99 | longest |\n";
    out += "| --- | --: | --: | --: |\n";
    for (way, took) in &figures.visible {
        let [p50, p99, longest] = took.map(|nanoseconds| milliseconds(nanoseconds as f64 / 1e6));
        let _ = writeln!(out, "| {way} | {p50} | {p99} | {longest} |");
    }
    out
}

/// Medians of the runs.
fn cells(runs: &[Run]) -> String {
    let of = |field: fn(&Run) -> f64| median(runs.iter().map(field)).unwrap_or(0.0);
    let [p50, p99] = [of(|run| run.p50 as f64), of(|run| run.p99 as f64)].map(|nanoseconds| {
        if nanoseconds == 0.0 { "–".to_owned() } else { milliseconds(nanoseconds / 1e6) }
    });
    format!(
        " {} | {:.1} | {:.1} | {p50} | {p99}",
        rate(of(|run| run.rate)),
        of(|run| run.user + run.system),
        of(|run| run.system)
    )
}

/// What clients wait for.
pub(crate) fn waits(machine: &str, waits: &[Waits]) -> String {
    let mut out = format!(
        "{machine}. The time until the 550 is there, for the first recipient, and for the second.\n\n|"
    );
    out += " Exim reports by | the gatherer";
    let names: Vec<&str> = State::ALL.map(State::name).into();
    let _ = writeln!(out, " {} |\n| --- {}|", names.join(" | it "), "| --: ".repeat(names.len()));
    for Waits { way, times } in waits {
        let _ = write!(out, "| {} ", way.name());
        for [first, second] in times {
            let _ = write!(out, "| {}, {} ", milliseconds(*first), milliseconds(*second));
        }
        out += "|\n";
    }
    out
}

fn milliseconds(number: f64) -> String {
    if number >= 1000.0 { format!("{:.2} s", number / 1e3) } else { format!("{number:.2} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gathering::mail::Way;

    /// Caught: the second recipient's time in the first one's place; seconds told in milliseconds.
    #[test]
    fn figures_become_tables() {
        let run = |rate| Run { rate, user: 1.0, system: 2.5, p50: 1_500_000, p99: 2_000_000_000 };
        let runs = |rate| vec![run(rate); 3];
        let figures = Figures {
            stream: vec![Run { p50: 0, p99: 0, ..run(123_456.0) }],
            forwarder: runs(100_000.0),
            unsigned: runs(30_000.0),
            signed: runs(20_000.0),
            beside_idle: runs(19_000.0),
            socat: runs(900.0),
            visible: vec![("datagram", [100_000, 1_000_000, 5_000_000])],
        };
        let text = limits("machine", &figures);
        assert!(text.contains("| one connection by TLS | 123k | 3.5 | 2.5 | – | – |"), "{text}");
        assert!(text.contains("| 1.50 ms | 2.00 s |"), "{text}");
        assert!(text.contains("| datagram | 0.10 ms | 1.00 ms | 5.00 ms |"), "{text}");
        let text =
            waits("machine", &[Waits { way: Way::Functions(3), times: vec![[3001.0, 0.5]; 4] }]);
        assert!(text.contains("| TCP, `rbl_report`, `3s` | 3.00 s, 0.50 ms |"), "{text}");
    }
}
