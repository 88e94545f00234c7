//! The documents' fenced blocks, so that a test runs what people read, not a copy of it.
//!
//! A mark in front of a block says what is done with it:
//!
//! ```text
//! <!-- run: ID -->               a configuration, or commands, that a test runs
//! <!-- file: ID /etc/… -->       a further file that belongs to the block ID
//! ```

use std::path::Path;

/// What the mark in front of a block says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is run under this name.
    Run(String),
    /// It is a file, at this path, of the block with this name.
    File(String, String),
}

/// One fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The line of its fence, from 1.
    pub line: usize,
    /// The word after the fence.
    pub language: String,
    /// The mark in front of it.
    pub mark: Option<Mark>,
    /// Its lines, without the indentation that the fence has.
    pub text: String,
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the checkout, by its path from the top.
#[track_caller]
pub fn checkout_text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Takes a Markdown text apart.
pub fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut mark = None;
    let mut open: Option<(usize, Block)> = None;
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match (&mut open, bare.strip_prefix("```")) {
            (None, Some(language)) => {
                let block = Block {
                    line: number + 1,
                    language: language.to_owned(),
                    mark: mark.take(),
                    text: String::new(),
                };
                open = Some((line.len() - bare.len(), block));
            }
            (Some(_), Some("")) => blocks.extend(open.take().map(|(_, block)| block)),
            (Some((indentation, block)), _) => {
                block.text.push_str(line.get(*indentation..).unwrap_or(""));
                block.text.push('\n');
            }
            (None, None) if bare.is_empty() => {}
            // Only a mark that stands directly before its block counts.
            (None, None) => mark = mark_of(bare),
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// Reads `<!-- run: ID -->` or `<!-- file: ID PATH -->`.
fn mark_of(line: &str) -> Option<Mark> {
    let inside = line.strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    if let Some(id) = inside.strip_prefix("run: ") {
        return Some(Mark::Run(id.to_owned()));
    }
    let (id, path) = inside.strip_prefix("file: ")?.split_once(' ')?;
    Some(Mark::File(id.to_owned(), path.to_owned()))
}
