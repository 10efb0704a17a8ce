//! Which side this is (RFC 6455, section 5.1): a client masks what it sends, a server does not.

use crate::entropy::Entropy;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Server {}
    impl<E> Sealed for super::Client<E> {}
}

/// A side of a connection: [`Server`] or [`Client`].
pub trait Role: sealed::Sealed {
    /// Whether this side masks what it sends: it is the client.
    const MASKS: bool;

    /// A new masking key; only asked for where this side masks.
    fn key(&mut self) -> [u8; 4];
}

/// The side that accepted the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Server;

impl Role for Server {
    const MASKS: bool = false;

    #[inline]
    fn key(&mut self) -> [u8; 4] {
        [0; 4]
    }
}

/// Octets of keys that are drawn at once.
const KEYS: usize = 64;

/// The side that made the connection, with the source of its masking keys.
///
/// Keys must be unpredictable to whoever chooses the payload (section 5.3), so they come from the secret
/// stream, sixteen at a time.
#[derive(Clone, Debug)]
pub struct Client<E> {
    entropy: E,
    keys: [u8; KEYS],
    used: u8,
}

impl<E: Entropy> Client<E> {
    /// A client that draws its keys from `entropy`.
    #[must_use]
    pub const fn new(entropy: E) -> Self {
        Self { entropy, keys: [0; KEYS], used: KEYS as u8 }
    }
}

impl<E: Entropy> Role for Client<E> {
    const MASKS: bool = true;

    #[inline]
    fn key(&mut self) -> [u8; 4] {
        if usize::from(self.used) == KEYS {
            self.entropy.secret(&mut self.keys);
            self.used = 0;
        }
        let at = usize::from(self.used);
        self.used += 4;
        let mut key = [0; 4];
        key.copy_from_slice(&self.keys[at..at + 4]);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seeded;

    /// Section 5.3: a fresh key for each frame.
    #[test]
    fn keys_are_the_secret_stream_in_order() {
        let mut want = [0; 2 * KEYS];
        let mut entropy = Seeded::new(5);
        entropy.secret(&mut want[..KEYS]);
        entropy.secret(&mut want[KEYS..]);
        let mut client = Client::new(Seeded::new(5));
        for key in want.as_chunks::<4>().0 {
            assert_eq!(client.key(), *key);
        }
    }
}
