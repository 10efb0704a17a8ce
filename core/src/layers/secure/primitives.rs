//! What snow computes with: it has the protocol, and this the primitives.
//!
//! Ours rather than its own where that makes a difference: private keys are erased when dropped, a key whose
//! shared secret would be zero is refused, and randomness is what came in through [`Entropy`]. The cipher is
//! that of ring with `std`, and otherwise that of the `chacha20poly1305` crate.
//!
//! [`Entropy`]: crate::entropy::Entropy

use alloc::boxed::Box;

use curve25519_dalek::MontgomeryPoint;
use sha2::{Digest, Sha256};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::KEY;

/// The cipher of records and datagrams, without a key.
pub(super) fn cipher() -> Option<Box<dyn Cipher>> {
    #[cfg(feature = "std")]
    let resolver = snow::resolvers::RingResolver;
    #[cfg(not(feature = "std"))]
    let resolver = snow::resolvers::DefaultResolver;
    resolver.resolve_cipher(&CipherChoice::ChaChaPoly)
}

/// The public key of a private one.
pub(super) fn public(private: &[u8; KEY]) -> [u8; KEY] {
    MontgomeryPoint::mul_base_clamped(*private).to_bytes()
}

/// Hands out the primitives of one handshake.
pub(super) struct Primitives {
    /// What the ephemeral key will be.
    pub(super) ephemeral: Zeroizing<[u8; KEY]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::<X25519>::default() as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::<Sha>::default() as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        if *choice == CipherChoice::ChaChaPoly { cipher() } else { None }
    }
}

/// The octets that were drawn for a handshake, given out once: it makes one ephemeral key.
struct Once(Option<Zeroizing<[u8; KEY]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let octets = self.0.take().ok_or(Error::Rng)?;
        if out.len() != octets.len() {
            return Err(Error::Rng);
        }
        out.copy_from_slice(&octets[..]);
        Ok(())
    }
}

/// X25519 (RFC 7748).
#[derive(Default)]
struct X25519 {
    private: Zeroizing<[u8; KEY]>,
    public: [u8; KEY],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY
    }

    fn priv_len(&self) -> usize {
        KEY
    }

    fn set(&mut self, private: &[u8]) {
        self.private.copy_from_slice(private);
        self.public = public(&self.private);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        random.try_fill_bytes(&mut self.private[..])?;
        self.public = public(&self.private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.private[..]
    }

    /// RFC 7748 section 6.1: a shared secret of zeros is one that the peer chose, by a key of low order.
    fn dh(&self, theirs: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let theirs = theirs.first_chunk::<KEY>().ok_or(Error::Dh)?;
        let shared = Zeroizing::new(MontgomeryPoint(*theirs).mul_clamped(*self.private).to_bytes());
        if shared.ct_eq(&[0; KEY]).into() {
            return Err(Error::Dh);
        }
        out[..KEY].copy_from_slice(&shared[..]);
        Ok(())
    }
}

/// SHA-256.
#[derive(Default)]
struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.0.finalize_reset());
    }
}
