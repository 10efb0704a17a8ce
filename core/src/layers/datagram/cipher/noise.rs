//! Noise for datagram sessions: which pattern, whose keys, and what they prove.

use alloc::vec::Vec;

use super::Refused;
use crate::datagram::ConnectionId;
use crate::entropy::Entropy;
use crate::secure::{
    DATAGRAM_OVERHEAD, DatagramCipher, HANDSHAKE_OVERHEAD, Handshake, Keys, Pattern, PublicKey, Role,
    SecretKey, SharedKey,
};

/// What both sides of a handshake have to agree on beside its messages; behind it the pattern's number and the
/// client's name.
const PROLOGUE: &[u8] = b"bowline datagram 1";

/// This side's keys for datagram sessions, and those of others that it trusts.
///
/// A client that knows the server's key begins with it (IK); one that has a shared key with that (NNpsk0); any
/// other shows its key and learns the server's (XX), which whoever drives it then compares with what it knows
/// ([`Endpoint::proved`](crate::datagram::Endpoint::proved)). A server takes what it has keys for.
#[derive(Clone, Debug, Default)]
pub struct NoiseKeys {
    own: Option<SecretKey>,
    shared: Vec<SharedKey>,
    server: Option<PublicKey>,
    trusted: Option<Vec<PublicKey>>,
}

impl NoiseKeys {
    /// No keys, with which no session opens.
    #[must_use]
    pub const fn new() -> Self {
        Self { own: None, shared: Vec::new(), server: None, trusted: None }
    }

    /// With this side's key.
    #[must_use]
    pub fn own(mut self, key: SecretKey) -> Self {
        self.own = Some(key);
        self
    }

    /// With a shared key: a client uses the first, a server takes each.
    #[must_use]
    pub fn shared(mut self, key: SharedKey) -> Self {
        self.shared.push(key);
        self
    }

    /// With the key that the server must have.
    #[must_use]
    pub const fn server(mut self, key: PublicKey) -> Self {
        self.server = Some(key);
        self
    }

    /// Only with peers who have one of these keys, or a shared one.
    #[must_use]
    pub fn trusted(mut self, keys: Vec<PublicKey>) -> Self {
        self.trusted = Some(keys);
        self
    }
}

/// What a handshake has proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The peer's public key; of a shared key its [identity](SharedKey::identity).
    pub identity: [u8; 32],
    /// What both ends know of this session and nobody else does.
    pub binding: [u8; 32],
}

/// A handshake under way.
#[derive(Debug)]
pub(in super::super) struct Shake {
    noise: Handshake,
    /// What a client's first message begins with.
    head: Vec<u8>,
    /// Of a shared key: who has it.
    shared: Option<[u8; 32]>,
    trusted: Option<Vec<PublicKey>>,
    first: bool,
    client: bool,
}

fn prologue(pattern: Pattern, name: ConnectionId) -> Vec<u8> {
    [PROLOGUE, &[pattern.number()], &name.0].concat()
}

impl Shake {
    pub(super) fn client(
        keys: &NoiseKeys,
        name: ConnectionId,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Refused> {
        let (with, shared) = match (&keys.own, keys.shared.first(), keys.server) {
            (Some(own), _, Some(server)) => (Keys::Ik { own, remote: Some(server) }, None),
            (_, Some(shared), _) => (Keys::NnPsk0 { shared }, Some(shared)),
            (Some(own), None, None) => (Keys::Xx { own }, None),
            _ => return Err(Refused),
        };
        let pattern = with.pattern();
        let mut head = alloc::vec![pattern.number()];
        head.extend(shared.iter().flat_map(|key| key.hint()));
        let noise = Handshake::new(Role::Initiator, &prologue(pattern, name), &with, entropy);
        Ok(Self {
            noise: noise.map_err(|_| Refused)?,
            head,
            shared: shared.map(SharedKey::identity),
            trusted: keys.trusted.clone(),
            first: true,
            client: true,
        })
    }

    pub(super) fn server(
        keys: &NoiseKeys,
        name: ConnectionId,
        message: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Refused> {
        let (&number, rest) = message.split_first().ok_or(Refused)?;
        let pattern = Pattern::from_number(number).ok_or(Refused)?;
        let own = keys.own.as_ref().ok_or(Refused);
        let (with, shared) = match pattern {
            Pattern::Xx => (Keys::Xx { own: own? }, None),
            Pattern::Ik => (Keys::Ik { own: own?, remote: None }, None),
            Pattern::NnPsk0 => {
                let hint: [u8; SharedKey::HINT] = *rest.first_chunk().ok_or(Refused)?;
                let shared = keys.shared.iter().find(|key| key.hint() == hint).ok_or(Refused)?;
                (Keys::NnPsk0 { shared }, Some(shared))
            }
        };
        let head = message[..1 + shared.map_or(0, |_| SharedKey::HINT)].to_vec();
        let noise = Handshake::new(Role::Responder, &prologue(pattern, name), &with, entropy);
        Ok(Self {
            noise: noise.map_err(|_| Refused)?,
            head,
            shared: shared.map(SharedKey::identity),
            trusted: keys.trusted.clone(),
            first: true,
            client: false,
        })
    }

    pub(super) fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        if core::mem::replace(&mut self.first, false) && self.client {
            out.extend_from_slice(&self.head);
        }
        let start = out.len();
        out.resize(start + payload.len() + HANDSHAKE_OVERHEAD, 0);
        let written = self.noise.write(payload, &mut out[start..]);
        out.truncate(start + *written.as_ref().unwrap_or(&0));
        written.map(drop).map_err(|_| Refused)
    }

    pub(super) fn read(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        let message = if self.client || !self.first {
            message
        } else {
            message.get(self.head.len()..).ok_or(Refused)?
        };
        out.resize(message.len(), 0);
        let read = self.noise.read(message, out);
        out.truncate(*read.as_ref().unwrap_or(&0));
        if read.is_ok() {
            self.first = false;
        }
        read.map(drop).map_err(|_| Refused)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.noise.is_finished()
    }

    /// The peer's key is known only now, and has to be a trusted one.
    pub(super) fn into_cipher(self) -> Result<Noise, Refused> {
        let remote = self.noise.remote_static();
        if let (Some(trusted), Some(remote)) = (&self.trusted, &remote)
            && !trusted.contains(remote)
        {
            return Err(Refused);
        }
        let identity = remote.map(|key| *key.as_octets()).or(self.shared).ok_or(Refused)?;
        let proved = Proved { identity, binding: self.noise.hash() };
        Ok(Noise { cipher: self.noise.into_datagram().map_err(|_| Refused)?, proved })
    }
}

/// An open session's cipher.
#[derive(Debug)]
pub(in super::super) struct Noise {
    cipher: DatagramCipher,
    pub(super) proved: Proved,
}

impl Noise {
    pub(super) fn seal(
        &mut self,
        number: u64,
        head: usize,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let start = out.len();
        out.resize(start + content.len() + DATAGRAM_OVERHEAD, 0);
        let (before, to) = out.split_at_mut(start);
        self.cipher.seal_with(number, &before[head..], content, to).map(drop).map_err(|_| Refused)
    }

    pub(super) fn open(
        &mut self,
        number: u64,
        head: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        out.resize(sealed.len(), 0);
        let n = self.cipher.open_with(number, head, sealed, out).map_err(|_| Refused)?;
        out.truncate(n);
        Ok(())
    }
}
