//! Tunnels through the server, from the application's side.
//!
//! A tunnel's octets are not among the events: look at a tunnel that
//! [`poll_tunnel`](Client::poll_tunnel) names.

use super::{Client, ClientError};
use crate::session::{Piece, ResetCode, TARGET_MAX, TunnelFrame, TunnelState};
use crate::time::Instant;

/// Names a tunnel for the life of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(pub(super) u64);

impl TunnelId {
    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Client {
    /// Asks for a tunnel to `target`: `host:port` or `unix:/path`, as the server reads it. Without a
    /// connection it waits for the next one; when that is lost, so is the tunnel.
    ///
    /// Octets may be written at once: they go when the server has agreed. Say
    /// [`release_tunnel`](Self::release_tunnel) at the end.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`]; [`ClientError::Invalid`] for a target without or with more than 512
    /// octets or with U+0000, and where there are as many tunnels as
    /// [may be](super::ClientConfig::tunnels).
    pub fn open_tunnel(&mut self, now: Instant, target: &str) -> Result<TunnelId, ClientError> {
        self.tick(now);
        if self.over || self.ending.is_some() {
            return Err(ClientError::Closed);
        }
        if target.is_empty() || target.len() > TARGET_MAX || target.contains('\0') {
            return Err(ClientError::Invalid("a target has 1 to 512 octets, and no U+0000"));
        }
        if self.tunnels.is_full() {
            return Err(ClientError::Invalid("there are as many tunnels as may be; close some first"));
        }
        let id = self.next_tunnel;
        self.next_tunnel += 1;
        self.tunnels.open(id, target);
        self.sendable = true;
        Ok(TunnelId(id))
    }

    /// The next tunnel that there is something to look at: octets, room, an answer, an end.
    pub fn poll_tunnel(&mut self) -> Option<TunnelId> {
        while self.tunnels.poll_gone().is_some() {}
        self.tunnels.poll_changed().map(TunnelId)
    }

    /// How far a tunnel has come; nothing once it was released.
    #[must_use]
    pub fn tunnel(&self, id: TunnelId) -> Option<&TunnelState> {
        self.tunnels.state(id.0)
    }

    /// Takes what has come through a tunnel.
    pub fn read_tunnel(&mut self, id: TunnelId) -> Piece {
        self.tunnels.read(id.0)
    }

    /// So many octets that were read are out of memory: the other side may send as many more.
    pub fn tunnel_consumed(&mut self, now: Instant, id: TunnelId, n: u64) {
        self.on_tunnels(now, |client| client.tunnels.consumed(id.0, n));
    }

    /// How many octets a tunnel takes now.
    #[must_use]
    pub fn tunnel_room(&self, id: TunnelId) -> usize {
        self.tunnels.room(id.0)
    }

    /// Takes octets to be sent, as many as there is room for; says how many.
    pub fn write_tunnel(&mut self, now: Instant, id: TunnelId, octets: &[u8]) -> usize {
        self.on_tunnels(now, |client| client.tunnels.write(id.0, octets))
    }

    /// Ends this side's direction, behind what waits; the other one goes on.
    pub fn finish_tunnel(&mut self, now: Instant, id: TunnelId) {
        self.on_tunnels(now, |client| client.tunnels.finish(id.0));
    }

    /// Breaks a tunnel off: what waits in it is lost, and the other side knows that it was no end.
    pub fn reset_tunnel(&mut self, now: Instant, id: TunnelId, code: ResetCode) {
        self.on_tunnels(now, |client| client.tunnels.reset(id.0, code));
    }

    /// Nobody uses this tunnel any more. What waits to be sent is sent, and then the end.
    pub fn release_tunnel(&mut self, now: Instant, id: TunnelId) {
        self.on_tunnels(now, |client| client.tunnels.release(id.0));
        self.check_drained();
    }

    fn on_tunnels<T>(&mut self, now: Instant, work: impl FnOnce(&mut Self) -> T) -> T {
        self.tick(now);
        let done = work(self);
        self.sendable |= self.tunnels.has_output();
        done
    }

    /// The server says something of a tunnel.
    pub(super) fn on_tunnel(&mut self, frame: &TunnelFrame<'_>) {
        if let Err(fault) = self.tunnels.receive(frame) {
            return self.break_off(fault);
        }
        self.sendable |= self.tunnels.has_output();
    }
}
