//! Properties of the session over random inputs, and over what fuzzing has kept.

#[path = "../fuzz/checks/session.rs"]
mod session;

use std::fs;
use std::path::Path;
use std::time::Instant;

use proptest::prelude::*;

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the only way to make an Instant; all others are reckoned from it")]
    Instant::now()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_inputs_keep_the_invariants(script in proptest::collection::vec(any::<u8>(), 0..400)) {
        session::check(&script, now());
    }
}

#[test]
fn the_kept_corpus_keeps_the_invariants() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session");
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        session::check(&fs::read(entry.unwrap().path()).unwrap(), now());
        count += 1;
    }
    assert!(count > 0, "the corpus is missing");
}
