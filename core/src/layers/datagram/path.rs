//! Where the peer is: an address, and whether it was proved to be there.

use core::net::SocketAddr;

use crate::time::Instant;

/// To an address that nobody has proved to be at goes at most so many times what came from there.
pub(super) const AMPLIFICATION: u64 = 3;

/// One address.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) address: SocketAddr,
    /// The peer has answered from there what only it was told.
    pub(super) validated: bool,
    received: u64,
    sent: u64,
    /// What it is to answer.
    pub(super) challenge: [u8; 8],
    pub(super) challenge_owed: bool,
    /// When it has answered, or is not there.
    pub(super) until: Option<Instant>,
}

impl Path {
    /// One that is known to be right.
    pub(super) const fn validated(address: SocketAddr) -> Self {
        Self {
            address,
            validated: true,
            received: 0,
            sent: 0,
            challenge: [0; 8],
            challenge_owed: false,
            until: None,
        }
    }

    /// One that has to answer `challenge`.
    pub(super) const fn challenged(address: SocketAddr, challenge: [u8; 8], until: Instant) -> Self {
        Self {
            validated: false,
            challenge,
            challenge_owed: true,
            until: Some(until),
            ..Self::validated(address)
        }
    }

    pub(super) const fn on_received(&mut self, octets: usize) {
        self.received = self.received.saturating_add(octets as u64);
    }

    pub(super) const fn on_sent(&mut self, octets: usize) {
        self.sent = self.sent.saturating_add(octets as u64);
    }

    /// How many octets may go there now.
    pub(super) const fn budget(&self) -> usize {
        if self.validated {
            return usize::MAX;
        }
        self.received.saturating_mul(AMPLIFICATION).saturating_sub(self.sent) as usize
    }

    /// Whether `response` is the answer.
    pub(super) fn on_response(&mut self, response: [u8; 8]) -> bool {
        let right = !self.validated && !self.challenge_owed && response == self.challenge;
        if right {
            (self.validated, self.until) = (true, None);
        }
        right
    }
}
