//! What the fuzz targets `patterns` and `upgrade` check, over random inputs and over what fuzzing has kept.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, and the helpers here have none")]

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

/// Frames of a client, nearly: any first byte, and lengths around the limit.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first =
        prop_oneof![4 => prop::sample::select(vec![0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x89, 0x8a]), 1 => any::<u8>()];
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        "[aä€😀]{0,25}".prop_map(String::into_bytes),
        prop::collection::vec(Just(b'x'), 90..130),
    ];
    let frame =
        (first, prop::bool::weighted(0.95), any::<[u8; 4]>(), payload).prop_map(|(first, is_masked, mask, payload)| {
            let length = payload.len() as u8;
            let (bit, mask) = if is_masked { (0x80, mask.to_vec()) } else { (0, vec![0]) };
            let head = if length < 126 { vec![first, bit | length] } else { vec![first, bit | 126, 0, length] };
            let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            [head, if is_masked { mask } else { Vec::new() }, payload].concat()
        });
    prop::collection::vec(frame, 0..6).prop_map(|it| it.concat())
}

#[test]
fn any_frames_are_read_as_the_rfc_says() {
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let gateway = std::cell::RefCell::new(Gateway::new());
    let script = (any::<u8>(), frames());
    proptest!(config, |((cut, stream) in script)| {
        gateway.borrow_mut().check(&[&[1, cut], &*stream].concat());
    });
}

#[test]
fn the_kept_destinations_and_patterns_hold() {
    kept("patterns", patterns::check);
}

#[test]
fn the_kept_requests_and_frames_are_answered_as_the_rfcs_say() {
    let mut gateway = Gateway::new();
    kept("upgrade", |it| gateway.check(it));
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
