//! README.md, taken apart: its fenced blocks, and what stands between backquotes.

use crate::harness::{Block, Mark, checkout_text, parse};

/// All blocks, in order.
pub fn blocks() -> Vec<Block> {
    parse(&checkout_text("README.md"))
}

/// The commands of the block that is run under this name.
#[track_caller]
pub fn commands(id: &str) -> String {
    let mark = Mark::Run(id.to_owned());
    let found = blocks().into_iter().find(|block| block.mark.as_ref() == Some(&mark));
    found.unwrap_or_else(|| panic!("README.md has no block marked <!-- run: {id} -->")).text
}

/// All that stands between backquotes on one line of a document.
pub fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}
