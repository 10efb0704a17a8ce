//! Our own protocol in its secure mode: a session in the records of Noise.
//!
//! The session knows nothing of it: it reads what was opened, and what it puts is sealed. Until the handshake
//! has ended it waits for its first octet, and its deadline is the handshake's.

use alloc::boxed::Box;
use core::time::Duration;

use super::auth::{Verification, Verified};
use super::connection::Turn;
use super::secured::{Identity, Secured, Security};
use super::{ServerConfig, bowline};
use crate::buf::{RecvBuf, SendBuf};
use crate::lifecycle::Transport;
use crate::secure::{Fault, Opened, Opening, PREFACE, Records, Rekey, ServerKeys, Step};
use crate::session::{Code, Tunnels};
use crate::time::{Deadline, Instant};

/// Who may speak our own protocol in its secure mode, and who has to.
///
/// ```
/// use bowline_core::endpoint::server::NoiseConfig;
/// use bowline_core::{entropy::Seeded, secure::SecretKey};
/// let mut noise = NoiseConfig::default();
/// assert!(noise.keys.is_empty() && noise.plain, "nothing is offered, and plain is what is spoken");
/// noise.keys.own = Some(SecretKey::generate(&mut Seeded::new(1))); // never in earnest: it can be guessed
/// noise.plain = false;
/// ```
#[derive(Clone, Debug)]
pub struct NoiseConfig {
    /// This server's keys; without any, the secure mode is not offered. Which clients' keys are whose is said
    /// by [`Users`](super::Users::add_noise_key).
    pub keys: ServerKeys,
    /// Whether our own protocol is also spoken in clear, where TLS does not secure the connection either.
    /// Default: yes.
    pub plain: bool,
    /// Whether keys that are no user's are let in, to say who they are by other means or to be nobody, as far as
    /// that is allowed. Default: yes.
    pub strangers: bool,
    /// When this side's records go on to the next key.
    pub rekey: Rekey,
}

impl Default for NoiseConfig {
    fn default() -> Self {
        Self { keys: ServerKeys::default(), plain: true, strangers: true, rekey: Rekey::default() }
    }
}

/// What the first octets of our own protocol ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// More have to come.
    Unknown,
    Plain,
    Secure,
}

impl Mode {
    pub(super) fn of(octets: &[u8], config: &ServerConfig) -> Self {
        if config.noise.keys.is_empty() {
            Self::Plain
        } else if octets.starts_with(&PREFACE) {
            Self::Secure
        } else if !octets.is_empty() && octets.len() < PREFACE.len() && PREFACE.starts_with(octets) {
            Self::Unknown
        } else {
            Self::Plain
        }
    }
}

/// One connection in the secure mode.
#[derive(Debug)]
pub(super) struct Noise {
    layer: Layer,
    inner: Box<bowline::Connection>,
    /// The peer broke a rule of the layer: nothing more is read.
    deaf: bool,
    /// The session leaves octets unread.
    blocked: bool,
    /// The stream has ended: the session is told once it has read what came before.
    eof: bool,
}

#[derive(Debug)]
enum Layer {
    Opening(Box<Opening>),
    Open(Box<Open>),
}

#[derive(Debug)]
struct Open {
    records: Records,
    /// What the handshake proves, until the first record shows that it was no replayed one (SEC-8).
    proof: Option<Box<Secured>>,
}

/// Where a session says what nobody is to hear.
struct Nowhere;

impl SendBuf for Nowhere {
    fn room(&self) -> usize {
        usize::MAX >> 1
    }

    fn put(&mut self, _: &[u8]) {}
}

impl Noise {
    /// A connection whose client began with the preface of the secure mode.
    pub(super) fn new(inner: Box<bowline::Connection>) -> Self {
        let layer = Layer::Opening(Box::new(Opening::accept()));
        Self { layer, inner, deaf: false, blocked: false, eof: false }
    }

    pub(super) const fn inner(&self) -> &bowline::Connection {
        &self.inner
    }

    /// Its tunnels, if it has any.
    pub(super) fn tunnels(&mut self) -> Option<&mut Tunnels> {
        self.inner.tunnels()
    }

    pub(super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        self.open(turn, buf, out);
        if self.deaf {
            buf.take(usize::MAX);
            return false;
        }
        self.blocked = self.read(turn, buf, out);
        if !self.blocked {
            self.end_stream(turn);
        }
        self.blocked
    }

    /// Goes on with the handshake, as long as there is one.
    fn open(&mut self, turn: &mut Turn<'_>, buf: &mut impl RecvBuf, out: &mut impl SendBuf) {
        let Layer::Opening(opening) = &mut self.layer else { return };
        if self.deaf {
            return;
        }
        let server = &mut *turn.server;
        let stepped = opening.recv(buf, Some(&server.config.noise.keys), &mut *server.entropy);
        if let Err(fault) = &stepped {
            opening.refuse(fault.refusal());
            opening.poll_transmit(out);
        }
        match stepped {
            Ok(Step::Done(opened)) => {
                self.layer = Layer::Open(Box::new(Open::new(opened, turn.server.config.noise.rekey)));
            }
            Ok(_) => opening.poll_transmit(out),
            Err(fault) => self.broken(turn, fault),
        }
    }

    /// Opens what is whole and lets the session read it, by turns. Says whether that left something.
    fn read(&mut self, turn: &mut Turn<'_>, buf: &mut impl RecvBuf, out: &mut impl SendBuf) -> bool {
        loop {
            let Layer::Open(open) = &mut self.layer else { return false };
            let any = match open.records.recv(buf) {
                Ok(any) => any,
                Err(fault) => {
                    self.broken(turn, fault);
                    buf.take(usize::MAX);
                    false
                }
            };
            if any {
                self.prove(turn);
            }
            let Layer::Open(open) = &mut self.layer else { return false };
            let inner = &mut self.inner;
            if open.records.carry(turn.now, out, |opened, sealing| inner.recv(turn, opened, sealing)) {
                return true;
            }
            if !any {
                open.records.rest();
                return false;
            }
        }
    }

    /// The first record was opened: the peer is who the handshake says, here and now.
    fn prove(&mut self, turn: &mut Turn<'_>) {
        let Layer::Open(open) = &mut self.layer else { return };
        let Some(proof) = open.proof.take() else { return };
        self.inner.peer.secured = Some(proof.by);
        let config = &turn.server.config;
        let known = proof.identity.as_ref().is_some_and(|identity| config.users.identify(identity).is_some());
        let refused = !known && !config.noise.strangers;
        turn.server.secured.insert(turn.key, proof);
        if refused {
            self.inner.end(turn, Code::NotAuthorized, "your key is not known here");
        }
    }

    /// The peer broke a rule of the layer. Who has keys already is told, by the session.
    fn broken(&mut self, turn: &mut Turn<'_>, fault: Fault) {
        self.deaf = true;
        self.inner.end(turn, Code::Malformed, fault.reason());
    }

    /// Tells the session that nothing more comes, where that is so.
    fn end_stream(&mut self, turn: &mut Turn<'_>) {
        if core::mem::take(&mut self.eof) {
            self.inner.handle_eof(turn);
        }
    }

    pub(super) fn poll_transmit(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) -> Transport {
        let inner = &mut self.inner;
        match &mut self.layer {
            Layer::Open(open) => {
                open.records.seal(turn.now, out, |sealing| inner.poll_transmit(turn, sealing))
            }
            Layer::Opening(opening) => {
                opening.poll_transmit(out);
                let owed = inner.poll_transmit(turn, &mut Nowhere);
                if opening.owes() { Transport::Open } else { owed }
            }
        }
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        let inner = &mut self.inner;
        let Layer::Open(open) = &mut self.layer else { return };
        // What the client said meanwhile was opened, and is nowhere else (STT-1).
        self.blocked = open.records.carry(turn.now, out, |opened, sealing| {
            inner.verified(turn, verified, sealing);
            inner.recv(turn, opened, sealing)
        });
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        self.inner.poll_verification()
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.eof = true;
        if !self.blocked {
            self.end_stream(turn);
        }
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.inner.handle_written(now, written, waiting);
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        self.inner.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        self.inner.handle_timeout(turn);
    }

    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        self.inner.disconnected(turn);
    }

    pub(super) fn end(&mut self, turn: &mut Turn<'_>, code: Code, reason: &'static str) {
        self.inner.end(turn, code, reason);
    }

    pub(super) fn hold(&mut self, hold: bool) {
        self.inner.hold(hold);
    }

    pub(super) fn overflowed(&mut self) {
        self.inner.overflowed();
    }

    pub(super) fn committed(&mut self) {
        self.inner.committed();
    }

    pub(super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        self.inner.taken_over(turn);
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.inner.round_trip()
    }
}

impl Open {
    fn new(opened: Opened, rekey: Rekey) -> Self {
        let mut proof = Box::new(Secured::new(Security::Noise));
        let identity = opened.remote.map(|key| *key.as_octets()).or(opened.shared);
        proof.identity = identity.map(Identity::Key);
        proof.binding = Some(opened.hash);
        Self { records: Records::new(opened, rekey), proof: Some(proof) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_in_records_is_small() {
        let own = size_of::<Noise>() + size_of::<Open>();
        assert!(own <= 224, "{own}");
    }
}
