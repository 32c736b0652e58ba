//! Reads `tests/fixtures/stomp/*.txt`; the format is in the README beside them.

use std::fs;
use std::path::Path;

use stompgate::stomp::{Command, Frame, Headers, Limits, Version};

use crate::checks::STARTS;

#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) starts: Vec<Option<Version>>,
    pub(crate) limits: Limits,
    pub(crate) input: Vec<u8>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) error: Option<String>,
    pub(crate) receipt: Option<String>,
    pub(crate) held: usize,
}

pub(crate) fn all() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stomp");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.retain(|it| it.extension().is_some_and(|it| it == "txt"));
    files.sort();
    files.iter().flat_map(|it| parse_file(&fs::read_to_string(it).unwrap())).collect()
}

fn parse_file(text: &str) -> Vec<Fixture> {
    let lines: Vec<&str> = text.lines().filter(|it| !it.starts_with('#') && !it.is_empty()).collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|it| lines[*it].starts_with("=== ")).collect();
    let ends = starts.iter().copied().skip(1).chain([lines.len()]);
    starts.iter().zip(ends).map(|(start, end)| parse_case(&lines[*start..end])).collect()
}

fn parse_case(lines: &[&str]) -> Fixture {
    let mut case = Fixture {
        name: lines[0]["=== ".len()..].to_owned(),
        starts: STARTS.to_vec(),
        limits: Limits::default(),
        input: Vec::new(),
        frames: Vec::new(),
        error: None,
        receipt: None,
        held: 0,
    };
    let mut section = "";
    for line in &lines[1..] {
        if let Some(title) = line.strip_prefix("--- ") {
            let (kind, argument) = title.split_once(' ').unwrap_or((title, ""));
            section = kind;
            match kind {
                "frame" => {
                    let command = Command::parse(argument.as_bytes()).unwrap_or_else(|| panic!("{title}"));
                    case.frames.push(Frame::new(command, Headers::new()));
                }
                "held" => case.held = argument.parse().unwrap(),
                "input" | "body" | "error" | "receipt" => assert_eq!(argument, "", "{title}"),
                other => panic!("{}: what is {other}?", case.name),
            }
        } else {
            parse_line(&mut case, section, line);
        }
    }
    case
}

fn parse_line(case: &mut Fixture, section: &str, line: &str) {
    let string = |text| String::from_utf8(bytes(text)).unwrap();
    match section {
        "" => parse_setting(case, line),
        "input" => case.input.extend(bytes(line)),
        "frame" => {
            let (name, value) = line.split_once(':').unwrap();
            case.frames.last_mut().unwrap().headers.push(&string(name), &string(value));
        }
        "body" => {
            let frame = case.frames.last_mut().unwrap();
            frame.body = [&*frame.body, &*bytes(line)].concat().into();
        }
        "error" => assert_eq!(case.error.replace(string(line)), None),
        "receipt" => assert_eq!(case.receipt.replace(string(line)), None),
        other => panic!("{}: {other} has no lines", case.name),
    }
}

fn parse_setting(case: &mut Fixture, line: &str) {
    let (setting, value) = line.split_once(": ").unwrap();
    match setting {
        "versions" => case.starts = value.split(' ').map(parse_version).collect(),
        "limits" => value.split(' ').for_each(|it| {
            let (limit, max) = it.split_once('=').unwrap();
            let limit = match limit {
                "frame" => &mut case.limits.frame_bytes_max,
                "before" => &mut case.limits.frame_bytes_max_before_connect,
                "count" => &mut case.limits.header_count_max,
                "headers" => &mut case.limits.header_bytes_max,
                other => panic!("{}: what limit is {other}?", case.name),
            };
            *limit = max.parse().unwrap();
        }),
        other => panic!("{}: what is {other}?", case.name),
    }
}

fn parse_version(text: &str) -> Option<Version> {
    let known = Version::ALL.into_iter().find(|it| it.as_str() == text);
    assert!(known.is_some() || text == "none", "{text}");
    known
}

fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'\\' => match rest.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(b'\\') => b'\\',
                Some(b'x') => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("{text}: what is a backslash and {other:?}?"),
            },
            other => other,
        });
    }
    out
}
