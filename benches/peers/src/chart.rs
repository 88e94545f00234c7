//! Bar charts as SVG.

use std::fmt::Write;

use crate::dns::Comparison;
use crate::exim;
use crate::report::{figures, middle, rate, runs_of_a};
use crate::servers::Which;
use crate::statistics::median;

const WIDTH: f64 = 840.0;
/// Where bars begin, and the longest ends.
const LEFT: f64 = 262.0;
const RIGHT: f64 = WIDTH - 108.0;
const BAR: f64 = 14.0;
/// Between the bars of one row, and between rows.
const GAP: f64 = 2.0;
const ROW_GAP: f64 = 12.0;
const HEAD: f64 = 62.0;

const INK: &str = "#1f2933";
const FAINT: &str = "#697586";
const GRID: &str = "#e3e8ef";
/// Of series, in order; readable for the colour-blind, and in grey.
const COLOURS: [&str; 2] = ["#1f6feb", "#9ac2f7"];
/// The same for the rows that are ours.
const OWN: [&str; 2] = ["#d9580d", "#f5b183"];

/// A chart: rows of bars, one for each series, or one bar of parts.
struct Panel {
    title: String,
    /// What the bars' lengths are.
    unit: &'static str,
    series: Vec<String>,
    /// The series are parts of one bar.
    stacked: bool,
    rows: Vec<Row>,
    format: fn(f64) -> String,
}

struct Row {
    label: String,
    own: bool,
    values: Vec<Option<f64>>,
}

impl Row {
    fn longest(&self) -> Option<f64> {
        self.values.iter().flatten().copied().reduce(f64::max)
    }

    fn total(&self) -> Option<f64> {
        let values: Vec<f64> = self.values.iter().flatten().copied().collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

/// Answers a second, and processor time, of the name servers.
pub(crate) fn dns(machine: &str, comparisons: &[Comparison]) -> String {
    let Some(first) = comparisons.first() else { return String::new() };
    let entries = |comparison: &Comparison| {
        format!("{} million entries", f64::from(comparison.entries) / 1e6)
    };
    let shown = &comparisons[..comparisons.len().min(2)];
    let row = |which: Which, values| Row {
        label: which.name().to_owned(),
        own: matches!(which, Which::Eximrbld | Which::EximrbldHuge),
        values,
    };
    let rates = first.figures.iter().map(|&(which, _)| {
        let of = |comparison| middle(&runs_of_a(figures(comparison, which)?), |run| run.rate);
        row(which, shown.iter().map(of).collect())
    });
    let times = first.figures.iter().map(|(which, figures)| {
        let runs = runs_of_a(figures);
        row(*which, vec![middle(&runs, |run| run.system), middle(&runs, |run| run.user)])
    });
    draw(
        machine,
        &[
            Panel {
                title: "DNS answers a second, one processor".to_owned(),
                unit: "more is better; saturating load of A queries, half of them listed",
                series: shown.iter().map(entries).collect(),
                stacked: false,
                rows: rates.collect(),
                format: rate,
            },
            Panel {
                title: format!("Processor time of an answer, {}", entries(first)),
                unit: "µs, less is better; in brackets the program's own part",
                series: vec!["in the kernel".to_owned(), "in the program".to_owned()],
                stacked: true,
                rows: times.collect(),
                format: |value| format!("{value:.2}"),
            },
        ],
    )
}

/// What a session costs Exim.
pub(crate) fn exim(machine: &str, figures: &[exim::Figures]) -> String {
    let panel = |place: usize, recipients: usize| {
        let rows = figures.iter().map(|figures| Row {
            label: figures.variant.name().to_owned(),
            own: figures.variant.is_ours(),
            values: vec![median(figures.runs[place].iter().map(|run| run.cpu))],
        });
        Panel {
            title: format!(
                "An SMTP session with {recipients} refused recipient{}",
                if recipients == 1 { "" } else { "s" }
            ),
            unit: "ms of processor time, less is better",
            series: Vec::new(),
            stacked: false,
            rows: rows.collect(),
            format: |value| format!("{value:.2}"),
        }
    };
    let places = exim::RECIPIENTS.into_iter().enumerate();
    let panels: Vec<Panel> = places.map(|(place, recipients)| panel(place, recipients)).collect();
    draw(machine, &panels)
}

fn draw(machine: &str, panels: &[Panel]) -> String {
    let mut body = String::new();
    let mut y = 12.0;
    for panel in panels {
        y = draw_panel(&mut body, panel, y);
    }
    text(&mut body, 20.0, y + 10.0, machine, "small");
    let height = y + 26.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <style>\n\
         text {{ font-family: system-ui, 'DejaVu Sans', Arial, sans-serif; fill: {INK}; font-size: 13px }}\n\
         .title {{ font-size: 16px; font-weight: 600 }}\n\
         .small {{ fill: {FAINT}; font-size: 11.5px }}\n\
         .end {{ text-anchor: end }}\n\
         .own {{ font-weight: 600 }}\n\
         </style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n\
         {body}</svg>\n"
    )
}

/// Draws from `top` down, and gives where the next one may begin.
fn draw_panel(out: &mut String, panel: &Panel, top: f64) -> f64 {
    text(out, 20.0, top + 18.0, &panel.title, "title");
    text(out, 20.0, top + 37.0, panel.unit, "small");
    legend(out, panel, top + 28.0);
    let longest = longest(panel);
    let step = step(longest);
    let end = (longest / step).ceil().max(1.0) * step;
    let scale = (RIGHT - LEFT) / end;
    let bars = if panel.stacked { 1 } else { panel.series.len().max(1) };
    let height = bars as f64 * (BAR + GAP) - GAP;
    let bottom = top + HEAD + panel.rows.len() as f64 * (height + ROW_GAP);
    let mut tick = 0.0;
    while tick <= end * 1.0001 {
        let x = LEFT + tick * scale;
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{GRID}\"/>",
            top + HEAD - 8.0,
            bottom - 4.0
        );
        tick += step;
    }
    let mut y = top + HEAD;
    for row in &panel.rows {
        let class = if row.own { "end own" } else { "end" };
        text(out, LEFT - 10.0, y + height / 2.0 + 4.5, &row.label, class);
        let colours = if row.own { OWN } else { COLOURS };
        if panel.stacked {
            draw_parts(out, row, y, scale, &colours, panel.format);
        } else {
            for (place, value) in row.values.iter().enumerate() {
                let Some(value) = *value else { continue };
                let y = y + place as f64 * (BAR + GAP);
                let width = (value * scale).min(RIGHT - LEFT);
                bar(out, LEFT, y, width, colours[place % 2]);
                if value > end {
                    break_off(out, y);
                }
                text(out, LEFT + width + 6.0, y + BAR - 2.5, &(panel.format)(value), "");
            }
        }
        y += height + ROW_GAP;
    }
    bottom + 18.0
}

/// One bar of parts, and its total.
fn draw_parts(
    out: &mut String,
    row: &Row,
    y: f64,
    scale: f64,
    colours: &[&str; 2],
    format: fn(f64) -> String,
) {
    let total = row.total().unwrap_or(0.0);
    let fits = total * scale <= RIGHT - LEFT;
    let scale = if fits { scale } else { (RIGHT - LEFT) / total };
    let mut x = LEFT;
    for (place, value) in row.values.iter().enumerate() {
        let width = value.unwrap_or(0.0) * scale;
        // The kernel's part is the pale one: what the program adds is what differs.
        bar(out, x, y, width, colours[1 - place % 2]);
        x += width;
    }
    if !fits {
        break_off(out, y);
    }
    if let (Some(total), Some(own)) = (row.total(), row.values.last().copied().flatten()) {
        text(out, x + 6.0, y + BAR - 2.5, &format!("{} ({})", format(total), format(own)), "");
    }
}

/// What the colours mean, at the right.
fn legend(out: &mut String, panel: &Panel, y: f64) {
    let mut x = WIDTH - 20.0;
    for (place, name) in panel.series.iter().enumerate().rev() {
        x -= name.chars().count() as f64 * 6.6;
        text(out, x, y + 9.0, name, "small");
        x -= 34.0;
        let shade = if panel.stacked { 1 - place } else { place };
        for (colours, at) in [(COLOURS, x), (OWN, x + 14.0)] {
            let colour = colours[shade % 2];
            let _ = writeln!(
                out,
                "<rect x=\"{at:.1}\" y=\"{y:.1}\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{colour}\"/>"
            );
        }
        x -= 18.0;
    }
}

/// A distance of grid lines: 1, 2 or 5 of some power of ten, about five to the longest.
fn step(longest: f64) -> f64 {
    if longest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf((longest / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| longest / step <= 6.0).unwrap_or(steps[3])
}

/// The longest bar that the scale is made for. One that is three times as long as all others
/// would leave no room for those, and is broken off instead.
fn longest(panel: &Panel) -> f64 {
    let mut values: Vec<f64> = panel
        .rows
        .iter()
        .filter_map(|row| if panel.stacked { row.total() } else { row.longest() })
        .collect();
    values.sort_by(|one, other| other.total_cmp(one));
    match values[..] {
        [first, second, ..] if first > 3.0 * second => second,
        [first, ..] => first,
        [] => 0.0,
    }
}

/// A gap in a bar that is longer than the scale.
fn break_off(out: &mut String, y: f64) {
    let (x, top, bottom) = (RIGHT - 26.0, y - 1.0, y + BAR + 1.0);
    let _ = writeln!(
        out,
        "<path d=\"M{:.1} {bottom:.1} L{:.1} {top:.1} h6 L{:.1} {bottom:.1} z\" fill=\"#ffffff\"/>",
        x,
        x + 5.0,
        x + 6.0
    );
}

fn bar(out: &mut String, x: f64, y: f64, width: f64, colour: &str) {
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"1.5\" fill=\"{colour}\"/>"
    );
}

fn text(out: &mut String, x: f64, y: f64, content: &str, class: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{content}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(values: &[f64]) -> Panel {
        let row = |&value| Row { label: String::new(), own: false, values: vec![Some(value)] };
        Panel {
            title: String::new(),
            unit: "",
            series: Vec::new(),
            stacked: false,
            rows: values.iter().map(row).collect(),
            format: rate,
        }
    }

    /// Caught: steps of 10 only, with which there may be a single line.
    #[test]
    fn the_grid_has_some_lines_and_not_many() {
        for longest in [0.0001, 0.7, 1.0, 3.0, 9.99, 303_000.0] {
            let lines = (longest / step(longest)).ceil();
            assert!((3.0..=6.0).contains(&lines), "{longest}: {lines}");
        }
        assert!(step(0.0) > 0.0);
    }

    /// Caught: the scale made for the longest bar, whatever the others are.
    #[test]
    fn a_bar_far_longer_than_the_others_is_broken_off() {
        assert_eq!(longest(&panel(&[2.0, 54.0, 7.0])), 7.0);
        assert_eq!(longest(&panel(&[2.0, 20.0, 7.0])), 20.0);
        assert_eq!(longest(&panel(&[5.0])), 5.0);
        assert_eq!(longest(&panel(&[])), 0.0);
        let broken = |values| {
            let mut out = String::new();
            draw_panel(&mut out, &panel(values), 0.0);
            out.matches("<path").count()
        };
        assert_eq!(broken(&[2.0, 54.0, 7.0]), 1);
        assert_eq!(broken(&[2.0, 20.0, 7.0]), 0);
    }

    /// Caught: text not escaped.
    #[test]
    fn text_is_escaped() {
        let mut out = String::new();
        text(&mut out, 0.0, 0.0, "a < b & c", "");
        assert!(out.contains("a &lt; b &amp; c"));
    }
}
