//! docs/consumers.md, taken apart into its blocks and the rows of its tables.

use crate::harness::{Block, Mark, checkout_text, parse};

const PATH: &str = "docs/consumers.md";

/// All blocks, in order.
pub fn blocks() -> Vec<Block> {
    parse(&checkout_text(PATH))
}

/// The text of the block that is run under this name.
#[track_caller]
pub fn text(id: &str) -> String {
    let mark = Mark::Run(id.to_owned());
    let found = blocks().into_iter().find(|block| block.mark.as_ref() == Some(&mark));
    found.unwrap_or_else(|| panic!("{PATH} has no block marked <!-- run: {id} -->")).text
}

/// The text of a file.
#[track_caller]
pub fn file(id: &str, path: &str) -> String {
    let mark = Mark::File(id.to_owned(), path.to_owned());
    let found = blocks().into_iter().find(|block| block.mark.as_ref() == Some(&mark));
    found.unwrap_or_else(|| panic!("{PATH} has no block marked <!-- file: {id} {path} -->")).text
}

/// What stands in the first column of the tables that are about `dnslists`, in order.
pub fn dnslists() -> Vec<String> {
    let text = checkout_text(PATH);
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        inside = line.starts_with("| `dnslists =`") || inside && line.starts_with('|');
        let first = line.split("` |").next().and_then(|cell| cell.strip_prefix("| `"));
        if inside && let Some(cell) = first.filter(|cell| *cell != "dnslists =") {
            rows.push(cell.to_owned());
        }
    }
    rows
}
