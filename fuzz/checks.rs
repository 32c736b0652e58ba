//! What must hold for any bytes: run by the fuzz targets on what they invent, and by `tests/stomp.rs` on the corpus.

use stompgate::stomp::{Command, DecodeError, Decoder, Frame, Limits, Version};

/// Small enough that a short input passes each of them.
const TIGHT: Limits =
    Limits { frame_bytes_max: 96, frame_bytes_max_before_connect: 64, header_count_max: 3, header_bytes_max: 48 };

/// Ample for whatever a fuzzer makes, also once it is written again.
pub(crate) const WIDE: Limits = Limits {
    frame_bytes_max: 1 << 24,
    frame_bytes_max_before_connect: 1 << 24,
    header_count_max: 1 << 20,
    header_bytes_max: 1 << 24,
};

/// Where a client stands when the bytes begin.
pub(crate) const STARTS: [Option<Version>; 4] = [None, Some(Version::V1_0), Some(Version::V1_1), Some(Version::V1_2)];

/// All that a decoder says about a stream.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Outcome {
    /// Each with the version in force when it was read.
    pub(crate) frames: Vec<(Option<Version>, Frame)>,
    pub(crate) error: Option<DecodeError>,
    pub(crate) failed_receipt: Option<String>,
    pub(crate) buffered: usize,
}

/// However a stream is cut it gives the same, and each of its frames survives being written and read again.
pub(crate) fn decoder(stream: &[u8]) {
    for limits in [TIGHT, WIDE] {
        for start in STARTS {
            let whole = decode(limits, start, [stream]);
            assert_eq!(decode(limits, start, stream.chunks(1)), whole, "byte by byte");
            assert_eq!(decode(limits, start, uneven(stream).into_iter()), whole, "in uneven pieces");
            assert!(whole.error.is_none() || whole.buffered == 0, "a failed decoder holds nothing");
            whole.frames.iter().for_each(|(version, frame)| survives(*version, frame));
        }
    }
}

/// Feeds the chunks, and takes up the version of a CONNECT as a session would.
pub(crate) fn decode<'a>(
    limits: Limits,
    start: Option<Version>,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut decoder = Decoder::new(limits);
    let mut version = start;
    if let Some(version) = version {
        decoder.set_version(version);
    }
    let (mut frames, mut error) = (Vec::new(), None);
    for chunk in chunks {
        decoder.feed(chunk);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    frames.push((version, frame.clone()));
                    if version.is_none() && matches!(frame.command, Command::Connect | Command::Stomp) {
                        version = Version::negotiate(frame.header("accept-version"));
                        version.into_iter().for_each(|it| decoder.set_version(it));
                    }
                }
                Ok(None) => break,
                Err(it) => {
                    assert_eq!(error.replace(it), None, "an error is told once");
                    assert_eq!(decoder.next_frame(), Ok(None), "nothing follows an error");
                }
            }
        }
    }
    let failed_receipt = decoder.failed_receipt().map(str::to_owned);
    assert!(failed_receipt.is_none() || error.is_some());
    Outcome { frames, error, failed_receipt, buffered: decoder.buffered() }
}

/// Without escapes, as before CONNECT, a frame is written as one of STOMP 1.0.
fn survives(version: Option<Version>, frame: &Frame) {
    let bytes = frame.encode(version.unwrap_or(Version::V1_0));
    let read = decode(WIDE, version, [&*bytes]);
    assert_eq!((read.error, read.buffered), (None, 0), "{frame:?}");
    let [(_, again)] = &*read.frames else { panic!("{frame:?} became {:?}", read.frames) };
    assert_eq!((again.command, &again.body), (frame.command, &frame.body));
    assert!(without_length(again).eq(without_length(frame)), "{frame:?} became {again:?}");
    let length = (!frame.body.is_empty()).then(|| frame.body.len().to_string());
    assert_eq!(again.header("content-length"), length.as_deref());
}

/// `content-length` is the encoder's own.
fn without_length(frame: &Frame) -> impl Iterator<Item = (&str, &str)> {
    frame.headers.iter().filter(|(name, _)| *name != "content-length")
}

/// Pieces of 1 to 16 bytes, by the bytes themselves, so that the same input is always cut in the same way.
fn uneven(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut state = 0x9e37_79b9_u32;
    while let Some(first) = stream.first() {
        state = (state ^ u32::from(*first)).wrapping_mul(0x0100_0193);
        let length = 1 + (state >> 28) as usize;
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
