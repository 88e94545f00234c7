//! Lists for import: any bytes, in any format, are rows and clear errors, and what rows say can be
//! written in every form.
#![no_main]

use std::io::Read;

use eximrbl_exchange::{Format, LINE_MAX, Labels, Lines, Reader, Row, Shape, Span, by_content};
use eximrbl_table::Network;
use libfuzzer_sys::fuzz_target;

/// 2026-11-22T05:43:10Z
const NOW: u32 = 1_795_326_190;
/// Networks of a shape; names multiply quickly.
const MOST: usize = 12;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, list)) = data.split_first() else { return };
    let guessed = by_content(list);
    let format = Format::ALL.get(usize::from(choice & 7)).copied().unwrap_or(guessed);
    let mut reader = Reader::new(format, NOW);
    let mut lines = Lines::new(Slow(list, 1 + usize::from(choice >> 3)));
    let (mut listed, mut holes) = (Vec::new(), Vec::new());
    let mut number = 0;
    while let Some(line) = lines.next().expect("no input fails") {
        number += 1;
        assert_eq!(line.number, number);
        let Some(bytes) = line.bytes else { continue };
        assert!(bytes.len() <= LINE_MAX && !bytes.contains(&b'\n'));
        match reader.read(bytes) {
            Ok(Some(row)) => {
                judge(&row);
                let of = if row.white { &mut holes } else { &mut listed };
                of.extend(row.span.networks().filter(|one| one.length() >= 12).take(2));
            }
            Ok(None) => {}
            Err(error) => {
                let text = error.to_string();
                assert!(!text.is_empty() && text.len() < 1000, "{text}");
                assert!(!text.contains(char::is_control), "{text:?}");
            }
        }
    }
    let ends = list.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let rest = list.last().is_some_and(|&byte| byte != b'\n');
    assert_eq!(number, ends + u64::from(rest));
    listed.truncate(MOST);
    holes.truncate(MOST);
    draw(listed, &holes);
});

/// A row is about the networks that make up its span; what is excluded is not listed.
fn judge(row: &Row) {
    let networks: Vec<Network> = row.span.networks().collect();
    assert!(!networks.is_empty() && networks.len() <= 254);
    let parts = networks.iter().map(|network| Span::from(*network));
    let joined: Vec<Span> = Span::joined(parts).collect();
    assert_eq!(joined, [row.span]);
    assert!(row.white || !row.excluded);
}

/// Every form can be made, and none of them lists what is in a hole.
fn draw(mut listed: Vec<Network>, holes: &[Network]) {
    listed.sort_unstable();
    listed.dedup();
    let shape = Shape::new(listed.iter().map(|one| (*one, *one)).collect(), holes);
    for is_ipv4 in [true, false] {
        let spans = shape.spans(is_ipv4);
        for pair in spans.windows(2) {
            assert!(pair[0].0.last() < pair[1].0.first());
        }
        for (span, network) in spans {
            let within = Span::from(*network);
            assert!(within.first() <= span.first() && span.last() <= within.last());
            for hole in holes.iter().map(|hole| Span::from(*hole)) {
                let apart = hole.last() < span.first() || span.last() < hole.first();
                assert!(apart || hole.is_ipv4() != is_ipv4);
            }
        }
    }
    for labels in [Labels::Octets, Labels::Nibbles, Labels::Mapped] {
        let mut take = |piece: eximrbl_exchange::Piece<'_, Network>| {
            assert!(piece.value.contains(piece.network), "{piece:?}");
            assert!(!holes.iter().any(|hole| hole.contains(piece.network)), "{piece:?}");
            Ok(())
        };
        shape.names(labels, &mut take).expect("nothing fails");
    }
}

/// Gives out few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}
