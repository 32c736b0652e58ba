//! What holds for any frame and any stream, by examples made at random.

use proptest::collection::vec;
use proptest::prelude::*;
use stompgate::stomp::{Command, Encoder, Frame, Headers, Version};

use crate::checks;

/// Bytes that mean something to a decoder, and some that don't.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![4 => prop::sample::select(&b"\n\r\0:\\ nrct1"[..]), 1 => any::<u8>()]
}

/// Pieces of frames in any order: most streams begin well and go wrong somewhere.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"SEND\n",
        b"SEND\r\n",
        b"CONNECT\naccept-version:1.2\n\n\0",
        b"CONNECT\n\n\0",
        b"SUBSCRIBE\n",
        b"receipt:1\n",
        b"destination: /queue/a\n",
        b"a:\\c\\n\\\\\n",
        b"a:\\t\n",
        b"content-length:3\n",
        b"content-length:70\n",
        b"\n",
        b"\r\n",
        b"\n\0",
        b"\nabc\0",
        b"\n\0\0\0\0",
        b"\0",
    ];
    let piece = prop_oneof![6 => prop::sample::select(pieces).prop_map(<[u8]>::to_vec), 1 => vec(byte(), 0..6)];
    vec(piece, 0..16).prop_map(|it| it.concat())
}

/// Text of a header, hostile to a codec.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec!["\n", "\r", "\0", ":", "\\", " ", "\\n", "\n\n", "\0SEND\n", "é", "content-length"])
            .prop_map(str::to_owned),
        "[a-z0-9/.-]{0,8}",
    ];
    vec(piece, 0..5).prop_map(|it| it.concat())
}

fn frame() -> impl Strategy<Value = Frame> {
    let headers = vec((text(), text()), 0..6);
    (prop::sample::select(&Command::ALL[..]), headers, vec(any::<u8>(), 0..64)).prop_map(|(command, headers, body)| {
        Frame {
            command,
            headers: headers.iter().map(|(name, value)| (&**name, &**value)).collect(),
            body: if command.may_have_body() { body.into() } else { Vec::new().into() },
        }
    })
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(&Version::ALL[..])
}

/// What of that text a frame of that version can say.
fn sayable(text: &str, is_name: bool, command: Command, version: Version) -> String {
    let is_escaped = command.is_escaped() && version != Version::V1_0;
    let text = text.replace('\0', "");
    let text = if is_escaped { text } else { text.replace(['\n', '\r'], "") };
    let text = if is_escaped || !is_name { text } else { text.replace(':', "") };
    if version == Version::V1_0 && !is_name { text.trim_start_matches(' ').to_owned() } else { text }
}

fn sayable_frame(frame: &Frame, version: Version) -> Frame {
    let say = |text: &str, is_name| sayable(text, is_name, frame.command, version);
    let headers: Vec<_> = frame.headers.iter().map(|(name, value)| (say(name, true), say(value, false))).collect();
    let kept = headers.iter().filter(|(name, _)| !name.is_empty() && name != "content-length");
    let headers: Headers = kept.map(|(name, value)| (&**name, &**value)).collect();
    Frame { command: frame.command, headers, body: frame.body.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_gives_the_same_frames_and_the_same_error(stream in stream()) {
        checks::decoder(&stream);
    }

    #[test]
    fn decode_of_encode_is_the_identity(frame in frame(), version in version()) {
        let frame = sayable_frame(&frame, version);
        let mut expected = frame.clone();
        if !frame.body.is_empty() {
            expected.headers.push("content-length", &frame.body.len().to_string());
        }
        let read = checks::decode(checks::WIDE, Some(version), [&*frame.encode(version)]);
        prop_assert_eq!(read.frames, vec![(Some(version), expected)]);
        prop_assert_eq!((read.error, read.buffered), (None, 0));
    }

    #[test]
    fn no_header_can_begin_a_line_or_a_frame_of_its_own(frame in frame(), version in version()) {
        let bytes = frame.encode(version);
        let written: Vec<_> = frame.headers.iter().filter(|(name, _)| !matches!(*name, "" | "content-length")).collect();
        let lines = 1 + written.len() + usize::from(!frame.body.is_empty()) + 1;
        let head = bytes.len() - frame.body.len() - 1;
        prop_assert_eq!(bytes[..head].iter().filter(|it| **it == b'\n').count(), lines);
        prop_assert!(!bytes[..head].contains(&b'\r') && !bytes[..head].contains(&0));
        prop_assert!(bytes[..head].ends_with(b"\n\n"));
        let colons = if version == Version::V1_0 || !frame.command.is_escaped() { lines - 2..usize::MAX } else { lines - 2..lines - 1 };
        prop_assert!(colons.contains(&bytes[..head].iter().filter(|it| **it == b':').count()));
        let read = checks::decode(checks::WIDE, Some(version), [&*bytes]);
        prop_assert_eq!((read.frames.len(), read.error, read.buffered), (1, None, 0));
        prop_assert_eq!(&read.frames[0].1.body, &frame.body);
    }

    #[test]
    fn a_frame_written_header_by_header_has_the_same_bytes(frame in frame(), version in version()) {
        let mut encoder = Encoder::new(version, frame.command);
        frame.headers.iter().for_each(|(name, value)| encoder.header(name, value));
        prop_assert_eq!(encoder.body(&frame.body), frame.encode(version));
    }
}
