//! Proxies in front of the listener: which addresses are theirs, and what of their words about a client is believed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hyper::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::forwarded;

/// What an operator says of the proxies in front.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    pub trusted: Vec<Network>,
    /// Whether the trusted ones begin each connection with the header of the PROXY protocol.
    pub proxy_protocol: bool,
    pub header: ClientHeader,
}

/// The header of a request that tells the client's address. Only one: a proxy that sets the other one passes on what
/// clients write into this.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientHeader {
    Forwarded,
    #[default]
    Off,
    XForwardedFor,
}

/// An address, or all that begin with the same bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network(IpNet);

impl Proxies {
    /// Whether a connection from there has to begin with the header of the PROXY protocol.
    pub(super) fn announces(&self, peer: SocketAddr) -> bool {
        self.proxy_protocol && self.trusts(peer.ip())
    }

    /// Whether the headers of requests from there tell who the client is.
    pub(super) fn forwards(&self, peer: SocketAddr) -> bool {
        self.header != ClientHeader::Off && self.trusts(peer.ip())
    }

    /// Where a request comes from that `peer` sent. Each proxy adds the address that it was sent the request from to
    /// the end, so the list is read from there, as long as who wrote is trusted.
    pub(super) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let (name, parse): (_, fn(&str) -> Option<SocketAddr>) = match self.header {
            ClientHeader::Forwarded => (FORWARDED, forwarded::element),
            ClientHeader::Off => return peer,
            ClientHeader::XForwardedFor => (HeaderName::from_static("x-forwarded-for"), forwarded::node),
        };
        let values = headers.get_all(name).into_iter().rev();
        // What is no text names nobody.
        let mut hops = values.flat_map(|it| forwarded::from_the_right(it.to_str().unwrap_or_default())).map(parse);
        let mut client = peer;
        while self.trusts(client.ip())
            && let Some(Some(hop)) = hops.next()
        {
            client = hop;
        }
        client
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|it| it.0.contains(&ip))
    }
}

impl FromStr for Network {
    type Err = ipnet::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One address is a network of its own.
        let network = text.parse().or_else(|error| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| error))?;
        Ok(Self(canonical(network)))
    }
}

/// Addresses of IPv4 that are written as those of IPv6 become what they are, as those of peers do.
fn canonical(network: IpNet) -> IpNet {
    let mapped = |it: Ipv6Net| Ipv4Net::new(it.addr().to_ipv4_mapped()?, it.prefix_len().checked_sub(96)?).ok();
    match network {
        IpNet::V4(_) => network,
        IpNet::V6(it) => mapped(it).map_or(network, IpNet::from),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn proxies(header: ClientHeader) -> Proxies {
        let trusted = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"].map(|it| it.parse().unwrap());
        Proxies { trusted: trusted.into(), proxy_protocol: false, header }
    }

    fn client(header: ClientHeader, peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        proxies(header).client(SocketAddr::new(peer.parse().unwrap(), 1), &headers).ip().to_string()
    }

    #[test]
    fn a_list_is_read_from_the_right_past_those_who_are_trusted() {
        fn check(peer: &str, lists: &[&str], expected: &str) {
            let plain: Vec<_> = lists.iter().map(|it| ("x-forwarded-for", *it)).collect();
            assert_eq!(client(ClientHeader::XForwardedFor, peer, &plain), expected, "{lists:?}");
            let element = |it: &str| format!("for=\"{}\";proto=https", it.trim());
            let lists: Vec<_> =
                lists.iter().map(|it| it.split(',').map(element).collect::<Vec<_>>().join(", ")).collect();
            let lines: Vec<_> = lists.iter().map(|it| ("forwarded", &**it)).collect();
            assert_eq!(client(ClientHeader::Forwarded, peer, &lines), expected, "{lines:?}");
        }
        check("10.1.2.3", &["203.0.113.7"], "203.0.113.7");
        check("10.1.2.3", &["203.0.113.7:4711"], "203.0.113.7");
        check("10.1.2.3", &["[2001:0db9::7]:4711"], "2001:db9::7");
        check("10.1.2.3", &["[2001:db9::7]"], "2001:db9::7");
        // What a client says itself stands to the left of what is said about it.
        check("10.1.2.3", &["198.51.100.9, 203.0.113.7"], "203.0.113.7");
        check("10.1.2.3", &["198.51.100.9", "203.0.113.7"], "203.0.113.7");
        check("10.1.2.3", &["198.51.100.9, 203.0.113.7, 10.9.9.9,192.0.2.1"], "203.0.113.7");
        check("10.1.2.3", &["203.0.113.7", "2001:db8::9, 10.0.0.1"], "203.0.113.7");
        // Nobody trusted may speak for a client.
        check("192.0.2.2", &["203.0.113.7"], "192.0.2.2");
        check("10.1.2.3", &["10.0.0.1, 10.0.0.2"], "10.0.0.1");
        // Beyond what is no address nothing is known.
        check("10.1.2.3", &["203.0.113.7, unknown"], "10.1.2.3");
        check("10.1.2.3", &["203.0.113.7, _hidden, 10.0.0.1"], "10.0.0.1");
        check("10.1.2.3", &["203.0.113.7, "], "10.1.2.3");
        check("10.1.2.3", &[], "10.1.2.3");
    }

    #[test]
    fn a_network_of_ipv4_in_the_form_of_ipv6_matches() {
        let trusted = vec!["::ffff:10.0.0.0/104".parse().unwrap()];
        let proxies = Proxies { trusted, proxy_protocol: true, header: ClientHeader::Off };
        for (ip, expected) in [("10.1.2.3", true), ("11.1.2.3", false), ("2001:db8::1", false)] {
            assert_eq!(proxies.announces(SocketAddr::new(ip.parse().unwrap(), 1)), expected, "{ip}");
        }
    }

    #[test]
    fn only_the_header_of_the_setting_is_read() {
        let lines = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.8")];
        assert_eq!(client(ClientHeader::XForwardedFor, "10.1.2.3", &lines), "203.0.113.7");
        assert_eq!(client(ClientHeader::Forwarded, "10.1.2.3", &lines), "203.0.113.8");
        assert_eq!(client(ClientHeader::Off, "10.1.2.3", &lines), "10.1.2.3");
    }

    #[test]
    fn a_value_that_is_no_text_ends_what_is_known() {
        let lines = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "é")];
        assert_eq!(client(ClientHeader::XForwardedFor, "10.1.2.3", &lines), "10.1.2.3");
    }

    #[test]
    fn a_network_is_shown_as_it_is_written() {
        for text in ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for (mapped, expected) in [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:192.0.2.1", "192.0.2.1")] {
            assert_eq!(mapped.parse::<Network>().unwrap().to_string(), expected);
        }
        assert_eq!("::/0".parse::<Network>().unwrap().to_string(), "::/0");
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1:80"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
