//! The secure mode of a client: its session goes in the records of Noise, on whatever carries it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Client, ClientEvent, Reason, State};
use crate::buf::{RecvBuf, SendBuf};
use crate::lifecycle::Transport;
use crate::secure::{
    Fault, Keys, Opening, PublicKey, Records, Refusal, Rekey, SecretKey, SecureError, SharedKey, Step,
};
use crate::session::Code;
use crate::time::{Deadline, Instant, Why};

/// The secure mode of a client.
///
/// ```
/// use bowline_core::endpoint::client::{NoiseConfig, NoiseKeys, ServerTrust};
/// use bowline_core::secure::PublicKey;
/// let server: PublicKey = "bowline-public-v1 CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=".parse()?;
/// let noise = NoiseConfig::new(NoiseKeys::Static { own: None, server: ServerTrust::Keys(vec![server]) });
/// # Ok::<(), bowline_core::secure::KeyError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NoiseConfig {
    /// Whose keys.
    pub keys: NoiseKeys,
    /// When this side's records go on to the next key.
    pub rekey: Rekey,
}

impl NoiseConfig {
    /// With these keys, and the defaults of all else.
    #[must_use]
    pub fn new(keys: NoiseKeys) -> Self {
        Self { keys, rekey: Rekey::default() }
    }
}

/// What a client and its server know each other by.
#[derive(Clone, Debug)]
pub enum NoiseKeys {
    /// Keys of their own: in the pattern IK where exactly one key of the server is known, else in XX.
    Static {
        /// This client's; without one, each connection has a new one, and is nobody's.
        own: Option<SecretKey>,
        /// The server's.
        server: ServerTrust,
    },
    /// A key that both have: in the pattern NNpsk0.
    Shared(SharedKey),
}

/// Which server's key a client takes.
#[derive(Clone, Debug)]
pub enum ServerTrust {
    /// One of these.
    Keys(Vec<PublicKey>),
    /// Of each endpoint, by its place in the list, the one that is known; where none is, the first that comes,
    /// which [`ClientEvent::ServerKey`] tells. Who is in between at that time is taken for the server.
    FirstUse(Vec<Option<PublicKey>>),
}

/// Whether it is of no use to try again: the operator of one side has to do something. What came from a server
/// that has proved nothing counts only as long as no session was ever opened.
pub(super) const fn is_final(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::ServerKey(_)
            | Fault::Refused(Refusal::Version | Refusal::Pattern | Refusal::Handshake)
            | Fault::Handshake(SecureError::WeakKey | SecureError::Missing(..))
    )
}

/// The layer between the session and what carries it.
#[derive(Debug)]
pub(super) struct Noise {
    layer: Layer,
    deadline: Instant,
    /// The server broke a rule: nothing more is read.
    deaf: bool,
    binding: Option<[u8; 32]>,
}

#[derive(Debug)]
enum Layer {
    Opening(Box<Opening>),
    Open(Box<Records>),
}

impl Noise {
    /// When it wants a turn, as long as it is not open.
    pub(super) fn due(&self, now: Instant) -> Option<Deadline> {
        match &self.layer {
            Layer::Opening(opening) if opening.owes() => Some(Deadline::new(now, Why::Output)),
            Layer::Opening(_) => Some(Deadline::new(self.deadline, Why::Handshake)),
            Layer::Open(records) if records.owes() => Some(Deadline::new(now, Why::Output)),
            Layer::Open(_) => None,
        }
    }

    pub(super) fn recv(&mut self, client: &mut Client, buf: &mut impl RecvBuf) {
        if !self.deaf
            && let Err(fault) = self.read(client, buf)
        {
            self.broken(client, fault);
        }
        if self.deaf {
            buf.take(usize::MAX);
        }
    }

    fn read(&mut self, client: &mut Client, buf: &mut impl RecvBuf) -> Result<(), Fault> {
        while let Layer::Opening(opening) = &mut self.layer {
            match opening.recv(buf, None, &mut *client.entropy)? {
                Step::Wait => return Ok(()),
                Step::Judge(key) if client.trusts(&key) => opening.trust(),
                Step::Judge(key) => return Err(Fault::ServerKey(key)),
                Step::Done(opened) => {
                    self.binding = Some(opened.hash);
                    let rekey = client.config.noise.as_ref().map(|noise| noise.rekey).unwrap_or_default();
                    self.layer = Layer::Open(Box::new(Records::new(opened, rekey)));
                }
            }
        }
        let Layer::Open(records) = &mut self.layer else { return Ok(()) };
        loop {
            // What is opened already is read even where nothing more can be.
            let any = records.recv(buf);
            client.recv_frames(records.opened());
            if client.unread || !any? {
                records.rest();
                return Ok(());
            }
        }
    }

    /// The server broke a rule. A session that has begun still tells it.
    fn broken(&mut self, client: &mut Client, fault: Fault) {
        self.deaf = true;
        client.ended = Code::Malformed;
        client.disconnected(Reason::Secure(fault));
        if let Some(session) = &mut client.session {
            session.close(client.now, Code::Malformed, fault.reason());
        }
    }

    pub(super) fn poll_transmit(&mut self, client: &mut Client, out: &mut impl SendBuf) -> Transport {
        let now = client.now;
        match &mut self.layer {
            Layer::Opening(opening) if client.state == State::Attached && !client.over => {
                opening.poll_transmit(out);
                Transport::Open
            }
            Layer::Opening(_) => Transport::Drop,
            Layer::Open(records) => {
                let owed = records.seal(now, out, |sealing| client.transmit_frames(sealing));
                if records.owes() { Transport::Open } else { owed }
            }
        }
    }
}

impl Client {
    /// Lets the layer work on it; nothing where there is none.
    pub(super) fn with_noise<T>(&mut self, work: impl FnOnce(&mut Noise, &mut Self) -> T) -> Option<T> {
        let mut noise = self.noise.take()?;
        let done = work(&mut noise, self);
        self.noise = Some(noise);
        Some(done)
    }

    /// Begins the secure mode on a transport that opened just now, where it is wanted.
    pub(super) fn open_noise(&mut self, timeout: Duration) {
        let Some(config) = &self.config.noise else { return };
        let nobody; // outlives the keys
        let keys = match &config.keys {
            NoiseKeys::Shared(shared) => Keys::NnPsk0 { shared },
            NoiseKeys::Static { own, server } => {
                let own = match own {
                    Some(own) => own,
                    None => {
                        nobody = SecretKey::generate(&mut *self.entropy);
                        &nobody
                    }
                };
                match server {
                    ServerTrust::Keys(keys) if keys.len() == 1 => {
                        Keys::Ik { own, remote: keys.first().copied() }
                    }
                    _ => Keys::Xx { own },
                }
            }
        };
        match Opening::connect(&keys, &mut *self.entropy) {
            Ok(opening) => {
                let (layer, deadline) = (Layer::Opening(Box::new(opening)), self.now + timeout);
                self.noise = Some(Box::new(Noise { layer, deadline, deaf: false, binding: None }));
            }
            Err(error) => self.disconnected(Reason::Secure(Fault::Handshake(error))),
        }
    }

    /// Whether this is the server's key, by what is known or because nothing is.
    fn trusts(&mut self, key: &PublicKey) -> bool {
        let Some(config) = &mut self.config.noise else { return false };
        let NoiseKeys::Static { server, .. } = &mut config.keys else { return false };
        let known = match server {
            ServerTrust::Keys(keys) => return keys.contains(key),
            ServerTrust::FirstUse(known) => known,
        };
        if known.len() <= self.endpoint {
            known.resize(self.endpoint + 1, None);
        }
        let known = &mut known[self.endpoint];
        if known.is_none() {
            *known = Some(*key);
            self.inbox.push(ClientEvent::ServerKey { endpoint: self.endpoint, key: *key });
        }
        *known == Some(*key)
    }

    /// The handshake has taken too long.
    pub(super) fn expire_noise(&mut self) {
        let now = self.now;
        let _ = self.with_noise(|noise, client| {
            let opening = matches!(noise.layer, Layer::Opening(_)) && client.state == State::Attached;
            if opening && noise.deadline <= now {
                noise.broken(client, Fault::Timeout);
            }
        });
    }

    /// What both ends of this connection know and nobody else does, in the secure mode: the hash of its handshake.
    #[must_use]
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        self.noise.as_ref()?.binding
    }
}
