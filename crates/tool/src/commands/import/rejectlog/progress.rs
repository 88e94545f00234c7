//! A bar on the terminal with rate and time left; nothing where nobody looks.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::log::Log;

/// How far an import is.
pub(super) struct Progress {
    /// Only on a terminal.
    bar: Option<ProgressBar>,
    /// Bytes of the files before this one.
    done: std::cell::Cell<u64>,
}

impl Progress {
    /// Of these files together.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let sizes = files.iter().filter_map(|file| std::fs::metadata(file).ok());
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}, {eta} left");
            // The template is right, so the default never steps in.
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(sizes.map(|file| file.len()).sum()).with_style(style)
        });
        Self { bar, done: std::cell::Cell::new(0) }
    }

    /// So far in this log, and so many lines in all.
    pub(super) fn at(&self, log: &mut Log, lines: u64) {
        if let Some(bar) = &self.bar {
            let seconds = bar.elapsed().as_secs_f64().max(0.001);
            bar.set_message(format!("{lines} lines, {:.0} a second", lines as f64 / seconds));
            bar.set_position(self.done.get() + log.read_so_far());
        }
    }

    /// To the end of this log.
    pub(super) fn done(&self, log: &mut Log) {
        self.done.set(self.done.get() + log.read_so_far());
    }

    /// Prints a line on standard error, above the bar.
    pub(super) fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
