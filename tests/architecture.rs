//! Checks the module rules of `docs/ARCHITECTURE.md` against the source text.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by level. A module may name those of the levels above it in this list.
const LEVELS: &[&[&str]] = &[
    &["sync"],
    &["ident", "stomp", "lifecycle", "pem", "telemetry"],
    &["message", "destination", "transport"],
    &["session", "auth", "delivery", "handlers"],
    &["broker", "registry"],
    &["driver", "admin"],
    &["http"],
    &["config"],
    &["app", "main", "lib"],
];

/// Text that must not appear in a module's production code.
const MUST_NOT_MENTION: &[(&str, &[&str])] = &[
    ("ident", &["tokio", ".await", "Instant::now", "SystemTime"]),
    ("message", &["tokio", ".await", "Instant::now", "SystemTime"]),
    ("stomp", &["tokio", ".await", "Instant::now", "SystemTime"]),
    ("destination", &["tokio", ".await", "Instant::now", "SystemTime"]),
    ("session", &["tokio", ".await", "Instant::now", "SystemTime"]),
    ("transport", &["STOMP ", "crate::stomp"]),
];

/// Crates, and the only places that may name them.
const ONLY_IN: &[(&str, &[&str])] = &[
    // The log names its target, to keep the bodies of returned messages out.
    ("lapin", &["broker/amqp", "telemetry/log"]),
    ("tungstenite", &["transport"]),
    ("env::var", &["config"]),
];

/// Words that mean a file is not finished.
const UNFINISHED: &[&str] = &["TODO", "FIXME", "dbg!", "todo!", "unimplemented!", "#[ignore"];

/// A panic of somebody who held the lock would spread to everybody who takes it.
const SPREADS_PANICS: &[&str] = &["lock().expect(", "read().expect(", "write().expect("];

/// Production lines a file may hold.
const LINES_MAX: usize = 400;

#[test]
fn modules_keep_their_boundaries() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for path in rust_files(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
        let code = if is_test { "" } else { text.split("\n#[cfg(test)]\nmod tests").next().unwrap() };
        if !text.starts_with("//!") {
            faults.push(format!("{name}: no //! line saying what the file is for"));
        }
        if LINES_MAX < code.lines().count() {
            faults.push(format!("{name}: over {LINES_MAX} production lines"));
        }
        faults.extend(UNFINISHED.iter().filter(|it| text.contains(**it)).map(|it| format!("{name}: {it}")));
        let spreads = SPREADS_PANICS.iter().filter(|it| code.contains(**it));
        faults.extend(spreads.map(|it| {
            format!("{name}: {it}..): take it by sync::lock, or a RwLock by unwrap_or_else(PoisonError::into_inner)")
        }));
        if text.contains("super::super::") {
            faults.push(format!("{name}: super::super:: hides an arrow, write crate::"));
        }
        check_arrows(&name, code, &mut faults);
        check_words(&name, code, &mut faults);
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn tests_do_not_sleep() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for path in rust_files(&root.join("src")).into_iter().chain(rust_files(&root.join("tests"))) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let is_test = name.starts_with("tests/") || name.ends_with("/tests.rs") || name.contains("/tests/");
        let tests = if is_test { Some(&*text) } else { text.split("\n#[cfg(test)]\nmod tests").nth(1) };
        let sleeps = ["time::sleep", "thread::sleep", " sleep("];
        if name != "tests/architecture.rs" && tests.is_some_and(|it| sleeps.iter().any(|word| it.contains(word))) {
            faults.push(format!("{name}: a test sleeps; pause the clock or wait for a condition with a deadline"));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn each_direct_dependency_is_justified() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut declared: Vec<_> =
        ["[dependencies]", "[dev-dependencies]"].iter().flat_map(|it| keys_of(&manifest, it)).collect();
    declared.sort_unstable();
    declared.dedup();
    let page = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
    let (_, table) = page.split_once("\n## Direct dependencies\n").unwrap();
    let rows = table.lines().filter_map(|it| it.strip_prefix("| ")).skip(1);
    let mut justified = Vec::new();
    for row in rows {
        let cells: Vec<_> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|it| !it.is_empty()), "a cell is missing: {row}");
        justified.push(cells[0].split(' ').next().unwrap());
    }
    justified.sort_unstable();
    assert_eq!(justified, declared, "Cargo.toml and the last table of docs/ARCHITECTURE.md differ");
}

/// What a section of a TOML file defines.
fn keys_of<'a>(toml: &'a str, section: &str) -> impl Iterator<Item = &'a str> {
    let (_, body) = toml.split_once(&format!("\n{section}\n")).unwrap();
    body.lines().take_while(|it| !it.starts_with('[')).filter_map(|it| it.split_once(" = ")).map(|(key, _)| key)
}

fn check_arrows(name: &str, code: &str, faults: &mut Vec<String>) {
    let module = name.split(['/', '.']).next().unwrap();
    let Some(level) = level_of(module) else {
        faults.push(format!("{name}: module {module} has no level"));
        return;
    };
    if module == "main" || module == "lib" {
        return;
    }
    for used in crate_paths(code).into_iter().filter(|used| *used != module) {
        if level_of(used).is_none_or(|it| it >= level) {
            faults.push(format!("{name}: {module} must not use {used}"));
        }
    }
}

fn check_words(name: &str, code: &str, faults: &mut Vec<String>) {
    let module = name.split(['/', '.']).next().unwrap();
    let code: String =
        code.lines().filter(|it| !it.trim_start().starts_with("//")).map(|it| format!("{it}\n")).collect();
    for (_, words) in MUST_NOT_MENTION.iter().filter(|(it, _)| *it == module) {
        for word in words.iter().filter(|word| code.contains(**word)) {
            faults.push(format!("{name}: {module} must not mention {word}"));
        }
    }
    for (word, places) in ONLY_IN {
        let is_root = ["main", "app", "lib"].contains(&module);
        if !is_root && code.contains(word) && !places.iter().any(|it| name.starts_with(it)) {
            faults.push(format!("{name}: only {places:?} may mention {word}"));
        }
    }
}

fn level_of(module: &str) -> Option<usize> {
    LEVELS.iter().position(|it| it.contains(&module))
}

/// First segment of every `crate::a`, and of every entry of `crate::{a, b::c}`.
fn crate_paths(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(ident(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && depth == 0 && !c.is_whitespace() => {
                    found.push(ident(&group[i..]));
                    start = false;
                }
                _ => (),
            }
        }
    }
    found
}

fn ident(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}
