//! Tunnels, which have a machine of their own: what comes through one is read at once, and taken as
//! out of memory when the vector says so.

use bowline_core::session::{
    Fault, Kind, Outcome, Piece, ResetCode, TunnelFrame, TunnelState, Tunnels, TunnelsConfig,
};
use serde_json::json;

use super::Output;
use crate::call::Call;
use crate::pattern::hex;
use crate::vector::Vector;

pub(super) fn new(vector: &Vector) -> Tunnels {
    let mut config = TunnelsConfig::default();
    config.window = vector.config.tunnel_window.unwrap_or(config.window);
    Tunnels::new(config)
}

/// Takes in a frame, and tells what came of it.
pub(super) fn receive(
    tunnels: &mut Tunnels,
    frame: &TunnelFrame<'_>,
    output: &mut Output,
) -> Result<(), Fault> {
    tunnels.receive(frame)?;
    if let TunnelFrame::Open { id, window, target } = frame {
        output.events.push(json!({ "tunnel": { "id": id, "window": window, "target": target } }));
    }
    while let Some(id) = tunnels.poll_changed() {
        loop {
            match tunnels.read(id) {
                Piece::Octets(octets) => {
                    output.events.push(json!({ "tunnel_octets": { "id": id, "payload": hex(&octets) } }));
                    continue;
                }
                Piece::End => output.events.push(json!({ "tunnel_end": { "id": id } })),
                Piece::Nothing => {}
            }
            break;
        }
        if let Some(TunnelState::Reset(code)) = tunnels.state(id) {
            output.events.push(json!({ "tunnel_reset": { "id": id, "code": code.number() } }));
            tunnels.release(id);
        }
    }
    Ok(())
}

/// The answer to a tunnel; that it came is told as for every RESULT.
pub(super) fn answered(tunnels: &mut Tunnels, outcome: &Outcome<'_>) {
    if outcome.kind == Some(Kind::Tunnel) {
        tunnels.answered(outcome.id, outcome.status, outcome.reason);
        while tunnels.poll_changed().is_some() {}
    }
}

/// Makes a call; nothing where it is not about a tunnel.
pub(super) fn call(tunnels: &mut Tunnels, call: &Call) -> Result<bool, crate::runner::Trouble> {
    match call {
        Call::OpenTunnel { id, target } => {
            tunnels.open(*id, target);
        }
        Call::AcceptTunnel { id } => tunnels.accept(*id),
        Call::RefuseTunnel { id, status, reason } => {
            tunnels.refuse(*id, super::calls::status(status)?, reason);
        }
        Call::WriteTunnel { id, payload } => {
            tunnels.write(*id, &super::calls::octets(payload)?);
        }
        Call::EndTunnel { id } => tunnels.finish(*id),
        Call::ConsumeTunnel { id, octets } => tunnels.consumed(*id, *octets),
        Call::ResetTunnel { id, code } => tunnels.reset(*id, ResetCode::from_number(*code)),
        Call::ReleaseTunnel { id } => tunnels.release(*id),
        _ => return Ok(false),
    }
    while tunnels.poll_changed().is_some() {}
    Ok(true)
}
