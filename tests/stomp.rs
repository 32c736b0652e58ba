//! The STOMP codec from outside: text fixtures, properties, and the corpus of the fuzz target.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, and the helpers here have none")]

#[path = "../fuzz/checks.rs"]
mod checks;
#[path = "stomp/fixture.rs"]
mod fixture;
#[path = "stomp/properties.rs"]
mod properties;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stompgate::stomp::{DecodeError, Decoder, Limits, Version};

use checks::Outcome;
use fixture::Fixture;

#[test]
fn every_fixture_holds_however_it_is_cut() {
    let all = fixture::all();
    assert!(all.len() > 80, "{} fixtures", all.len());
    for case in &all {
        for start in &case.starts {
            check(case, *start, &checks::decode(case.limits, *start, [&*case.input]), "at once");
            check(case, *start, &checks::decode(case.limits, *start, case.input.chunks(1)), "byte by byte");
            for cut in 1..case.input.len() {
                let (first, second) = case.input.split_at(cut);
                check(case, *start, &checks::decode(case.limits, *start, [first, second]), "in two");
            }
        }
    }
}

fn check(case: &Fixture, start: Option<Version>, outcome: &Outcome, how: &str) {
    let place = format!("{} from {start:?}, {how}", case.name);
    let frames: Vec<_> = outcome.frames.iter().map(|(_, frame)| frame.clone()).collect();
    assert_eq!(frames, case.frames, "{place}");
    assert_eq!(outcome.error.as_ref().map(ToString::to_string), case.error, "{place}");
    assert_eq!(outcome.failed_receipt, case.receipt, "{place}");
    assert_eq!(outcome.buffered, case.held, "{place}");
}

#[test]
fn fixtures_have_names_of_their_own_and_reach_every_error() {
    let all = fixture::all();
    let names: BTreeSet<_> = all.iter().map(|it| &it.name).collect();
    assert_eq!(names.len(), all.len());
    let mut missing = BTreeSet::from([
        "BadContentLength",
        "BadEscape",
        "BadHeader",
        "BareCarriageReturn",
        "BodyNotAllowed",
        "FrameTooLarge",
        "HeadersTooLarge",
        "NotTerminated",
        "NotUtf8",
        "NulInHeaders",
        "TooManyHeaders",
        "UnknownCommand",
    ]);
    for case in &all {
        let outcome = checks::decode(case.limits, case.starts[0], [&*case.input]);
        missing.remove(outcome.error.as_ref().map_or("", variant));
    }
    assert_eq!(missing, BTreeSet::new());
}

/// A new error does not compile until it is here, and does not pass until a fixture reaches it.
fn variant(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::BadContentLength(_) => "BadContentLength",
        DecodeError::BadEscape(_) => "BadEscape",
        DecodeError::BadHeader(_) => "BadHeader",
        DecodeError::BareCarriageReturn => "BareCarriageReturn",
        DecodeError::BodyNotAllowed(_) => "BodyNotAllowed",
        DecodeError::FrameTooLarge { .. } => "FrameTooLarge",
        DecodeError::HeadersTooLarge { .. } => "HeadersTooLarge",
        DecodeError::NotTerminated { .. } => "NotTerminated",
        DecodeError::NotUtf8 => "NotUtf8",
        DecodeError::NulInHeaders => "NulInHeaders",
        DecodeError::TooManyHeaders { .. } => "TooManyHeaders",
        DecodeError::UnknownCommand(_) => "UnknownCommand",
    }
}

#[test]
fn a_frame_of_64_mib_passes_exactly_when_the_limit_allows_it() {
    let length = 64 * 1024 * 1024;
    for head in ["SEND\n\n".to_owned(), format!("SEND\ncontent-length:{length}\n\n")] {
        let stream = [head.as_bytes(), &vec![b'x'; length], b"\0"].concat();
        let read = |frame_bytes_max| {
            let limits = Limits { frame_bytes_max, ..Limits::default() };
            checks::decode(limits, Some(Version::V1_2), stream.chunks(65_536))
        };
        let whole = read(stream.len());
        assert_eq!((whole.frames.len(), whole.error, whole.buffered), (1, None, 0));
        assert_eq!(whole.frames[0].1.body, stream[head.len()..stream.len() - 1]);
        let max = stream.len() - 1;
        let refused = read(max);
        assert_eq!(refused.error, Some(DecodeError::FrameTooLarge { max, before_connect: false }));
        assert_eq!((refused.frames.len(), refused.buffered), (0, 0));
    }
}

#[test]
fn a_smaller_limit_after_connect_holds_for_what_was_received_before() {
    let limits = Limits { frame_bytes_max: 5, ..Limits::default() };
    for begun in ["SENDSEND", "SEND\na:b\nc:d", "SEND\na:b\n\nbody"] {
        let mut decoder = Decoder::new(limits);
        decoder.feed(begun.as_bytes());
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.set_version(Version::V1_2);
        let max = 5;
        assert_eq!(decoder.next_frame(), Err(DecodeError::FrameTooLarge { max, before_connect: false }), "{begun}");
    }
}

#[test]
fn the_fuzz_corpus_still_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decoder");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        checks::decoder(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 20, "{files} files");
}

#[test]
fn fixtures_pass_the_checks_of_the_fuzzer() {
    fixture::all().iter().for_each(|it| checks::decoder(&it.input));
}

/// A table whose rows cite tests is worth something only as long as the tests are there.
#[test]
fn the_protocol_page_cites_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/PROTOCOL.md")).unwrap();
    let frames = page.split("\n## ").find(|it| it.starts_with("Frames\n")).unwrap();
    let cited: BTreeSet<_> = frames.split('`').filter(|it| it.len() > 20 && it.contains('_') && is_name(it)).collect();
    let sources = ["src/message/tests.rs", "src/stomp/encoder.rs", "src/stomp/input/tests.rs", "tests/stomp.rs"];
    let sources = sources.iter().chain(&["tests/stomp/properties.rs"]);
    let sources: String = sources.map(|it| fs::read_to_string(root.join(it)).unwrap()).collect();
    let fixtures: BTreeSet<_> = fixture::all().into_iter().map(|it| it.name).collect();
    assert!(cited.len() > 30, "{} citations", cited.len());
    for name in cited {
        let exists = fixtures.contains(name) || sources.contains(&format!("fn {name}("));
        assert!(exists, "docs/PROTOCOL.md cites {name}");
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}
