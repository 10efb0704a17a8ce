//! The secure mode of our own protocol: the Noise framework, revision 34, by the crate `snow` (feature `noise`).
//!
//! One suite, `25519_ChaChaPoly_SHA256`, and three [patterns](Pattern). Nothing here does I/O, and all randomness
//! is drawn from an [`Entropy`](crate::entropy::Entropy).
//!
//! | what | is |
//! |---|---|
//! | [`SecretKey`], [`PublicKey`], [`SharedKey`] | keys, and how people write them |
//! | [`Handshake`] | the messages that make a connection's keys; ends in one of the next two |
//! | [`StreamCipher`] | records, over what keeps octets in order |
//! | [`DatagramCipher`] | datagrams with explicit numbers; [`ReplayWindow`](crate::replay::ReplayWindow) tells which came |
//!
//! ```
//! use bowline_core::entropy::Seeded;
//! use bowline_core::secure::{Handshake, Keys, Pattern, Role, SecretKey};
//!
//! let mut entropy = Seeded::new(1); // never in earnest: it can be guessed
//! let (ours, theirs) = (SecretKey::generate(&mut entropy), SecretKey::generate(&mut entropy));
//! let mut client = Handshake::new(
//!     Role::Initiator,
//!     b"a label of the protocol",
//!     &Keys::Ik { own: &ours, remote: Some(theirs.public()) },
//!     &mut entropy,
//! )?;
//! let keys = Keys::Ik { own: &theirs, remote: None };
//! let mut server = Handshake::new(Role::Responder, b"a label of the protocol", &keys, &mut entropy)?;
//!
//! let (mut a, mut b) = ([0; 256], [0; 256]);
//! let n = client.write(b"", &mut a)?;
//! server.read(&a[..n], &mut b)?;
//! let n = server.write(b"", &mut a)?;
//! client.read(&a[..n], &mut b)?;
//! assert_eq!(server.remote_static(), Some(ours.public()));
//! assert_eq!(client.hash(), server.hash());
//!
//! let (mut client, mut server) = (client.into_datagram()?, server.into_datagram()?);
//! let n = client.seal(0, b"move 3 4", &mut a)?;
//! let n = server.open(0, &a[..n], &mut b)?;
//! assert_eq!(&b[..n], b"move 3 4");
//! # Ok::<(), bowline_core::secure::SecureError>(())
//! ```
//!
//! # What it defends, and what not
//!
//! Who listens learns the lengths and times of records, and nothing else; nothing is padded. Each direction has
//! keys of its own, so nothing can be reflected; the numbers of records and datagrams are authenticated, so
//! nothing can be replayed or moved; the prologue is, so nobody can make two sides agree on less than they would.
//! `snow` was not audited. Private keys, pre-shared keys and the randomness of a handshake are erased when
//! dropped; the cipher of ring (feature `std`) keeps its key until its memory is used again, and copies that
//! `snow` makes on its stack are not erased.

mod datagram;
mod error;
mod handshake;
mod key;
mod primitives;
mod stream;
#[cfg(test)]
mod tests;

pub use datagram::{DATAGRAM_EPOCH, DATAGRAM_OVERHEAD, DatagramCipher};
pub use error::SecureError;
pub use handshake::{HANDSHAKE_OVERHEAD, Handshake, Keys, Pattern, Role};
pub use key::{KeyError, PublicKey, SecretKey, SharedKey};
pub use stream::{RECORD_MAX, RECORD_OVERHEAD, Rekey, StreamCipher};

/// Octets of a key, private or public.
const KEY: usize = 32;
/// Octets that the cipher adds.
const TAG: usize = 16;
