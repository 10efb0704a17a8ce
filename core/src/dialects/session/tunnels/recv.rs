//! What the peer says of tunnels.

use alloc::string::String;

use super::{Finish, Tunnel, TunnelState, Tunnels};
use crate::session::event::{ResetCode, TunnelFrame};
use crate::session::fault::Fault;
use crate::session::frame::Kind;
use crate::status::Status;

impl Tunnels {
    /// Takes in a frame. Of one that asks for a tunnel it gives the id, which is to be
    /// [accepted](Self::accept) or [refused](Self::refuse).
    ///
    /// # Errors
    ///
    /// The peer broke a rule: close the session with it.
    pub fn receive(&mut self, frame: &TunnelFrame<'_>) -> Result<Option<u64>, Fault> {
        match *frame {
            TunnelFrame::Open { id, window, .. } => return self.asked(id, window).map(Some),
            TunnelFrame::Data { id, end, payload } => self.data(id, end, payload)?,
            TunnelFrame::Window { id, limit } => self.window(id, limit),
            TunnelFrame::Reset { id, code } => self.was_reset(id, code),
        }
        Ok(None)
    }

    /// How many tunnels the peer has is for who answers to see to (TUN-2).
    fn asked(&mut self, id: u64, window: u64) -> Result<u64, Fault> {
        if id <= self.last {
            let what = "the id of a tunnel is not above those before";
            return Err(Fault::Malformed { kind: Kind::Tunnel, what });
        }
        self.last = id;
        self.tunnels.insert(id, Tunnel { limit: window, ..Tunnel::new(TunnelState::Opening) });
        Ok(id)
    }

    /// TUN-5, TUN-6, TUN-8.
    fn data(&mut self, id: u64, end: bool, payload: &[u8]) -> Result<(), Fault> {
        // They may have crossed RESET, or a refusal (TUN-9).
        let wrong = |context| Err(Fault::UnexpectedFrame { kind: Kind::Data, context });
        let Some(t) = self.tunnels.get_mut(&id) else { return Ok(()) };
        match t.state {
            // Over, and not taken up yet by who reads it here.
            TunnelState::Open if t.ended && t.finish == Finish::Sent => return Ok(()),
            TunnelState::Open if t.ended => return wrong("behind the end of its direction"),
            TunnelState::Open => {}
            TunnelState::Opening => return wrong("before its tunnel is open"),
            _ => return Ok(()),
        }
        let received = t.received.saturating_add(payload.len() as u64);
        if received > t.granted {
            return Err(Fault::CreditExceeded { kind: Kind::Data });
        }
        (t.received, t.ended) = (received, end);
        let over_quota = t.received.saturating_add(t.sent) > self.config.max_octets;
        if t.released {
            t.cut |= !payload.is_empty();
            self.enqueue(id);
            self.forget_if_over(id);
        } else {
            t.rx.extend_from_slice(payload);
            self.change(id);
        }
        if over_quota {
            self.reset(id, ResetCode::Quota);
        }
        Ok(())
    }

    /// TUN-4: a limit that is not above the present one is ignored.
    fn window(&mut self, id: u64, limit: u64) {
        if let Some(t) = self.tunnels.get_mut(&id)
            && limit > t.limit
        {
            t.limit = limit;
            self.enqueue(id);
        }
    }

    fn was_reset(&mut self, id: u64, code: ResetCode) {
        self.stop(id, TunnelState::Reset(code));
    }

    /// The answer to a tunnel that this side asked for has come.
    pub fn answered(&mut self, id: u64, status: Status, reason: &str) {
        let Some(t) = self.tunnels.get_mut(&id).filter(|t| t.state == TunnelState::Opening) else { return };
        if status.is_ok() {
            t.state = TunnelState::Open;
            self.enqueue(id);
            self.change(id);
        } else {
            self.stop(id, TunnelState::Refused(status, String::from(reason)));
        }
    }

    pub(super) fn forget_if_over(&mut self, id: u64) {
        if self.tunnels.get(&id).is_some_and(|t| t.released && t.is_over()) {
            self.remove(id);
        }
    }
}

impl Tunnel {
    /// Whether both directions have ended, and nothing waits to be read.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.finish == Finish::Sent && (self.released || self.rx.is_empty())
    }
}
