//! What is to be said of tunnels.

use super::{Finish, Tunnel, TunnelState, Tunnels};
use crate::buf::SendBuf;
use crate::session::event::{Outcome, ResetCode};
use crate::session::frame::Kind;
use crate::session::{SendError, Session};
use crate::status::Status;
use crate::time::Instant;

/// No frame carries more, so that others get their turn between (TUN-7).
const CHUNK: usize = 16 << 10;

/// Head, size and id of a DATA frame at most.
const OVERHEAD: usize = 1 + 4 + 9;

/// With less room than this for octets it waits for more, rather than send many small frames.
const LEAST: usize = 512;

/// How one turn of a tunnel went.
enum Went {
    /// There may be more of it.
    More,
    /// It has nothing to send now.
    Idle,
}

impl Tunnels {
    /// Whether there may be something to [`transmit`](Self::transmit).
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.queue.is_empty() || !self.resets.is_empty()
    }

    /// Sends what can be sent as far as there is room, each tunnel in turn. True where room is
    /// missing: call it again when there is some.
    pub fn transmit(&mut self, now: Instant, session: &mut Session, out: &mut impl SendBuf) -> bool {
        if !session.is_open() {
            return false;
        }
        loop {
            // A turn may break its tunnel off.
            while let Some((id, code)) = self.resets.front().copied() {
                match session.reset_tunnel(now, out, id, code) {
                    Err(SendError::Blocked(_)) => return true,
                    _ => self.resets.pop_front(),
                };
            }
            let Some(id) = self.queue.front().copied() else { return false };
            match self.take_turn(now, session, out, id) {
                Ok(Went::More) => self.queue.rotate_left(1),
                Ok(Went::Idle) => self.dequeue(id),
                Err(SendError::Blocked(_)) => return true,
                Err(_) => self.dequeue(id),
            }
        }
    }

    fn dequeue(&mut self, id: u64) {
        self.queue.pop_front();
        if let Some(t) = self.tunnels.get_mut(&id) {
            t.queued = false;
        }
        self.forget_if_over(id);
    }

    /// One frame of octets at most, and what else is owed.
    fn take_turn(
        &mut self,
        now: Instant,
        session: &mut Session,
        out: &mut impl SendBuf,
        id: u64,
    ) -> Result<Went, SendError> {
        let window = u64::from(self.config.window);
        let Some(t) = self.tunnels.get_mut(&id) else { return Ok(Went::Idle) };
        if t.state == TunnelState::Waiting {
            return self.ask(now, session, out, id).map(|()| Went::Idle);
        }
        if t.answer_owed {
            let (status, reason) = match &t.state {
                TunnelState::Refused(status, reason) => (*status, reason.as_str()),
                _ => (Status::Ok, ""),
            };
            session.result(now, out, &Outcome { kind: Some(Kind::Tunnel), id, status, reason })?;
            t.answer_owed = false;
            if !status.is_ok() {
                self.remove(id);
                return Ok(Went::Idle);
            }
        }
        if let Some(limit) = t.window_due(window) {
            session.tunnel_window(now, out, id, limit)?;
            t.granted = limit;
        }
        if t.state != TunnelState::Open {
            return Ok(Went::Idle);
        }
        let before = t.sent;
        let more = t.send(now, session, out, id)?;
        let (sent, carried) = (t.sent > before, t.received.saturating_add(t.sent));
        if carried > self.config.max_octets {
            self.reset(id, ResetCode::Quota);
        } else if t.cut && t.finish == Finish::Sent && !t.ended {
            self.reset(id, ResetCode::Cancelled);
        } else if sent {
            self.change(id);
        }
        Ok(if more { Went::More } else { Went::Idle })
    }

    fn ask(
        &mut self,
        now: Instant,
        session: &mut Session,
        out: &mut impl SendBuf,
        id: u64,
    ) -> Result<(), SendError> {
        let window = u64::from(self.config.window);
        let Some(t) = self.tunnels.get_mut(&id) else { return Ok(()) };
        let target = t.target.as_deref().unwrap_or_default();
        match session.open_tunnel(now, out, id, window, target) {
            Ok(()) => {
                (t.state, t.granted, t.target) = (TunnelState::Opening, window, None);
                Ok(())
            }
            // The next connection is asked.
            Err(e @ (SendError::Blocked(_) | SendError::Draining | SendError::State)) => Err(e),
            Err(SendError::Unsupported) => {
                self.stop(id, TunnelState::Refused(Status::Unsupported, "the server relays nothing".into()));
                Ok(())
            }
            Err(e) => {
                self.stop(id, TunnelState::Refused(Status::Invalid, alloc::format!("{e}")));
                Ok(())
            }
        }
    }
}

impl Tunnel {
    /// The limit to be granted, once half of the window is used; not to a peer that has ended.
    pub(super) fn window_due(&self, window: u64) -> Option<u64> {
        let limit = self.consumed.saturating_add(window);
        let due = self.state == TunnelState::Open && !self.ended && !self.released;
        (due && limit - self.granted.min(limit) > window / 2).then_some(limit)
    }

    /// Sends one frame of octets, with the end where it is the last. Says whether there is more that
    /// may go.
    fn send(
        &mut self,
        now: Instant,
        session: &mut Session,
        out: &mut impl SendBuf,
        id: u64,
    ) -> Result<bool, SendError> {
        let allowed = usize::try_from(self.limit - self.sent).unwrap_or(usize::MAX);
        let largest = (session.max_send_frame() as usize).saturating_sub(OVERHEAD).min(CHUNK);
        let wanted = self.tx.len().min(allowed).min(largest);
        let room = out.room().saturating_sub(OVERHEAD);
        if room < wanted.min(LEAST) {
            return Err(SendError::Blocked(crate::error::Blocked));
        }
        let n = wanted.min(room);
        let end = self.finish == Finish::Wanted && n == self.tx.len();
        if n == 0 && !end {
            return Ok(false);
        }
        let octets = self.tx.split_to(n).freeze();
        if let Err(e) = session.tunnel_data_shared(now, out, id, &octets, end) {
            // They stay first in line.
            let rest = core::mem::take(&mut self.tx);
            self.tx.extend_from_slice(&octets);
            self.tx.extend_from_slice(&rest);
            return Err(e);
        }
        self.sent += n as u64;
        if end {
            self.finish = Finish::Sent;
        }
        if self.tx.is_empty() {
            self.tx = bytes::BytesMut::new();
        }
        Ok(!self.tx.is_empty() && self.sent < self.limit)
    }
}
