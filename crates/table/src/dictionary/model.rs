//! Names that enter at once, in every interleaving (loom; see `slots::model`).

#![allow(clippy::unwrap_used)]

use loom::sync::Arc;

use super::*;

const SEED: Seed = Seed(1, 2);

/// So many places, all free.
fn words(places: usize) -> Vec<AtomicU64> {
    (0..places * PLACE_WORDS).map(|_| AtomicU64::new(0)).collect()
}

fn enter(words: &[AtomicU64], name: &str) -> Entered {
    Dictionary::new(words, SEED).enter(&Name::new(name.as_bytes()).unwrap(), true)
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(model);
}

/// Two writers enter two names, in both orders: each name has one bit, and both writers know it. Fails
/// when a place is taken by a store instead of a CAS.
#[test]
fn loom_a_name_gets_one_bit() {
    explore(|| {
        let shared = Arc::new(words(3));
        let other = Arc::clone(&shared);
        let thread = loom::thread::spawn(move || [enter(&other, "b"), enter(&other, "a")]);
        let (a, b) = (enter(&shared, "a"), enter(&shared, "b"));
        assert_eq!(thread.join().unwrap(), [b, a]);
        assert_ne!(a, b);
        let dictionary = Dictionary::new(&shared, SEED);
        assert_eq!(dictionary.names().iter().count(), 2);
        assert_eq!(dictionary.flaws().len(), 0);
    });
}

/// One enters a name while another looks for a longer one that begins with it: it passes for nobody
/// else, half stored or whole. Fails when the first word is stored first.
#[test]
fn loom_a_half_stored_name_passes_for_nobody() {
    explore(|| {
        let shared = Arc::new(words(3));
        let other = Arc::clone(&shared);
        let thread = loom::thread::spawn(move || enter(&other, "greylisted"));
        let short = enter(&shared, "greylist");
        let long = thread.join().unwrap();
        assert_ne!(short, long);
        assert_eq!((enter(&shared, "greylist"), enter(&shared, "greylisted")), (short, long));
    });
}

/// A name enters the old dictionary while another opens the new table and enters one there: both have
/// one bit each in the new one, and the first keeps the bit that it got. Fails when free places of the
/// old dictionary are not closed.
#[test]
fn loom_names_keep_their_bits_through_a_resize() {
    explore(|| {
        let shared = Arc::new((words(2), words(2)));
        let other = Arc::clone(&shared);
        let thread = loom::thread::spawn(move || {
            let (old, new) = &*other;
            Dictionary::new(new, SEED).take_over(&Dictionary::new(old, SEED), true);
            enter(new, "b")
        });
        let (old, new) = &*shared;
        let first = enter(old, "a");
        Dictionary::new(new, SEED).take_over(&Dictionary::new(old, SEED), true);
        let a = enter(new, "a");
        if first != Entered::Closed {
            assert_eq!(a, first);
        }
        let b = thread.join().unwrap();
        assert_ne!(a, b);
        assert_eq!((enter(new, "a"), enter(new, "b")), (a, b));
    });
}
