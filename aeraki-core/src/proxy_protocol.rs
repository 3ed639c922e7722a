//! The header of the PROXY protocol, read and written: §2.1 (version 1) and §2.2 (version 2) of
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aeraki_route::config::ProxyProtocolVersion;

use crate::stack::ConnInfo;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The beginning of a header, or of something else.
    Partial,
    /// A header of this length, in bytes.
    Header(usize, Option<Addresses>),
    /// Something else.
    Absent,
    /// Something that begins as a header does.
    Invalid(&'static str),
}

/// The addresses of a client's connection to a load balancer; a header may say that it has none to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

impl Addresses {
    /// Returns those of a connection of a client that a request came on.
    pub(crate) const fn of(client: &ConnInfo) -> Self {
        Self { source: client.peer, destination: client.local }
    }
}

/// Reads the header at the start of `bytes`, which need not hold all of it.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    if starts_alike(bytes, SIGNATURE) {
        if bytes.len() < FIXED { Parsed::Partial } else { parse_binary(bytes) }
    } else if starts_alike(bytes, TEXT) {
        if bytes.len() < TEXT.len() { Parsed::Partial } else { parse_text(bytes) }
    } else {
        Parsed::Absent
    }
}

/// Tells whether one begins with the other, as far as both go.
fn starts_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn parse_text(bytes: &[u8]) -> Parsed {
    let Some(end) = bytes.iter().take(LONGEST_TEXT).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LONGEST_TEXT { Parsed::Partial } else { Parsed::Invalid("the line does not end") };
    };
    let line = bytes.get(TEXT.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let Some(line) = line.and_then(|line| str::from_utf8(line).ok()) else {
        return Parsed::Invalid("the line is no text that ends with CR and LF");
    };
    let words: Vec<&str> = line.split(' ').collect();
    let addresses = match words.as_slice() {
        ["UNKNOWN", ..] => return Parsed::Header(end + 1, None),
        ["TCP4", rest @ ..] => text_addresses(rest, |word| word.parse().ok().map(IpAddr::V4)),
        ["TCP6", rest @ ..] => text_addresses(rest, |word| word.parse().ok().map(IpAddr::V6)),
        _ => return Parsed::Invalid("the line names another protocol"),
    };
    addresses
        .map_or(Parsed::Invalid("the line holds no addresses"), |addresses| Parsed::Header(end + 1, Some(addresses)))
}

fn text_addresses(words: &[&str], ip: impl Fn(&str) -> Option<IpAddr>) -> Option<Addresses> {
    let [source, destination, source_port, destination_port] = words else { return None };
    // a sign would be taken for a part of the number
    let port = |word: &str| word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()));
    Some(Addresses {
        source: SocketAddr::new(ip(source)?, port(source_port)?),
        destination: SocketAddr::new(ip(destination)?, port(destination_port)?),
    })
}

fn parse_binary(bytes: &[u8]) -> Parsed {
    let Some([version_and_command, family, high, low]) =
        bytes.get(SIGNATURE.len()..).and_then(|rest| rest.first_chunk())
    else {
        return Parsed::Partial;
    };
    let len = FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if len > LONGEST_BINARY {
        return Parsed::Invalid("the header is too long");
    }
    let is_local = match *version_and_command {
        LOCAL => true,
        PROXY => false,
        _ => return Parsed::Invalid("the header is of another version, or commands something unknown"),
    };
    let Some(body) = bytes.get(FIXED..len) else { return Parsed::Partial };
    if is_local {
        return Parsed::Header(len, None);
    }
    let addresses = match family {
        // of an unknown family, or Unix sockets: nothing that can be told
        0x00 | 0x31 | 0x32 => return Parsed::Header(len, None),
        0x11 => binary_addresses(body, |octets: [u8; 4]| Ipv4Addr::from(octets).into()),
        0x21 => binary_addresses(body, |octets: [u8; 16]| Ipv6Addr::from(octets).into()),
        _ => return Parsed::Invalid("the header is not of a stream"),
    };
    addresses.map_or(Parsed::Invalid("the header holds no addresses"), |addresses| Parsed::Header(len, Some(addresses)))
}

/// Reads two addresses of `N` bytes and two ports; what follows are fields that nobody here asks for.
fn binary_addresses<const N: usize>(body: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Option<Addresses> {
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let [a, b, c, d] = rest.first_chunk()?;
    Some(Addresses {
        source: SocketAddr::new(ip(*source), u16::from_be_bytes([*a, *b])),
        destination: SocketAddr::new(ip(*destination), u16::from_be_bytes([*c, *d])),
    })
}

/// Writes a header; without addresses the connection is the proxy's own. Two addresses of which only one is IPv4 are
/// written as IPv6.
pub(crate) fn header(version: ProxyProtocolVersion, addresses: Option<Addresses>) -> Vec<u8> {
    match version {
        ProxyProtocolVersion::V2 => binary_header(addresses),
        _ => text_header(addresses),
    }
}

fn text_header(addresses: Option<Addresses>) -> Vec<u8> {
    let Some(Addresses { source, destination }) = addresses else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let (family, ips) = match same_family(source.ip(), destination.ip()) {
        Ips::V4(source, destination) => ("TCP4", format!("{source} {destination}")),
        Ips::V6(source, destination) => ("TCP6", format!("{source} {destination}")),
    };
    format!("PROXY {family} {ips} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

fn binary_header(addresses: Option<Addresses>) -> Vec<u8> {
    let Some(Addresses { source, destination }) = addresses else {
        return [SIGNATURE, &[LOCAL, 0x00, 0, 0]].concat();
    };
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    match same_family(source.ip(), destination.ip()) {
        Ips::V4(source, destination) => {
            [SIGNATURE, &[PROXY, 0x11, 0, 12], &source.octets()[..], &destination.octets(), &ports].concat()
        }
        Ips::V6(source, destination) => {
            [SIGNATURE, &[PROXY, 0x21, 0, 36], &source.octets()[..], &destination.octets(), &ports].concat()
        }
    }
}

/// Source and destination.
enum Ips {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

fn same_family(source: IpAddr, destination: IpAddr) -> Ips {
    let mapped = |ip| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    match (source.to_canonical(), destination.to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Ips::V4(source, destination),
        (source, destination) => Ips::V6(mapped(source), mapped(destination)),
    }
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Length of signature, version, family and length.
const FIXED: usize = 16;
/// Version 2; the connection is the load balancer's own.
const LOCAL: u8 = 0x20;
/// Version 2; the addresses are those of the client's connection.
const PROXY: u8 = 0x21;
const TEXT: &[u8] = b"PROXY ";
/// Bytes of the longest line there can be.
const LONGEST_TEXT: usize = 107;
/// Bytes of a binary header that are taken: addresses, and room for fields that load balancers add.
pub(crate) const LONGEST_BINARY: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(source: &str, destination: &str) -> Option<Addresses> {
        Some(Addresses { source: source.parse().expect("valid"), destination: destination.parse().expect("valid") })
    }

    fn binary(version_and_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).expect("short").to_be_bytes();
        [SIGNATURE, &[version_and_command, family], &len, body].concat()
    }

    fn good() -> Vec<(Vec<u8>, Option<Addresses>)> {
        let v4 = [10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 80];
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 7, 8);
        vec![
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n".to_vec(), addresses("10.0.0.1:12345", "10.0.0.2:80")),
            (b"PROXY TCP6 2001:db8::1 ::2 1 65535\r\n".to_vec(), addresses("[2001:db8::1]:1", "[::2]:65535")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (binary(0x21, 0x11, &v4), addresses("10.0.0.1:12345", "10.0.0.2:80")),
            (binary(0x21, 0x21, &v6), addresses("[::1]:7", "[::2]:8")),
            (binary(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()), addresses("10.0.0.1:12345", "10.0.0.2:80")),
            (binary(0x20, 0x11, &v4), None),
            (binary(0x20, 0x00, b""), None),
            (binary(0x21, 0x00, b""), None),
            (binary(0x21, 0x31, &[0; 216]), None),
        ]
    }

    #[test]
    fn both_versions_are_read_however_they_arrive() {
        for (header, addresses) in good() {
            let followed = [&header[..], b"rest"].concat();
            assert_eq!(parse(&followed), Parsed::Header(header.len(), addresses), "{header:?}");
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end]), Parsed::Partial, "{end} of {header:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_told_from_a_bad_one() {
        for absent in [&b"GET / HTTP/1.1"[..], b"\xda\xbb", b"\r\n\r\n\0\r\nQUIX", b"PROXX", b"\x16\x03\x01"] {
            assert_eq!(parse(absent), Parsed::Absent, "{absent:?}");
        }
        let too_long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
        let endless = [TEXT, &[b' '; 200]].concat();
        for invalid in [
            &b"PROXY TCP4 10.0.0.1 10.0.0.2 +1 80\r\n"[..],
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 65536\r\n",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 80 9\r\n",
            b"PROXY TCP4  10.0.0.1 10.0.0.2 1 80\r\n",
            b"PROXY TCP4 ::1 ::2 1 80\r\n",
            b"PROXY TCP6 10.0.0.1 10.0.0.2 1 80\r\n",
            b"PROXY UDP4 10.0.0.1 10.0.0.2 1 80\r\n",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 80\n",
            b"PROXY \xff\r\n",
            &too_long,
            &endless,
            &binary(0x11, 0x11, &[0; 12]),
            &binary(0x22, 0x11, &[0; 12]),
            &binary(0x21, 0x12, &[0; 12]),
            &binary(0x21, 0x11, &[0; 11]),
            &binary(0x21, 0x21, &[0; 35]),
        ] {
            assert!(matches!(parse(invalid), Parsed::Invalid(_)), "{invalid:?} is {:?}", parse(invalid));
        }
    }

    #[test]
    fn headers_are_written_as_the_specification_has_them() {
        let [v1, v2] = [ProxyProtocolVersion::V1, ProxyProtocolVersion::V2];
        let both = addresses("10.0.0.1:12345", "10.0.0.2:80");
        assert_eq!(header(v1, both), b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n");
        assert_eq!(header(v2, both), binary(0x21, 0x11, &[10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 80]));
        let mixed = addresses("10.0.0.1:1", "[2001:db8::1]:2");
        assert_eq!(header(v1, mixed), b"PROXY TCP6 ::ffff:10.0.0.1 2001:db8::1 1 2\r\n");
        assert_eq!(header(v1, None), b"PROXY UNKNOWN\r\n");
        assert_eq!(header(v2, None), binary(0x20, 0x00, b""));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(source: SocketAddr, destination: SocketAddr, binary: bool) {
            let version = if binary { ProxyProtocolVersion::V2 } else { ProxyProtocolVersion::V1 };
            let written = header(version, Some(Addresses { source, destination }));
            let Parsed::Header(len, Some(read)) = parse(&written) else { panic!("{written:?}") };
            let plain = |address: SocketAddr| (address.ip().to_canonical(), address.port());
            prop_assert_eq!(len, written.len());
            prop_assert_eq!((plain(read.source), plain(read.destination)), (plain(source), plain(destination)));
        }

        #[test]
        fn more_bytes_never_change_a_verdict(which in 0..3usize, tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [[SIGNATURE, TEXT, b""][which], &tail].concat();
            let mut verdict = Parsed::Partial;
            for end in 0..=bytes.len() {
                let parsed = parse(&bytes[..end]);
                prop_assert!(verdict == Parsed::Partial || verdict == parsed, "{verdict:?} became {parsed:?}");
                if let Parsed::Header(len, _) = parsed {
                    prop_assert!(len <= end && len <= LONGEST_BINARY);
                }
                verdict = parsed;
            }
        }
    }
}
