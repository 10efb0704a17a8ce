//! The PROXY protocol, versions 1 and 2: what a load balancer says in front of a connection about whose
//! it is.
//!
//! It is read before anything else, TLS included, and only of those who are trusted to say it: whoever
//! may speak it may be anybody. Who is trusted must speak it, and who is not must not: to guess by the
//! octets would let clients choose who they are (section 2 of the specification, "The PROXY Protocol",
//! versions 1 & 2, as HAProxy publishes it).
//!
//! [`parse`] looks at what has come so far. Nothing is copied and nothing allocated; a header has at most
//! [`MAX_HEADER`] octets.
//!
//! ```
//! use bowline_core::proxy::{Parsed, parse};
//! let octets = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nand what the client says";
//! let Ok(Parsed::Header(header)) = parse(octets) else { panic!() };
//! assert_eq!(header.source.unwrap().to_string(), "192.0.2.7:56324");
//! assert_eq!(&octets[header.len..], b"and what the client says");
//! assert_eq!(parse(&octets[..20]), Ok(Parsed::NeedMore));
//! ```

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

#[cfg(test)]
mod tests;

/// The longest header that is taken, in octets. Version 1 has at most 107; version 2 may announce more,
/// which no balancer uses.
pub const MAX_HEADER: usize = 4096;

/// The longest line of version 1, its CRLF included (section 2.1).
const MAX_LINE: usize = 107;

/// What version 1 begins with.
const LINE: &[u8] = b"PROXY ";

/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed part of version 2: the signature, version and command, family, length.
const FIXED: usize = 16;

/// What came is not a header, or not a whole one that makes sense. The connection is to be dropped: whose
/// it is will never be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It begins with something else: whoever is trusted has to say it.
    #[error("no PROXY header: send one, or take this address off the trusted ones")]
    Missing,
    /// The line of version 1 does not end.
    #[error("the PROXY line has no CRLF within {MAX_LINE} octets (section 2.1)")]
    LineTooLong,
    /// The line of version 1 is not of its form.
    #[error(
        "the PROXY line is not `PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT` or `PROXY UNKNOWN` (section 2.1)"
    )]
    Line,
    /// A version other than 2 behind the signature of version 2.
    #[error("the PROXY header has version {0}; 1 and 2 are known (section 2.2)")]
    Version(u8),
    /// A command that is neither LOCAL nor PROXY.
    #[error("the PROXY header has command {0}; LOCAL (0) and PROXY (1) are known (section 2.2)")]
    Command(u8),
    /// A family or transport that does not exist.
    #[error("the PROXY header has family and transport {0:#04x}, which do not exist (section 2.2)")]
    Family(u8),
    /// It announces more than is taken.
    #[error("the PROXY header announces {0} octets; at most {MAX_HEADER} are taken")]
    TooLong(usize),
    /// It announces fewer octets than the addresses of its family have.
    #[error("the PROXY header is too short for the addresses of its family (section 2.2)")]
    Addresses,
    /// What follows the addresses is not a list of types, lengths and values.
    #[error("a field of the PROXY header reaches beyond its end (section 2.2)")]
    Field,
    /// It did not come in time.
    #[error("the PROXY header did not come in time")]
    Late,
    /// The checksum is another.
    #[error("the PROXY header's CRC-32C does not fit its octets (section 2.2.4)")]
    Checksum,
}

/// What the octets so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'b> {
    /// The beginning of a header: ask again with more.
    NeedMore,
    /// A whole header, at the front.
    Header(Header<'b>),
}

/// What was said about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'b> {
    /// How many octets it has; what the client says begins behind them.
    pub len: usize,
    /// Where the client connects from; nothing where the balancer speaks for itself (a health check), does
    /// not know, or the client came over a Unix socket: then it is the balancer's own address that counts.
    pub source: Option<SocketAddr>,
    /// Where it connected to.
    pub destination: Option<SocketAddr>,
    fields: &'b [u8],
}

impl<'b> Header<'b> {
    /// What else version 2 says (section 2.2): types and values, in their order.
    #[must_use]
    pub const fn fields(&self) -> Fields<'b> {
        Fields(self.fields)
    }
}

/// The fields of a header of version 2: an iterator over types and values.
///
/// Of interest may be 0x01, the protocol that the client chose by ALPN; 0x02, the host that it asked for;
/// 0x05, an id of the connection by which the balancer's log names it.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'b>(&'b [u8]);

impl<'b> Iterator for Fields<'b> {
    type Item = (u8, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, high, low], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        self.0 = rest;
        Some((kind, value))
    }
}

/// Reads a header from the first `octets` of a connection: all that have come, never a later part. Takes at
/// most [`MAX_HEADER`] of them to tell.
///
/// # Errors
///
/// See [`Fault`]; as soon as it is certain, without waiting for the rest.
pub fn parse(octets: &[u8]) -> Result<Parsed<'_>, Fault> {
    let begins = |with: &[u8]| octets.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        return if octets.len() < FIXED { check_fixed(octets) } else { parse_binary(octets) };
    }
    if begins(LINE) { parse_line(octets) } else { Err(Fault::Missing) }
}

/// Version 1.
fn parse_line(octets: &[u8]) -> Result<Parsed<'_>, Fault> {
    let Some(end) = octets.iter().take(MAX_LINE - 1).position(|&b| b == b'\r') else {
        return if octets.len() < MAX_LINE { Ok(Parsed::NeedMore) } else { Err(Fault::LineTooLong) };
    };
    match octets.get(end + 1) {
        None => return Ok(Parsed::NeedMore),
        Some(b'\n') => {}
        Some(_) => return Err(Fault::Line),
    }
    let line = octets[..end].strip_prefix(LINE).ok_or(Fault::Line)?;
    let line = core::str::from_utf8(line).map_err(|_| Fault::Line)?;
    let header =
        |source, destination| Ok(Parsed::Header(Header { len: end + 2, source, destination, fields: &[] }));
    // Whatever follows UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return header(None, None);
    }
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(Fault::Line);
    let family = word()?;
    let (source, destination) = (word()?, word()?);
    let (from, to) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(Fault::Line);
    }
    let socket = |address: &str, port| match family {
        "TCP4" => Ipv4Addr::from_str(address).map(|a| SocketAddr::new(a.into(), port)).ok(),
        "TCP6" => Ipv6Addr::from_str(address).map(|a| SocketAddr::new(a.into(), port)).ok(),
        _ => None,
    };
    let source = socket(source, from).ok_or(Fault::Line)?;
    let destination = socket(destination, to).ok_or(Fault::Line)?;
    header(Some(source), Some(destination))
}

/// A port as version 1 writes it: no sign, no leading zero.
fn port(text: &str) -> Result<u16, Fault> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Fault::Line)
}

/// What is certain of version 2 before its fixed part is whole.
fn check_fixed(octets: &[u8]) -> Result<Parsed<'_>, Fault> {
    if let Some(&octet) = octets.get(12) {
        check_command(octet)?;
    }
    if let Some(&octet) = octets.get(13) {
        addresses_len(octet)?;
    }
    Ok(Parsed::NeedMore)
}

fn check_command(octet: u8) -> Result<bool, Fault> {
    match (octet >> 4, octet & 15) {
        (2, 0) => Ok(false),
        (2, 1) => Ok(true),
        (2, command) => Err(Fault::Command(command)),
        (version, _) => Err(Fault::Version(version)),
    }
}

/// How many octets the addresses of a family have.
const fn addresses_len(octet: u8) -> Result<usize, Fault> {
    match octet {
        0 => Ok(0),
        0x11 | 0x12 => Ok(12),
        0x21 | 0x22 => Ok(36),
        0x31 | 0x32 => Ok(216),
        _ => Err(Fault::Family(octet)),
    }
}

/// Version 2, whose fixed part is there.
fn parse_binary(octets: &[u8]) -> Result<Parsed<'_>, Fault> {
    let is_proxied = check_command(octets[12])?;
    let family = octets[13];
    let addresses = addresses_len(family)?;
    let len = FIXED + usize::from(u16::from_be_bytes([octets[14], octets[15]]));
    if len > MAX_HEADER {
        return Err(Fault::TooLong(len));
    }
    let Some(header) = octets.get(..len) else { return Ok(Parsed::NeedMore) };
    // Of LOCAL all but the length is to be ignored.
    if !is_proxied {
        return Ok(Parsed::Header(Header { len, source: None, destination: None, fields: &[] }));
    }
    let (said, fields) = header[FIXED..].split_at_checked(addresses).ok_or(Fault::Addresses)?;
    check_fields(header, fields)?;
    let (source, destination) = match family >> 4 {
        1 => (v4(&said[..4], &said[8..10]), v4(&said[4..8], &said[10..])),
        2 => (v6(&said[..16], &said[32..34]), v6(&said[16..32], &said[34..])),
        _ => (None, None),
    };
    Ok(Parsed::Header(Header { len, source, destination, fields }))
}

fn v4(address: &[u8], port: &[u8]) -> Option<SocketAddr> {
    let address: [u8; 4] = address.try_into().ok()?;
    Some(SocketAddr::new(address.into(), u16::from_be_bytes(port.try_into().ok()?)))
}

fn v6(address: &[u8], port: &[u8]) -> Option<SocketAddr> {
    let address: [u8; 16] = address.try_into().ok()?;
    Some(SocketAddr::new(address.into(), u16::from_be_bytes(port.try_into().ok()?)))
}

/// Whether the fields fill what they have, and the checksum fits where there is one.
fn check_fields(header: &[u8], fields: &[u8]) -> Result<(), Fault> {
    /// The type of the checksum (section 2.2.4).
    const CRC32C: u8 = 3;
    let mut left = Fields(fields);
    while let Some((kind, value)) = left.next() {
        if kind != CRC32C {
            continue;
        }
        let said: [u8; 4] = value.try_into().map_err(|_| Fault::Field)?;
        // Computed with zeros in its own place, which is where the value ends.
        let at = header.len() - left.0.len() - 4;
        let mut digest = crc32c(!0, &header[..at]);
        digest = crc32c(digest, &[0; 4]);
        if !crc32c(digest, &header[at + 4..]) != u32::from_be_bytes(said) {
            return Err(Fault::Checksum);
        }
    }
    if left.0.is_empty() { Ok(()) } else { Err(Fault::Field) }
}

/// The CRC of RFC 3720, appendix B.4, bit by bit: of a few hundred octets, once a connection.
fn crc32c(from: u32, octets: &[u8]) -> u32 {
    octets.iter().fold(from, |crc, &octet| {
        (0..8).fold(crc ^ u32::from(octet), |crc, _| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}
