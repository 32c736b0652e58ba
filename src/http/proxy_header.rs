//! The header of the PROXY protocol, versions 1 and 2: whom the proxy speaks for, ahead of all that the client sends.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How version 2 begins; no text of version 1 and no request does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";

/// The longest line of version 1, with its line end.
const LINE_BYTES_MAX: usize = 107;

/// What may follow the first 16 bytes of version 2: addresses, and what else a proxy has to tell. Certificates of
/// clients are the longest of that.
const REST_BYTES_MAX: usize = 4096;

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("it does not begin with the header of the PROXY protocol")]
    Missing,
    #[error("the header of the PROXY protocol is malformed")]
    Malformed,
}

/// Reads the header and nothing behind it. `None` where the proxy speaks for itself, or does not know for whom.
pub(super) async fn read(tcp: &mut TcpStream) -> Result<Option<SocketAddr>, Fault> {
    // The shortest header has 15 bytes.
    let mut begin = [0; SIGNATURE.len()];
    tcp.read_exact(&mut begin).await?;
    if begin == SIGNATURE {
        let mut head = [0; 4];
        tcp.read_exact(&mut head).await?;
        let rest = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if REST_BYTES_MAX < rest {
            return Err(Fault::Malformed);
        }
        let mut addresses = vec![0; rest];
        tcp.read_exact(&mut addresses).await?;
        binary(head[0], head[1], &addresses).ok_or(Fault::Malformed)
    } else if begin.starts_with(WORD) {
        let mut line = begin.to_vec();
        while !line.ends_with(b"\n") {
            read_line_part(tcp, &mut line).await?;
        }
        text(&line).ok_or(Fault::Malformed)
    } else {
        Err(Fault::Missing)
    }
}

/// What is there of the line, without what follows it.
async fn read_line_part(tcp: &mut TcpStream, line: &mut Vec<u8>) -> Result<(), Fault> {
    let mut seen = [0; LINE_BYTES_MAX];
    let room = &mut seen[line.len()..];
    if room.is_empty() {
        return Err(Fault::Malformed);
    }
    let seen = tcp.peek(room).await?;
    let end = memchr::memchr(b'\n', &room[..seen]).map_or(seen, |at| at + 1);
    if end == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    tcp.read_exact(&mut room[..end]).await?;
    line.extend_from_slice(&room[..end]);
    Ok(())
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 80`. The outer `None` is a malformed one.
#[expect(clippy::option_option, reason = "no address is an answer, too")]
fn text(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let fields: Vec<_> = line.split(' ').collect();
    match *fields {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family, from, to, from_port, to_port] => {
            let (from, to): (IpAddr, IpAddr) = (from.parse().ok()?, to.parse().ok()?);
            let _to_port: u16 = to_port.parse().ok()?;
            let is_of_family = match family {
                "TCP4" => from.is_ipv4() && to.is_ipv4(),
                "TCP6" => from.is_ipv6() && to.is_ipv6(),
                _ => false,
            };
            is_of_family.then_some(Some(SocketAddr::new(from.to_canonical(), from_port.parse().ok()?)))
        }
        _ => None,
    }
}

/// Version 2, behind its signature and length.
#[expect(clippy::option_option, reason = "no address is an answer, too")]
fn binary(version_and_command: u8, family: u8, addresses: &[u8]) -> Option<Option<SocketAddr>> {
    let of_client = |ip: IpAddr, port: &[u8; 2]| Some(SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(*port)));
    match (version_and_command, family) {
        // LOCAL: the proxy's own, to see whether somebody is there. PROXY for UNSPEC, or a Unix socket.
        (0x20, _) | (0x21, 0x00 | 0x31 | 0x32) => Some(None),
        (0x21, 0x11 | 0x12) => {
            let from = Ipv4Addr::from(*addresses.first_chunk::<4>()?);
            Some(of_client(from.into(), addresses.get(8..12)?.first_chunk()?))
        }
        (0x21, 0x21 | 0x22) => {
            let from = Ipv6Addr::from(*addresses.first_chunk::<16>()?);
            Some(of_client(from.into(), addresses.get(32..36)?.first_chunk()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_of_version_1_names_the_client() {
        fn check(line: &str, expected: Option<Option<&str>>) {
            let expected = expected.map(|it| it.map(|it| it.parse().unwrap()));
            assert_eq!(text(line.as_bytes()), expected, "{line:?}");
        }
        check("PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n", Some(Some("192.0.2.1:4711")));
        check("PROXY TCP6 2001:db8::1 2001:db8::2 65535 80\r\n", Some(Some("[2001:db8::1]:65535")));
        check("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 80\r\n", Some(Some("192.0.2.1:1")));
        check("PROXY UNKNOWN\r\n", Some(None));
        check("PROXY UNKNOWN whatever it is\r\n", Some(None));
        for malformed in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
            "PROXY TCP4 2001:db8::1 192.0.2.2 4711 80\r\n",
            "PROXY TCP4 example.org 192.0.2.2 4711 80\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 4711 80\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 4711 80\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 4711 80\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 4711 80\r\n",
        ] {
            check(malformed, None);
        }
    }

    #[test]
    fn version_2_names_the_client() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];
        let mut v6 = [0; 36];
        (v6[0], v6[15], v6[33]) = (0x20, 7, 9);
        let client = |it: &str| Some(Some(it.parse().unwrap()));
        assert_eq!(binary(0x21, 0x11, &v4), client("192.0.2.1:4711"));
        // What a proxy tells beside it is passed over.
        assert_eq!(binary(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()), client("192.0.2.1:4711"));
        assert_eq!(binary(0x21, 0x21, &v6), client("[2000::7]:9"));
        assert_eq!(binary(0x20, 0x11, &v4), Some(None));
        assert_eq!(binary(0x20, 0x00, &[]), Some(None));
        assert_eq!(binary(0x21, 0x00, &[]), Some(None));
        assert_eq!(binary(0x21, 0x31, &[0; 216]), Some(None));
        assert_eq!(binary(0x21, 0x11, &v4[..11]), None);
        assert_eq!(binary(0x21, 0x21, &v6[..35]), None);
        assert_eq!(binary(0x21, 0x41, &v6), None);
        assert_eq!(binary(0x22, 0x11, &v4), None);
        assert_eq!(binary(0x11, 0x11, &v4), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(version: u8, family: u8, bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            // An address is only made of bytes that are there.
            let shortest = if family < 0x20 { 12 } else { 36 };
            prop_assert!(bytes.len() >= shortest || !matches!(binary(version, family, &bytes), Some(Some(_))));
            prop_assert!(matches!(text(&bytes), None | Some(None)));
        }
    }
}
