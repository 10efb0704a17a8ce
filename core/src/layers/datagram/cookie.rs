//! Cookies: who sends one back can be reached where it says, and nothing was kept to find that out.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::packet::ConnectionId;
use crate::entropy::Entropy;
use crate::time::Instant;

/// Time bucket (4 octets), code (16 octets).
pub(super) const LEN: usize = 20;
/// A cookie is good in the bucket of its time and the next: for 5 to 10 seconds.
const BUCKET: Duration = Duration::from_secs(5);
/// A key is used for so many buckets.
const BUCKETS_A_KEY: u32 = 120;

/// Makes and checks cookies, with a key that changes.
#[derive(Debug)]
pub(super) struct Cookies {
    keys: Option<Keys>,
}

struct Keys {
    /// The first bucket of the newer key.
    since: u32,
    newer: Zeroizing<[u8; 32]>,
    older: Zeroizing<[u8; 32]>,
}

impl core::fmt::Debug for Keys {
    /// Without the keys.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Keys").field("since", &self.since).finish_non_exhaustive()
    }
}

fn bucket(now: Instant) -> u32 {
    (now.as_nanos() / BUCKET.as_nanos() as u64) as u32
}

fn mac(key: &[u8; 32], bucket: u32, address: SocketAddr, from: ConnectionId) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&bucket.to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => mac.update(&ip.octets()),
    }
    mac.update(&address.port().to_be_bytes());
    mac.update(&from.0);
    mac
}

impl Cookies {
    pub(super) const fn new() -> Self {
        Self { keys: None }
    }

    /// The key of `bucket`, where there still is one.
    fn key(&mut self, now: Instant, at: u32, entropy: &mut dyn Entropy) -> Option<&[u8; 32]> {
        let mut draw = || {
            let mut key = Zeroizing::new([0; 32]);
            entropy.secret(&mut key[..]);
            key
        };
        let current = bucket(now);
        match &mut self.keys {
            None => self.keys = Some(Keys { since: current, newer: draw(), older: draw() }),
            Some(keys) if current.saturating_sub(keys.since) >= BUCKETS_A_KEY => {
                keys.older = core::mem::replace(&mut keys.newer, draw());
                keys.since = current;
            }
            Some(_) => {}
        }
        let keys = self.keys.as_ref()?;
        Some(if at >= keys.since { &keys.newer } else { &keys.older })
    }

    /// A cookie for who says that it is at `address` and calls itself `from`.
    pub(super) fn make(
        &mut self,
        now: Instant,
        address: SocketAddr,
        from: ConnectionId,
        entropy: &mut dyn Entropy,
    ) -> [u8; LEN] {
        let at = bucket(now);
        let mut cookie = [0; LEN];
        if let Some(key) = self.key(now, at, entropy) {
            cookie[..4].copy_from_slice(&at.to_be_bytes());
            cookie[4..].copy_from_slice(&mac(key, at, address, from).finalize().into_bytes()[..16]);
        }
        cookie
    }

    /// Whether `cookie` was made here for that address and name, not long ago. In constant time.
    pub(super) fn is_good(
        &mut self,
        now: Instant,
        cookie: &[u8],
        address: SocketAddr,
        from: ConnectionId,
        entropy: &mut dyn Entropy,
    ) -> bool {
        let Some((at, code)) = cookie.split_first_chunk() else { return false };
        let (at, current) = (u32::from_be_bytes(*at), bucket(now));
        if code.len() != LEN - 4 || at > current || current - at > 1 {
            return false;
        }
        let Some(key) = self.key(now, at, entropy) else { return false };
        mac(key, at, address, from).verify_truncated_left(code).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seeded;

    #[test]
    fn it_is_good_for_one_address_one_name_and_a_short_time() {
        let (mut cookies, mut entropy) = (Cookies::new(), Seeded::new(1));
        let at = Instant::from_millis;
        let address: SocketAddr = "192.0.2.1:7".parse().unwrap();
        let (me, other) = (ConnectionId([1; 8]), ConnectionId([2; 8]));
        let cookie = cookies.make(at(1000), address, me, &mut entropy);
        let mut good = |ms, cookie: &[u8], address: &str, name| {
            cookies.is_good(at(ms), cookie, address.parse().unwrap(), name, &mut entropy)
        };
        assert!(good(1000, &cookie, "192.0.2.1:7", me));
        assert!(good(9999, &cookie, "192.0.2.1:7", me), "the next bucket");
        assert!(!good(10_000, &cookie, "192.0.2.1:7", me), "the one after it");
        assert!(!good(1000, &cookie, "192.0.2.1:8", me), "another port");
        assert!(!good(1000, &cookie, "192.0.2.2:7", me), "another address");
        assert!(!good(1000, &cookie, "192.0.2.1:7", other), "another name");
        assert!(!good(1000, &cookie[..19], "192.0.2.1:7", me));
        for bit in 0..LEN * 8 {
            let mut forged = cookie;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!good(1000, &forged, "192.0.2.1:7", me), "bit {bit} forged");
        }
    }

    #[test]
    fn keys_change_and_cookies_survive_the_change() {
        let (mut cookies, mut entropy) = (Cookies::new(), Seeded::new(1));
        let address: SocketAddr = "[2001:db8::1]:7".parse().unwrap();
        let me = ConnectionId([1; 8]);
        let first = cookies.make(Instant::ZERO, address, me, &mut entropy);
        let last = Instant::ZERO + (BUCKET * BUCKETS_A_KEY - Duration::from_millis(1));
        let before = cookies.make(last, address, me, &mut entropy);
        let later = last + Duration::from_millis(2);
        assert!(cookies.is_good(later, &before, address, me, &mut entropy));
        let after = cookies.make(later, address, me, &mut entropy);
        assert_ne!(before[4..], after[4..]);
        assert!(!cookies.is_good(later, &first, address, me, &mut entropy));
    }
}
