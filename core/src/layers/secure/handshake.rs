//! The messages that make a connection's keys.

use alloc::boxed::Box;
use core::fmt;

use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use super::primitives::Primitives;
use super::{DatagramCipher, KEY, PublicKey, SecretKey, SecureError, SharedKey, StreamCipher, TAG};
use crate::entropy::Entropy;

/// More than any message of a handshake adds to its payload: how much longer the output of
/// [`Handshake::write`] has to be than that.
pub const HANDSHAKE_OVERHEAD: usize = KEY + (KEY + TAG) + TAG + TAG;

/// The longest message, in octets: that of Noise.
const MESSAGE_MAX: usize = 65_535;

/// Who shows whom what, and when.
///
/// | pattern | messages | the client knows before | who listens learns of identities |
/// |---|---|---|---|
/// | `XX` | 3: 32, 96, 64 octets | nothing | nothing; who pretends to be the server learns nothing of the client, who pretends to be a client learns the server's key |
/// | `IK` | 2: 96, 48 octets | the server's key | nothing, unless the server's key is stolen later: then the clients' of recorded handshakes |
/// | `NNpsk0` | 2: 48, 48 octets | a secret that both have | which of the shared keys it is, by its hint |
///
/// `NNpsk0` is for firmware: no key pairs to make and to keep, one multiplication and one new key for each side,
/// and since the shared key is mixed in first, a server spends not even that on a stranger, and answers nothing.
/// What was recorded stays secret when the shared key is stolen later (`ee`), and when X25519 is broken but the
/// key is not (`psk`). But who has the key can pretend to be either side: where a device should not be able to
/// pretend to be the server, it takes `IK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pattern {
    /// Both show their static keys, once what they send is encrypted.
    Xx,
    /// The client knows the server's key, and shows its own at once.
    Ik,
    /// No static keys: both have the same secret.
    NnPsk0,
}

impl Pattern {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Xx, Self::Ik, Self::NnPsk0];

    /// The pattern of a number on the wire.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Xx),
            2 => Some(Self::Ik),
            3 => Some(Self::NnPsk0),
            _ => None,
        }
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Xx => 1,
            Self::Ik => 2,
            Self::NnPsk0 => 3,
        }
    }

    /// The name of the protocol in full, which is part of what both sides have to agree on.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Xx => "Noise_XX_25519_ChaChaPoly_SHA256",
            Self::Ik => "Noise_IK_25519_ChaChaPoly_SHA256",
            Self::NnPsk0 => "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
        }
    }

    /// How long its messages are without payloads, in octets.
    #[must_use]
    pub const fn messages(self) -> &'static [usize] {
        match self {
            Self::Xx => &[32, 96, 64],
            Self::Ik => &[96, 48],
            Self::NnPsk0 => &[48, 48],
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xx => "XX",
            Self::Ik => "IK",
            Self::NnPsk0 => "NNpsk0",
        })
    }
}

/// Which end of a handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Writes the first message: the client.
    Initiator,
    /// Reads it: the server.
    Responder,
}

/// The pattern of a handshake, and this side's keys for it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Keys<'a> {
    /// [`Pattern::Xx`].
    Xx {
        /// This side's key.
        own: &'a SecretKey,
    },
    /// [`Pattern::Ik`].
    Ik {
        /// This side's key.
        own: &'a SecretKey,
        /// Of an initiator: the responder's key.
        remote: Option<PublicKey>,
    },
    /// [`Pattern::NnPsk0`].
    NnPsk0 {
        /// What both sides have.
        shared: &'a SharedKey,
    },
}

impl Keys<'_> {
    /// The pattern.
    #[must_use]
    pub const fn pattern(&self) -> Pattern {
        match self {
            Self::Xx { .. } => Pattern::Xx,
            Self::Ik { .. } => Pattern::Ik,
            Self::NnPsk0 { .. } => Pattern::NnPsk0,
        }
    }
}

/// One side of a handshake. Messages are [written](Self::write) and [read](Self::read) in turns, until it
/// [is finished](Self::is_finished).
///
/// Whoever drops it erases the keys that it was given.
pub struct Handshake {
    noise: Box<HandshakeState>,
    pattern: Pattern,
    /// The next message.
    at: usize,
}

impl fmt::Debug for Handshake {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("pattern", &self.pattern)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Handshake {
    /// Begins one. `prologue` is what both sides have to agree on beside; it is not sent. 32 octets of the
    /// secret stream of `entropy` become the ephemeral key.
    ///
    /// # Errors
    ///
    /// [`SecureError::Missing`]: an initiator of IK has to know the other's key.
    pub fn new<E: Entropy + ?Sized>(
        role: Role,
        prologue: &[u8],
        keys: &Keys<'_>,
        entropy: &mut E,
    ) -> Result<Self, SecureError> {
        let pattern = keys.pattern();
        let mut ephemeral = Zeroizing::new([0; KEY]);
        entropy.secret(&mut ephemeral[..]);
        let params = pattern.protocol().parse().map_err(|_| SecureError::OutOfOrder("unknown protocol"))?;
        let builder =
            Builder::with_resolver(params, Box::new(Primitives { ephemeral })).prologue(prologue)?;
        let remote; // outlives the builder
        let builder = match *keys {
            Keys::Xx { own } => builder.local_private_key(&own.0[..])?,
            Keys::Ik { own, remote: known } => {
                let builder = builder.local_private_key(&own.0[..])?;
                match (role, known) {
                    (Role::Initiator, Some(known)) => {
                        remote = known;
                        builder.remote_public_key(&remote.0)?
                    }
                    (Role::Initiator, None) => return Err(SecureError::Missing(pattern, "server's key")),
                    (Role::Responder, _) => builder,
                }
            }
            Keys::NnPsk0 { shared } => builder.psk(0, &shared.0)?,
        };
        let noise = match role {
            Role::Initiator => builder.build_initiator()?,
            Role::Responder => builder.build_responder()?,
        };
        Ok(Self { noise: Box::new(noise), pattern, at: 0 })
    }

    /// The pattern.
    #[must_use]
    pub const fn pattern(&self) -> Pattern {
        self.pattern
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        if self.noise.is_initiator() { Role::Initiator } else { Role::Responder }
    }

    /// How long the next message is without a payload, whoever writes it; nothing once all were exchanged.
    #[must_use]
    pub fn next_message(&self) -> Option<usize> {
        self.pattern.messages().get(self.at).copied()
    }

    /// Whether this side writes the next message.
    #[must_use]
    pub fn is_my_turn(&self) -> bool {
        !self.is_finished() && self.noise.is_my_turn()
    }

    /// Whether all messages were exchanged.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.at == self.pattern.messages().len()
    }

    /// Writes the next message with `payload` into `out`, which has to be longer by [`HANDSHAKE_OVERHEAD`]. Says
    /// how long it is.
    ///
    /// A payload of XX's first message is in clear; one of the first message of the others can be replayed.
    ///
    /// # Errors
    ///
    /// It is the other side's turn, `out` is too short, the payload too long, or the peer's key that came is
    /// [of low order](SecureError::WeakKey): then the handshake has failed.
    pub fn write(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, SecureError> {
        if !self.is_my_turn() {
            return Err(SecureError::OutOfOrder("the other side writes the next message"));
        }
        let (length, needed) = (payload.len(), payload.len().saturating_add(HANDSHAKE_OVERHEAD));
        if needed > MESSAGE_MAX {
            return Err(SecureError::TooLong { length, limit: MESSAGE_MAX - HANDSHAKE_OVERHEAD });
        }
        if out.len() < needed {
            return Err(SecureError::NoRoom { needed });
        }
        let n = self.noise.write_message(payload, out)?;
        self.at += 1;
        Ok(n)
    }

    /// Reads the next message; its payload goes into `out`, which has to be as long as the message. Says how
    /// long the payload is.
    ///
    /// # Errors
    ///
    /// It is this side's turn, `out` is too short, or the message is not authentic. After a message that is not
    /// a genuine one may still be read, so that who sends forged datagrams ends no handshake; only behind the
    /// last of XX, where its first part was genuine, this is not so.
    pub fn read(&mut self, message: &[u8], out: &mut [u8]) -> Result<usize, SecureError> {
        if self.is_finished() || self.noise.is_my_turn() {
            return Err(SecureError::OutOfOrder("this side writes the next message"));
        }
        if out.len() < message.len() {
            return Err(SecureError::NoRoom { needed: message.len() });
        }
        let n = self.noise.read_message(message, out)?;
        self.at += 1;
        Ok(n)
    }

    /// The other side's static key, where the pattern has one and it was shown. Of a client it is proven only
    /// once something of it was opened with the keys of this handshake: a first message can be replayed.
    #[must_use]
    pub fn remote_static(&self) -> Option<PublicKey> {
        if self.pattern == Pattern::NnPsk0 {
            return None;
        }
        Some(PublicKey(*self.noise.get_remote_static()?.first_chunk()?))
    }

    /// The hash of all that was said: the same on both sides, and on no other connection, once finished. What
    /// is said above can be bound to it (channel binding).
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let hash = self.noise.get_handshake_hash();
        core::array::from_fn(|i| hash.get(i).copied().unwrap_or_default())
    }

    /// The cipher for records.
    ///
    /// # Errors
    ///
    /// [`SecureError::OutOfOrder`]: the handshake has not ended.
    pub fn into_stream(mut self) -> Result<StreamCipher, SecureError> {
        self.finish()?;
        Ok(StreamCipher::new((*self.noise).into_transport_mode()?))
    }

    /// The cipher for datagrams.
    ///
    /// # Errors
    ///
    /// [`SecureError::OutOfOrder`]: the handshake has not ended.
    pub fn into_datagram(mut self) -> Result<DatagramCipher, SecureError> {
        self.finish()?;
        let (initiator, responder) = self.noise.dangerously_get_raw_split();
        let (initiator, responder) = (Zeroizing::new(initiator), Zeroizing::new(responder));
        match self.role() {
            Role::Initiator => DatagramCipher::new(&initiator, &responder),
            Role::Responder => DatagramCipher::new(&responder, &initiator),
        }
    }

    /// What is not needed any more is overwritten: snow does not do so by itself.
    fn finish(&mut self) -> Result<(), SecureError> {
        if !self.is_finished() {
            return Err(SecureError::OutOfOrder("the handshake has not ended"));
        }
        let _ = self.noise.set_psk(0, &[0; KEY]);
        Ok(())
    }
}
