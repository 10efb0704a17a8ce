//! Addresses and networks in rules.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// A network: an address, and how many of its leading bits count.
///
/// An IPv4 address that came over IPv6 (`::ffff:192.0.2.1`) is taken for what it is, on both sides.
///
/// ```
/// use bowline_core::access::Network;
/// let office: Network = "192.0.2.0/24".parse()?;
/// assert!(office.contains([192, 0, 2, 77].into()) && !office.contains([192, 0, 3, 1].into()));
/// let one: Network = "2001:db8::1".parse()?;
/// assert_eq!(one.to_string(), "2001:db8::1/128");
/// # Ok::<(), bowline_core::access::BadNetwork>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadNetwork {
    /// Its address is none.
    #[error("it is no address or network; write one such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")]
    Address,
    /// There is no such number of bits.
    #[error("the number behind `/` counts bits: at most {most} here")]
    Prefix {
        /// The bits of the address.
        most: u8,
    },
    /// Bits are set that do not count: what was meant is not clear.
    #[error("the address has bits set beyond the {prefix} that count; write {network}, or a longer prefix")]
    HostBits {
        /// How many count.
        prefix: u8,
        /// The network of these bits.
        network: Network,
    },
}

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }

    /// The network of the first bits of its address.
    fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4((a.to_bits() & mask).into())
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6((a.to_bits() & mask).into())
            }
        };
        Self { address, ..self }
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let given: IpAddr = address.parse().map_err(|_| BadNetwork::Address)?;
        let bits = |address: &IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let most = bits(&given);
        let prefix = match prefix {
            None => most,
            // `parse` alone would take `+8`.
            Some(p) if p.bytes().all(|b| b.is_ascii_digit()) => {
                p.parse().ok().filter(|p| *p <= most).ok_or(BadNetwork::Prefix { most })?
            }
            Some(_) => return Err(BadNetwork::Prefix { most }),
        };
        // `::ffff:192.0.2.0/120` is 192.0.2.0/24: addresses are compared in that form.
        let network = match given.to_canonical() {
            address if most != bits(&address) && prefix >= 96 => Self { address, prefix: prefix - 96 },
            _ => Self { address: given, prefix },
        };
        if network.masked() != network {
            return Err(BadNetwork::HostBits { prefix: network.prefix, network: network.masked() });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn networks_are_read_as_they_are_written() {
        for (text, want) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), want);
        }
        let parse = |text: &str| text.parse::<Network>().unwrap_err();
        for text in ["", "localhost", "192.0.2", "192.0.2.0-9", "/8"] {
            assert_eq!(parse(text), BadNetwork::Address, "{text}");
        }
        for text in ["192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "192.0.2.0/8/8"] {
            assert_eq!(parse(text), BadNetwork::Prefix { most: 32 }, "{text}");
        }
        assert_eq!(parse("::/129"), BadNetwork::Prefix { most: 128 });
        let bits = parse("192.0.2.7/24").to_string();
        assert_eq!(
            bits,
            "the address has bits set beyond the 24 that count; write 192.0.2.0/24, or a longer prefix"
        );
    }

    #[test]
    fn an_ipv4_address_over_ipv6_is_an_ipv4_address() {
        let loopback: Network = "127.0.0.0/8".parse().unwrap();
        assert!(loopback.contains("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!loopback.contains("::1".parse().unwrap()));
        assert!(!"::/0".parse::<Network>().unwrap().contains([127, 0, 0, 1].into()));
    }

    proptest! {
        #[test]
        fn a_network_is_the_addresses_that_begin_alike(a: u32, b: u32, c: u128, d: u128, prefix in 0u8..=128) {
            let short = prefix % 33;
            let v4 = Network { address: IpAddr::V4(a.into()), prefix: short }.masked();
            let same = short == 0 || a >> (32 - u32::from(short)) == b >> (32 - u32::from(short));
            prop_assert_eq!(v4.contains(IpAddr::V4(b.into())), same);
            prop_assert_eq!(format!("{v4}").parse(), Ok(v4));
            let v6 = Network { address: IpAddr::V6(c.into()), prefix }.masked();
            // `d` differs only behind the bits that count, or in the last that does.
            let flip = if prefix == 0 { 0 } else { 1u128 << (128 - u32::from(prefix)) };
            let alike = v6.address.to_canonical().is_ipv6();
            let tail = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            let IpAddr::V6(base) = v6.address else { unreachable!() };
            let inside = base.to_bits() | (d & tail);
            let at = |bits: u128| IpAddr::V6(bits.into());
            prop_assume!(alike && at(inside).to_canonical().is_ipv6());
            prop_assert!(v6.contains(at(inside)));
            prop_assert!(prefix == 0 || !v6.contains(at(inside ^ flip)));
        }
    }
}
