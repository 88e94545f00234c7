//! ACL.md, taken apart into its fenced blocks.

use std::path::PathBuf;

pub use crate::harness::{Block, Mark, checkout_text, parse, root};

/// All blocks of ACL.md, in order.
pub fn blocks() -> Vec<Block> {
    parse(&checkout_text("ACL.md"))
}

/// The block that is run under this name.
#[track_caller]
pub fn block(id: &str) -> Block {
    let mark = Mark::Run(id.to_owned());
    let found = blocks().into_iter().find(|block| block.mark.as_ref() == Some(&mark));
    found.unwrap_or_else(|| panic!("ACL.md has no block marked <!-- run: {id} -->"))
}

/// The files that belong to the block of this name: path and text.
pub fn files(id: &str) -> Vec<(String, String)> {
    let belongs = |block: Block| match block.mark {
        Some(Mark::File(of, path)) if of == id => Some((path, block.text)),
        _ => None,
    };
    blocks().into_iter().filter_map(belongs).collect()
}

/// A file of examples/exim.
#[track_caller]
pub fn example(name: &str) -> String {
    checkout_text(&format!("examples/exim/{name}"))
}

/// The folder of examples.
pub fn examples() -> PathBuf {
    root().join("examples/exim")
}
