//! What is wrong with a configuration, and where.

use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: cannot read the configuration: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path}:{line}: not TOML: {problem}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser stumbled upon.
        problem: String,
    },
    /// A key that is unknown, missing, or has a value that does not do.
    #[error("{path}:{line}: {key}: {problem}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The line, from 1; that of the section when the key is missing.
        line: usize,
        /// The key with its section, such as `dns.listen` or `zone[0].name`.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// An option of the command line, in a configuration without a file.
    #[error("{option}: {problem}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// What is wrong at a key, before it is known on which line that stands.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) key: Key,
    pub(super) problem: String,
}

impl Wrong {
    pub(super) fn new(key: Key, problem: impl Into<String>) -> Self {
        Self { key, problem: printable(&problem.into()) }
    }
}

/// A text that may repeat what the file holds, for one line of a terminal or log: control characters
/// are written out.
pub(super) fn printable(text: &str) -> String {
    let mut clear = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => clear.extend(character.escape_default()),
            false => clear.push(character),
        }
    }
    clear
}

/// The way to a value: names of tables and keys, and places in arrays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) steps: Vec<Step>,
}

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

impl Key {
    /// The way to a section or a key at the top.
    pub(super) fn top(name: &str) -> Self {
        Self::default().name(name)
    }

    /// One step further, to a key.
    pub(super) fn name(&self, name: &str) -> Self {
        self.step(Step::Name(name.to_owned()))
    }

    /// One step further, to a place in an array (from 0).
    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    pub(super) fn step(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { steps }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, step) in self.steps.iter().enumerate() {
            match step {
                Step::Name(name) if place == 0 => f.write_str(&printable(name))?,
                Step::Name(name) => write!(f, ".{}", printable(name))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
