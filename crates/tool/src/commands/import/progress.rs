//! A bar on the terminal with rate and time left; nothing where nobody looks.

use std::cell::Cell;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::rc::Rc;

use indicatif::{ProgressBar, ProgressStyle};

/// How far it is.
pub(super) struct Progress {
    /// Only on a terminal.
    bar: Option<ProgressBar>,
    /// Bytes read of all files, compressed as they are.
    bytes: Rc<Cell<u64>>,
    lines: Cell<u64>,
}

impl Progress {
    /// Of these files together; where one of them is a pipe, the end is not known.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let size = |file: &PathBuf| {
                let metadata = std::fs::metadata(file).ok()?;
                metadata.is_file().then_some(metadata.len())
            };
            let total: Option<u64> = files.iter().map(size).sum();
            let (bar, template) = match total {
                Some(total) => {
                    let template = "{bar:30} {percent:>3} %  {msg}, {eta} left";
                    (ProgressBar::new(total), template)
                }
                None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}, {elapsed}"),
            };
            // The templates are right, so the default never steps in.
            let style = ProgressStyle::with_template(template);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, bytes: Rc::default(), lines: Cell::new(0) }
    }

    /// Where the bytes that are read are to be counted.
    pub(super) fn bytes(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.bytes)
    }

    /// So many more lines are done.
    pub(super) fn lines(&self, more: u64) {
        self.lines.set(self.lines.get() + more);
        if let Some(bar) = &self.bar {
            let lines = self.lines.get();
            let seconds = bar.elapsed().as_secs_f64().max(0.001);
            bar.set_message(format!("{lines} lines, {:.0} a second", lines as f64 / seconds));
            bar.set_position(self.bytes.get());
        }
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
