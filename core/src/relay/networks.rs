//! Networks that a name of the internet has no business to be in.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public internet: not this machine's, not one of a private or
/// shared network, no link-local, multicast or reserved one. An IPv4 address is looked at in whatever
/// IPv6 form it comes (mapped, NAT64, 6to4).
///
/// ```
/// use bowline_core::relay::is_public;
/// assert!(is_public("93.184.216.34".parse()?));
/// for address in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::ffff:192.168.0.1", "fe80::1", "64:ff9b::7f00:1"] {
///     assert!(!is_public(address.parse()?), "{address}");
/// }
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By IANA's registry of special-purpose addresses (RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b) {
        (0 | 10 | 127 | 224.., _) => true,
        (100, b) => b & 0xC0 == 64,
        (169, 254) | (192, 168) => true,
        (172, b) => b & 0xF0 == 16,
        (192, 0) => c == 0 || c == 2,
        (192, 88) => c == 99,
        (198, b) => b & 0xFE == 18 || (b == 51 && c == 100),
        (203, 0) => c == 113,
        _ => false,
    };
    !special
}

/// Global unicast alone (RFC 4291), and no IPv4 address that is none.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s[0] {
        // NAT64 (RFC 6052), and its local prefix (RFC 8215).
        0x64 if s[1] == 0xff9b => s[2..6] == [0; 4] && embedded(s[6], s[7]),
        // 6to4 (RFC 3056).
        0x2002 => embedded(s[1], s[2]),
        // Teredo, ORCHID, documentation and other protocol assignments.
        0x2001 => s[1] >= 0x200 && s[1] != 0xdb8,
        0x3fff => s[1] >= 0x1000,
        first => first & 0xE000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_known_in_every_form() {
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:c0a8:101::",
            "2001::1",
            "2001:db8::1",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
        for public in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
