//! Which pages may connect: a browser sends the origin of the page, and only the server can refuse it (RFC 6455
//! section 10.2).

/// Whether a page of `origin` may connect to a server that it called `host`.
///
/// An origin is of the same host if host and port are equal. The scheme is not compared: behind a proxy that ends TLS
/// the gateway can't know what the browser used.
pub(super) fn is_allowed(origin: &str, host: Option<&str>, allowed: &[String]) -> bool {
    let is_listed = |it: &String| it == "*" || it.trim_end_matches('/').eq_ignore_ascii_case(origin);
    allowed.iter().any(is_listed) || host.is_some_and(|host| is_same_host(origin, host))
}

fn is_same_host(origin: &str, host: &str) -> bool {
    // `null`, the origin of sandboxed and local pages, has no host.
    let Some((scheme, origin_host)) = origin.split_once("://") else { return false };
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let without_port = |it: &'_ str| it.strip_suffix(port).unwrap_or(it).to_ascii_lowercase();
    !origin_host.is_empty() && without_port(origin_host) == without_port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_allowed_if_it_is_of_the_same_host_or_on_the_list() {
        fn check(origin: &str, host: Option<&str>, allowed: &[&str], expected: bool) {
            let listed: Vec<String> = allowed.iter().map(|&it| it.to_owned()).collect();
            assert_eq!(is_allowed(origin, host, &listed), expected, "{origin} at {host:?} with {allowed:?}");
        }
        check("http://localhost:8080", Some("localhost:8080"), &[], true);
        check("https://example.org", Some("example.org"), &[], true);
        check("HTTPS://Example.org", Some("eXample.org:443"), &[], true);
        check("http://example.org", Some("example.org:80"), &[], true);
        check("http://[::1]:8080", Some("[::1]:8080"), &[], true);
        check("https://example.org", Some("example.org:80"), &[], false);
        check("http://localhost:3000", Some("localhost:8080"), &[], false);
        check("https://example.org.evil.net", Some("example.org"), &[], false);
        check("https://evil.net", Some("example.org"), &["https://other.org"], false);
        check("https://evil.net", None, &[], false);
        check("null", Some("null"), &[], false);
        check("null", Some("example.org"), &["null"], true);
        check("", Some(""), &[], false);
        check("http://", Some(""), &[], false);
        check("https://app.example.org", Some("ws.example.org"), &["https://APP.example.org/"], true);
        check("http://app.example.org", Some("ws.example.org"), &["https://app.example.org"], false);
        check("https://anything.net", None, &["*"], true);
    }
}
