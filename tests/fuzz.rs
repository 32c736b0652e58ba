//! What the fuzz targets `patterns` and `upgrade` check, over random inputs and over what fuzzing has kept.

#[path = "../fuzz/checks/patterns.rs"]
mod patterns;
#[path = "../fuzz/checks/upgrade.rs"]
mod upgrade;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use upgrade::Gateway;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_destination_is_taken_apart_and_any_key_routed_as_the_definitions_say(
        script in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        patterns::check(&script);
    }

    #[test]
    fn few_words_meet_each_other_often(script in proptest::collection::vec(24_u8..40, 0..200)) {
        let script: Vec<u8> = script.iter().map(|it| if *it < 32 { (it - 24) * 3 } else { *it }).collect();
        patterns::check(&script);
    }
}

#[test]
fn the_kept_destinations_and_patterns_hold() {
    kept("patterns", patterns::check);
}

#[test]
fn the_kept_requests_and_frames_are_answered_as_the_rfcs_say() {
    let mut gateway = Gateway::new();
    kept("upgrade", |it| gateway.check(it));
    gateway.finish();
}

fn kept(target: &str, mut check: impl FnMut(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "the corpus is missing");
}
