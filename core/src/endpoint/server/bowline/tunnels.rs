//! The tunnels of a connection.

use alloc::boxed::Box;

use super::super::connection::Turn;
use super::Connection;
use crate::buf::SendBuf;
use crate::session::{Kind, TunnelFrame, Tunnels, TunnelsConfig};

impl Connection {
    pub(in super::super) fn tunnels(&mut self) -> Option<&mut Tunnels> {
        self.later.as_mut()?.tunnels.as_deref_mut()
    }

    pub(super) fn has_tunnels(&self) -> bool {
        let tunnels = self.later.as_ref().and_then(|later| later.tunnels.as_ref());
        tunnels.is_some_and(|tunnels| !tunnels.is_empty())
    }

    /// The peer says something of a tunnel.
    pub(super) fn tunnel(&mut self, turn: &mut Turn<'_>, frame: &TunnelFrame<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        // How many there may be is decided for the whole server.
        let config = TunnelsConfig { max: u32::MAX, ..turn.server.config.relay.session };
        let later = self.later.get_or_insert_default();
        let tunnels = later.tunnels.get_or_insert_with(|| Box::new(Tunnels::new(config)));
        let id = match tunnels.receive(frame) {
            Err(fault) => return self.break_off(turn, fault),
            Ok(None) => return,
            Ok(Some(id)) => id,
        };
        let TunnelFrame::Open { target, .. } = *frame else { return };
        if let Err((status, reason)) = turn.server.ask_tunnel(turn.now, turn.key, hub, id, target) {
            tunnels.forget(id);
            self.result(turn, out, Kind::Tunnel, id, status, &reason);
        }
    }

    /// Has the server look at what changed.
    pub(super) fn look_at_tunnels(&mut self, turn: &mut Turn<'_>) {
        if let Some(tunnels) = self.later.as_mut().and_then(|later| later.tunnels.as_deref_mut()) {
            turn.server.tunnels_changed(turn.now, turn.key, tunnels);
        }
    }

    pub(super) fn transmit_tunnels(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        let Some(later) = self.later.as_mut() else { return };
        let Some(tunnels) = later.tunnels.as_deref_mut() else { return };
        later.tunnels_waited = tunnels.transmit(turn.now, &mut self.session, out);
        self.look_at_tunnels(turn);
    }

    /// Tunnels end with what carries them (TUN-11).
    pub(super) fn end_tunnels(&mut self, turn: &mut Turn<'_>) {
        if let Some(tunnels) = self.later.as_mut().and_then(|later| later.tunnels.take()) {
            turn.server.tunnels_ended(turn.now, turn.key, &tunnels);
        }
    }
}
