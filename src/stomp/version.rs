//! Versions of STOMP, and which one two peers agree on.

use std::fmt;

/// A version of the protocol; a later one is greater.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Version {
    #[default]
    V1_0,
    V1_1,
    V1_2,
}

impl Version {
    pub const ALL: [Self; 3] = [Self::V1_0, Self::V1_1, Self::V1_2];

    /// As listed in `accept-version` and `version` headers.
    pub const SUPPORTED: &str = "1.0,1.1,1.2";

    /// The highest version that both know. A client that sends no `accept-version` speaks 1.0 (STOMP 1.2, CONNECT).
    ///
    /// Blanks around an item are ignored, as no client means them.
    pub fn negotiate(accept_version: Option<&str>) -> Option<Self> {
        let Some(offered) = accept_version else {
            return Some(Self::V1_0);
        };
        let known = |item: &str| Self::ALL.into_iter().find(|it| it.as_str() == item.trim());
        offered.split(',').filter_map(known).max()
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_wins() {
        assert_eq!(Version::negotiate(None), Some(Version::V1_0));
        assert_eq!(Version::negotiate(Some("1.0,1.1,1.2")), Some(Version::V1_2));
        assert_eq!(Version::negotiate(Some("1.2, 1.1")), Some(Version::V1_2));
        assert_eq!(Version::negotiate(Some("1.1,2.0")), Some(Version::V1_1));
        assert_eq!(Version::negotiate(Some("2.0")), None);
        assert_eq!(Version::negotiate(Some("")), None);
    }
}
