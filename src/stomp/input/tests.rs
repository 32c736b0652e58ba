//! How the bytes of a frame are held and cut: work and memory, which no outcome shows.

use super::*;
use crate::stomp::limits::Peer;

const BOUND: Bound = Bound::Frame { max: usize::MAX, peer: Peer::Connected };

const LENGTH: usize = 64 * 1024 * 1024;

/// Feeds a body in pieces, and says how many bytes were searched for its end, and how often memory was taken.
fn feed_large(input: &mut Input, mut end: impl FnMut(&mut Input) -> Option<Bytes>) -> (usize, usize) {
    let piece = vec![b'x'; 4096];
    let (mut searched, mut allocations, mut capacity) = (0, 0, input.bytes.capacity());
    for _ in 0..LENGTH / piece.len() {
        input.feed(&piece);
        searched += input.len() - input.searched;
        assert_eq!(end(input), None);
        allocations += usize::from(input.bytes.capacity() != capacity);
        capacity = input.bytes.capacity();
        assert!(capacity <= RESERVED_MAX.max(2 * input.len()), "{capacity} bytes held for {}", input.len());
    }
    input.feed(b"\0");
    let body = end(input).unwrap();
    assert_eq!(body.len(), LENGTH);
    input.release_if_empty();
    assert_eq!(input.bytes.capacity(), 0);
    (searched, allocations)
}

#[test]
fn a_body_of_64_mib_without_a_length_is_searched_once() {
    let (searched, allocations) = feed_large(&mut Input::default(), |it| it.body_to_nul(BOUND).unwrap());
    assert_eq!(searched, LENGTH);
    assert!(allocations < 64, "{allocations}");
}

#[test]
fn a_body_of_64_mib_with_a_length_takes_memory_as_it_comes() {
    let mut input = Input::default();
    input.expect_body(LENGTH, BOUND).unwrap();
    assert!(input.bytes.capacity() <= RESERVED_MAX);
    let (_, allocations) = feed_large(&mut input, |it| it.body_of(LENGTH).unwrap());
    assert!(allocations < 64, "{allocations}");
}

#[test]
fn a_body_of_a_usual_size_is_given_all_its_memory_at_once() {
    let mut input = Input::default();
    input.expect_body(60_000, BOUND).unwrap();
    let capacity = input.bytes.capacity();
    input.feed(&[b'x'; 30_000]);
    input.feed(&[b'x'; 30_000]);
    input.feed(b"\0");
    assert_eq!(input.bytes.capacity(), capacity);
}

/// Whether the first body of a stream lies in the buffer itself, and so keeps all of it.
fn is_shared(length: usize, following: usize) -> bool {
    let mut input = Input::default();
    let stream = [vec![b'x'; length], vec![0], vec![b'y'; following]].concat();
    input.feed(&stream);
    let at = input.bytes.as_ptr();
    let body = input.body_to_nul(BOUND).unwrap().unwrap();
    assert_eq!(body, stream[..length]);
    body.as_ptr() == at
}

#[test]
fn a_body_keeps_no_memory_but_its_own() {
    assert!(!is_shared(200, 0));
    assert!(!is_shared(COPIED_BODY_MAX, 0));
    assert!(is_shared(COPIED_BODY_MAX + 1, 0));
    assert!(!is_shared(COPIED_BODY_MAX + 1, 2 * COPIED_BODY_MAX));
}

#[test]
fn a_line_that_comes_byte_by_byte_is_searched_once() {
    let mut input = Input::default();
    for byte in b"destination:/topic/some.where\r" {
        assert_eq!(input.searched, input.len());
        input.feed(&[*byte]);
        assert_eq!(input.line(BOUND).unwrap(), None);
    }
    input.feed(b"\n");
    assert_eq!(input.line(BOUND).unwrap(), Some(&b"destination:/topic/some.where"[..]));
}

#[test]
fn header_lines_are_counted_as_far_as_they_have_come() {
    let check = |text: &[u8], expected| {
        let mut input = Input::default();
        input.feed(text);
        assert_eq!(input.headers_ahead(BOUND), expected, "{}", text.escape_ascii());
    };
    check(b"", (0, 0));
    check(b"\na:b\n", (0, 0));
    check(b"a:b\ncc:dd\n\nbody\nbody\n", (2, 6));
    check(b"a:b\r\n\r\nbody\n", (1, 3));
    check(b"a:b\nhal", (1, 2));
    check(b"x\nx\n\n", (2, 0));
}
