//! The effective configuration as TOML.

use std::fmt::Write;

use super::reader::Key;

/// Keys in the order in which they are given; those of a section stand together.
pub(super) fn to_toml(keys: &[Key]) -> String {
    let mut toml = String::new();
    let mut open = "";
    for key in keys {
        let (section, name) = key.path.rsplit_once('.').expect("every key is in a section");
        if section != open {
            let blank = if open.is_empty() { "" } else { "\n" };
            writeln!(toml, "{blank}[{section}]").expect("a String takes every write");
            open = section;
        }
        writeln!(toml, "{name} = {}", key.effective).expect("a String takes every write");
    }
    toml
}
