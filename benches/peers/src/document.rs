//! Puts results into the documents: between a line `<!-- results: NAME -->` and the next
//! `<!-- end of results -->`.

use std::fs::{read_to_string, write};
use std::path::Path;

use anyhow::{Context, Result, bail};

const END: &str = "<!-- end of results -->";

/// Writes one of the results into a document.
pub(crate) fn put(document: &Path, name: &str, results: &Path) -> Result<()> {
    let text = read_to_string(document).with_context(|| format!("{}", document.display()))?;
    let results = read_to_string(results).with_context(|| format!("{}", results.display()))?;
    match replaced(&text, name, &results) {
        Some(text) => Ok(write(document, text)?),
        None => bail!("{} has no place for results {name:?}", document.display()),
    }
}

fn replaced(text: &str, name: &str, results: &str) -> Option<String> {
    let mark = format!("<!-- results: {name} -->\n");
    let start = text.find(&mark)? + mark.len();
    let end = start + text[start..].find(END)?;
    Some(format!("{}\n{}\n\n{}", &text[..start], results.trim(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught: the end of another place taken.
    #[test]
    fn results_replace_those_before_and_nothing_else() {
        let text = "# A\n\n<!-- results: one -->\nold\n<!-- end of results -->\n\nB\n\
                    <!-- results: two -->\n\n<!-- end of results -->\nC\n";
        let new = replaced(text, "two", "| new |\n").unwrap();
        assert_eq!(
            new,
            "# A\n\n<!-- results: one -->\nold\n<!-- end of results -->\n\nB\n\
             <!-- results: two -->\n\n| new |\n\n<!-- end of results -->\nC\n"
        );
        let again = replaced(&new, "two", "| new |\n").unwrap();
        assert_eq!(again, new);
        assert!(replaced(text, "three", "").is_none());
    }
}
