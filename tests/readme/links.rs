//! Where the documents point to, there is something.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::harness::{checkout_text, root};

/// The documents, by their paths from the top: those named here, and all of docs/.
fn documents() -> Vec<String> {
    let mut found: Vec<String> = ["README.md", "ACL.md", "CHANGELOG.md"].map(str::to_owned).into();
    let names = std::fs::read_dir(root().join("docs")).unwrap().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    found.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")));
    found
}

#[test]
fn every_relative_link_points_to_a_file_or_a_heading() {
    let mut links = 0;
    let mut broken = Vec::new();
    for document in documents() {
        for (line, target) in targets(&checkout_text(&document)) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            if let Err(why) = check(&document, &target) {
                broken.push(format!("{document}:{line}: ({target}): {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    // The reading of links itself works.
    assert!(links > 30, "only {links} links found");
}

/// Says what is wrong with a link that stands in a document.
fn check(document: &str, target: &str) -> Result<(), String> {
    let (path, heading) = match target.split_once('#') {
        Some((path, heading)) => (path, Some(heading)),
        None => (target, None),
    };
    let file = if path.is_empty() {
        PathBuf::from(document)
    } else {
        Path::new(document).parent().unwrap_or(Path::new("")).join(path)
    };
    if !root().join(&file).exists() {
        return Err("no such file".to_owned());
    }
    let Some(heading) = heading else { return Ok(()) };
    let known = anchors(&checkout_text(file.to_str().unwrap()));
    if known.iter().any(|anchor| anchor == heading) {
        Ok(())
    } else {
        Err(format!("no such heading; there are: {}", known.join(", ")))
    }
}

/// The targets of all links `[text](target)`, with their lines; code is no place for links.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, behind)) = after.split_once(')') else { break };
            found.push((number, target.to_owned()));
            rest = behind;
        }
    }
    found
}

/// The names under which a document's headings can be reached, as GitHub and GitLab make them.
fn anchors(text: &str) -> Vec<String> {
    let mut times = BTreeMap::new();
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.strip_prefix(' '))?
    });
    let anchor = |title: &str| {
        let kept = title.trim().chars().filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            _ => character.is_alphanumeric().then(|| character.to_ascii_lowercase()),
        });
        let name: String = kept.collect();
        let before = times.entry(name.clone()).and_modify(|times| *times += 1).or_insert(0);
        if *before == 0 { name } else { format!("{name}-{before}") }
    };
    headings.map(anchor).collect()
}

/// The lines outside fenced blocks, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

#[test]
fn headings_become_anchors_as_the_hosts_of_repositories_make_them() {
    let text = "# Exim's side\n```sh\n# no heading\n```\n## A `b`, c\n## A `b`, c\n#no\n";
    assert_eq!(anchors(text), ["exims-side", "a-b-c", "a-b-c-1"]);
    assert!(check("docs/architecture.md", "../ACL.md#exims-side").is_ok());
    assert!(check("docs/architecture.md", "../ACL.md#another-side").is_err());
    assert!(check("docs/architecture.md", "ACL.md").is_err());
    let text = "[a](b.md) and [c](d.md#e)\n```\n[x](y)\n```\n";
    assert_eq!(targets(text), [(1, "b.md".to_owned()), (1, "d.md#e".to_owned())]);
}
