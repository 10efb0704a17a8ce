//! The opening of a stream: which version and pattern, then the messages of the handshake (SEC-1 to SEC-8).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::records::put_owed;
use super::stream::LENGTH;
use super::{
    Fault, HANDSHAKE_OVERHEAD, Handshake, Keys, Pattern, PublicKey, Refusal, Role, SecretKey, SecureError,
    SharedKey, StreamCipher,
};
use crate::buf::{RecvBuf, SendBuf};
use crate::entropy::Entropy;

/// The first octets of a client that speaks in the secure mode (SEC-1).
pub const PREFACE: [u8; 4] = [0xb0, 0x57, 0x4c, 0x4e];

/// The version of the secure mode: the suite 25519, ChaChaPoly, SHA256 of Noise, revision 34.
pub const VERSION: u8 = 1;

/// What the prologue begins with; the opening follows (SEC-3).
const LABEL: &[u8] = b"bowline secure stream";

/// Octets of an opening without a hint: preface, version, pattern.
const OPENING: usize = PREFACE.len() + 2;

/// The keys of a server for those who come.
#[derive(Clone, Debug, Default)]
pub struct ServerKeys {
    /// Its static key, for XX and IK.
    pub own: Option<SecretKey>,
    /// What it shares with others, by their hints, for NNpsk0.
    shared: BTreeMap<[u8; SharedKey::HINT], SharedKey>,
}

impl ServerKeys {
    /// Adds a key that is shared with clients.
    pub fn add_shared(&mut self, key: SharedKey) {
        self.shared.insert(key.hint(), key);
    }

    /// Whether no pattern can be offered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_none() && self.shared.is_empty()
    }

    fn keys(&self, pattern: Pattern, hint: &[u8]) -> Result<Keys<'_>, Fault> {
        let missing = Fault::Pattern(pattern.number());
        match pattern {
            Pattern::Xx => self.own.as_ref().map(|own| Keys::Xx { own }).ok_or(missing),
            Pattern::Ik => self.own.as_ref().map(|own| Keys::Ik { own, remote: None }).ok_or(missing),
            Pattern::NnPsk0 if self.shared.is_empty() => Err(missing),
            Pattern::NnPsk0 => {
                let shared =
                    hint.try_into().ok().and_then(|hint: [u8; SharedKey::HINT]| self.shared.get(&hint));
                shared.map(|shared| Keys::NnPsk0 { shared }).ok_or(Fault::UnknownSharedKey)
            }
        }
    }
}

/// What an opening ended with.
#[derive(Debug)]
pub struct Opened {
    /// What follows goes in records.
    pub cipher: StreamCipher,
    /// The pattern.
    pub pattern: Pattern,
    /// The other side's static key, where the pattern has one.
    pub remote: Option<PublicKey>,
    /// The identity of the shared key, where that is what it was.
    pub shared: Option<[u8; 32]>,
    /// The hash of the handshake: the same on both sides and on no other connection.
    pub hash: [u8; 32],
    /// The last message, where it is this side's and has not been sent.
    pub(super) owed: Vec<u8>,
}

/// How far an opening is.
#[derive(Debug)]
pub enum Step {
    /// More octets have to come, or to go out.
    Wait,
    /// Of a client in XX: whether this is the server's key is to be [decided](Opening::trust).
    Judge(PublicKey),
    /// It has ended well; what is owed yet goes with it.
    Done(Opened),
}

/// One side of the opening of a stream.
pub struct Opening {
    role: Role,
    /// Nothing before the server knows the pattern.
    handshake: Option<Handshake>,
    shared: Option<[u8; 32]>,
    /// What is to be sent.
    owed: Vec<u8>,
    /// The client has not decided about the server's key yet.
    judges: bool,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("role", &self.role)
            .field("handshake", &self.handshake)
            .finish_non_exhaustive()
    }
}

impl Opening {
    /// A client's, with these keys: its first octets are owed.
    ///
    /// # Errors
    ///
    /// A key is missing, or the server's is of low order.
    pub fn connect<E: Entropy + ?Sized>(keys: &Keys<'_>, entropy: &mut E) -> Result<Self, SecureError> {
        let pattern = keys.pattern();
        let mut owed = Vec::with_capacity(OPENING + SharedKey::HINT + LENGTH + HANDSHAKE_OVERHEAD);
        owed.extend_from_slice(&PREFACE);
        owed.extend_from_slice(&[VERSION, pattern.number()]);
        let mut shared = None;
        if let Keys::NnPsk0 { shared: key } = keys {
            owed.extend_from_slice(&key.hint());
            shared = Some(key.identity());
        }
        let handshake = Handshake::new(Role::Initiator, &prologue(&owed), keys, entropy)?;
        let judges = pattern == Pattern::Xx;
        let mut opening = Self { role: Role::Initiator, handshake: Some(handshake), shared, owed, judges };
        opening.write()?;
        Ok(opening)
    }

    /// A server's, of a client that begins with the [preface](PREFACE).
    #[must_use]
    pub const fn accept() -> Self {
        Self { role: Role::Responder, handshake: None, shared: None, owed: Vec::new(), judges: false }
    }

    /// Whether something is to be sent.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Puts what is owed, if there is room for it.
    pub fn poll_transmit(&mut self, out: &mut impl SendBuf) {
        put_owed(&mut self.owed, out);
    }

    /// A server refuses what its client began: that is what is owed now.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.handshake = None;
        self.owed.extend_from_slice(&[0, 0, refusal.number()]);
    }

    /// The next message.
    fn write(&mut self) -> Result<(), SecureError> {
        let Some(handshake) = &mut self.handshake else { return Ok(()) };
        let mut message = [0; HANDSHAKE_OVERHEAD];
        let n = handshake.write(&[], &mut message)?;
        self.owed.extend_from_slice(&(n as u16).to_be_bytes());
        self.owed.extend_from_slice(&message[..n]);
        Ok(())
    }

    /// Consumes what has come of the handshake. `keys` and `entropy` are the server's; a client has given its
    /// own.
    ///
    /// # Errors
    ///
    /// The handshake has failed.
    pub fn recv<E: Entropy + ?Sized>(
        &mut self,
        buf: &mut impl RecvBuf,
        keys: Option<&ServerKeys>,
        entropy: &mut E,
    ) -> Result<Step, Fault> {
        if self.handshake.is_none() {
            let Some(keys) = keys else { return Ok(Step::Wait) };
            if !self.begin(buf, keys, entropy)? {
                return Ok(Step::Wait);
            }
        }
        loop {
            let Some(handshake) = &mut self.handshake else { return Ok(Step::Wait) };
            if handshake.is_finished() {
                return self.done();
            }
            if handshake.is_my_turn() {
                match handshake.remote_static() {
                    Some(key) if self.judges => return Ok(Step::Judge(key)),
                    _ => self.write().map_err(Fault::Handshake)?,
                }
            } else if !self.read(buf)? {
                return Ok(Step::Wait);
            }
        }
    }

    /// The server's key is the one that is wanted: the client goes on, and shows its own.
    pub const fn trust(&mut self) {
        self.judges = false;
    }

    /// Reads preface, version, pattern and hint; false: they have not all come.
    fn begin<E: Entropy + ?Sized>(
        &mut self,
        buf: &mut impl RecvBuf,
        keys: &ServerKeys,
        entropy: &mut E,
    ) -> Result<bool, Fault> {
        let filled = buf.filled();
        match filled.get(PREFACE.len()) {
            Some(&VERSION) | None => {}
            Some(&other) => return Err(Fault::Version(other)),
        }
        let Some(&number) = filled.get(OPENING - 1) else { return Ok(false) };
        let pattern = Pattern::from_number(number).ok_or(Fault::Pattern(number))?;
        let length = OPENING + if pattern == Pattern::NnPsk0 { SharedKey::HINT } else { 0 };
        let Some(opening) = filled.get(..length) else { return Ok(false) };
        let keys = keys.keys(pattern, &opening[OPENING..])?;
        if let Keys::NnPsk0 { shared } = keys {
            self.shared = Some(shared.identity());
        }
        let handshake = Handshake::new(Role::Responder, &prologue(opening), &keys, entropy);
        self.handshake = Some(handshake.map_err(Fault::Handshake)?);
        buf.take(length);
        Ok(true)
    }

    /// Reads the next message; false: it has not all come.
    fn read(&mut self, buf: &mut impl RecvBuf) -> Result<bool, Fault> {
        let Some(handshake) = &mut self.handshake else { return Ok(false) };
        let Some((length, rest)) = buf.filled().split_first_chunk::<LENGTH>() else { return Ok(false) };
        let (length, wanted) = (usize::from(u16::from_be_bytes(*length)), handshake.next_message());
        let wanted = wanted.unwrap_or_default();
        if length == 0 && self.role == Role::Initiator {
            return match rest.first() {
                Some(&number) => Err(Fault::Refused(Refusal::from_number(number))),
                None => Ok(false),
            };
        }
        if length != wanted {
            let pattern = handshake.pattern();
            let number = handshake.next_number();
            return Err(Fault::MessageLength { pattern, number, length, wanted });
        }
        let Some(message) = rest.get(..length) else { return Ok(false) };
        handshake.read(message, &mut [0; HANDSHAKE_OVERHEAD]).map_err(Fault::Handshake)?;
        buf.take(LENGTH + length);
        Ok(true)
    }

    fn done(&mut self) -> Result<Step, Fault> {
        let Some(handshake) = self.handshake.take() else { return Ok(Step::Wait) };
        let (pattern, remote, hash) = (handshake.pattern(), handshake.remote_static(), handshake.hash());
        let cipher = handshake.into_stream().map_err(Fault::Handshake)?;
        let owed = core::mem::take(&mut self.owed);
        Ok(Step::Done(Opened { cipher, pattern, remote, shared: self.shared, hash, owed }))
    }
}

fn prologue(opening: &[u8]) -> Vec<u8> {
    [LABEL, opening].concat()
}
