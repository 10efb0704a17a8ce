//! The tunnels of one connection: their windows, and what waits in them (SPEC §5.9).
//!
//! A tunnel is a stream of octets each way. Each direction has a window of its own, granted by its
//! receiver as its user takes octets, so a tunnel whose user stalls stops its own peer and nothing
//! else; memory is bounded by [twice the window](TunnelsConfig::window) for each tunnel, whatever
//! size the pieces come in.

mod recv;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use bytes::{Bytes, BytesMut};

use super::event::ResetCode;
use super::tunnel::TARGET_MAX;
use crate::status::Status;

/// The settings of all tunnels of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelsConfig {
    /// How many octets wait in a tunnel at most, each way; at least 1. Default: 256 KiB.
    pub window: u32,
    /// How many tunnels there may be. Default: 64.
    pub max: u32,
    /// How many octets one may carry, both ways together. Default: any number.
    pub max_octets: u64,
}

impl Default for TunnelsConfig {
    fn default() -> Self {
        Self { window: 256 << 10, max: 64, max_octets: u64::MAX }
    }
}

/// How far a tunnel has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelState {
    /// It was not asked for yet: there is no connection.
    Waiting,
    /// The answer has not come, or (at the side that answers) was not given.
    Opening,
    /// Octets may go both ways, until each was ended.
    Open,
    /// The answer was no.
    Refused(Status, String),
    /// The peer broke it off.
    Reset(ResetCode),
    /// The connection that carried it is gone.
    Lost,
}

/// What is read from a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Octets. Say that they were [consumed](Tunnels::consumed) once they are out of memory.
    Octets(Bytes),
    /// The peer has ended its direction, and all was read.
    End,
    /// Nothing yet, or nothing any more: see [`Tunnels::state`].
    Nothing,
}

/// How far this side's direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    No,
    /// The end follows what waits.
    Wanted,
    Sent,
}

#[derive(Debug)]
struct Tunnel {
    state: TunnelState,
    /// Where to, until that was said.
    target: Option<String>,
    /// RESULT is owed.
    answer_owed: bool,
    /// What waits to be sent; octets sent so far, and allowed by the peer.
    tx: BytesMut,
    sent: u64,
    limit: u64,
    finish: Finish,
    /// What waits to be read; octets received so far, consumed, and granted to the peer.
    rx: BytesMut,
    received: u64,
    consumed: u64,
    granted: u64,
    ended: bool,
    /// Its user is gone.
    released: bool,
    /// It is broken off once what waits is sent: nobody takes what comes.
    cut: bool,
    /// It is among those that may have something to send, and those that changed.
    queued: bool,
    changed: bool,
}

impl Tunnel {
    fn new(state: TunnelState) -> Self {
        Self {
            state,
            target: None,
            answer_owed: false,
            tx: BytesMut::new(),
            sent: 0,
            limit: 0,
            finish: Finish::No,
            rx: BytesMut::new(),
            received: 0,
            consumed: 0,
            granted: 0,
            ended: false,
            released: false,
            cut: false,
            queued: false,
            changed: false,
        }
    }

    /// Whether frames of it can still come or go.
    const fn is_live(&self) -> bool {
        matches!(self.state, TunnelState::Waiting | TunnelState::Opening | TunnelState::Open)
    }

    /// Nothing of it is of use any more.
    fn stop(&mut self, state: TunnelState) {
        self.state = state;
        (self.tx, self.rx) = (BytesMut::new(), BytesMut::new());
        (self.answer_owed, self.target) = (false, None);
    }
}

/// The tunnels of one connection, from either side.
///
/// The connection's owner gives it what comes ([`receive`](Self::receive),
/// [`answered`](Self::answered)) and has it [`transmit`](Self::transmit); the user of a tunnel is
/// named by [`poll_changed`](Self::poll_changed) when there is something to look at, and calls all
/// else.
///
/// ```
/// use bowline_core::session::{TunnelState, Tunnels, TunnelsConfig};
/// let mut tunnels = Tunnels::new(TunnelsConfig::default());
/// tunnels.open(1, "db.internal:5432");
/// assert_eq!(tunnels.state(1), Some(&TunnelState::Waiting));
/// assert_eq!(tunnels.write(1, b"hello"), 5);
/// assert!(tunnels.has_output());
/// ```
#[derive(Debug)]
pub struct Tunnels {
    config: TunnelsConfig,
    tunnels: BTreeMap<u64, Tunnel>,
    /// The highest id of the peer's so far (TUN-2).
    last: u64,
    /// Those that may have something to send, in turn.
    queue: VecDeque<u64>,
    /// Those whose users have something to look at.
    changed: VecDeque<u64>,
    /// Those that were broken off here, and the peer was not told.
    resets: VecDeque<(u64, ResetCode)>,
    /// Those that are forgotten, and what they carried.
    gone: VecDeque<(u64, (u64, u64))>,
}

impl Tunnels {
    /// None yet.
    #[must_use]
    pub fn new(mut config: TunnelsConfig) -> Self {
        config.window = config.window.max(1);
        Self {
            config,
            tunnels: BTreeMap::new(),
            last: 0,
            queue: VecDeque::new(),
            changed: VecDeque::new(),
            resets: VecDeque::new(),
            gone: VecDeque::new(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tunnels.len()
    }

    /// Whether there is none, and nothing to be said of one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tunnels.is_empty() && self.resets.is_empty()
    }

    /// Whether as many are there as may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tunnels.len() + self.resets.len() >= self.config.max as usize
    }

    /// The ids of all.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.tunnels.keys().copied()
    }

    /// How many octets wait in them, both ways.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.tunnels.values().map(|t| t.tx.len() + t.rx.len()).sum()
    }

    /// How many octets one has carried, from the peer and to it.
    #[must_use]
    pub fn traffic(&self, id: u64) -> Option<(u64, u64)> {
        self.tunnels.get(&id).map(|t| (t.received, t.sent))
    }

    /// The next one that was forgotten, and how many octets it carried, from the peer and to it.
    pub fn poll_gone(&mut self) -> Option<(u64, (u64, u64))> {
        self.gone.pop_front()
    }

    /// Asks for a tunnel, as a client: `id` is above that of every one before, the target 1 to
    /// [`TARGET_MAX`] octets. False where it is not, or there are too many.
    pub fn open(&mut self, id: u64, target: &str) -> bool {
        let fits = !target.is_empty() && target.len() <= TARGET_MAX && !target.contains('\0');
        if id <= self.last || !fits || self.is_full() {
            return false;
        }
        self.last = id;
        let tunnel = Tunnel { target: Some(target.into()), ..Tunnel::new(TunnelState::Waiting) };
        self.tunnels.insert(id, tunnel);
        self.enqueue(id);
        true
    }

    /// Agrees to a tunnel that the peer asked for.
    pub fn accept(&mut self, id: u64) {
        if let Some(t) = self.tunnels.get_mut(&id).filter(|t| t.state == TunnelState::Opening) {
            (t.state, t.answer_owed) = (TunnelState::Open, true);
            self.enqueue(id);
            self.change(id);
        }
    }

    /// Refuses a tunnel that the peer asked for. It is forgotten once that was said.
    pub fn refuse(&mut self, id: u64, status: Status, reason: &str) {
        if let Some(t) = self.tunnels.get_mut(&id).filter(|t| t.state == TunnelState::Opening) {
            t.stop(TunnelState::Refused(status, reason.into()));
            (t.answer_owed, t.released) = (true, true);
            self.enqueue(id);
        }
    }

    /// Forgets a tunnel that the peer asked for and that was refused just now, by who answers.
    pub(crate) fn forget(&mut self, id: u64) {
        self.tunnels.remove(&id);
    }

    /// How far a tunnel has come; nothing where there is none, or not any more.
    #[must_use]
    pub fn state(&self, id: u64) -> Option<&TunnelState> {
        self.tunnels.get(&id).filter(|t| !t.released).map(|t| &t.state)
    }

    /// How many octets [`write`](Self::write) takes now.
    #[must_use]
    pub fn room(&self, id: u64) -> usize {
        let window = self.config.window as usize;
        match self.tunnels.get(&id) {
            Some(t) if t.is_live() && t.finish == Finish::No => window.saturating_sub(t.tx.len()),
            _ => 0,
        }
    }

    /// Takes octets to be sent, as many as there is room for; says how many.
    pub fn write(&mut self, id: u64, octets: &[u8]) -> usize {
        let n = self.room(id).min(octets.len());
        if n > 0
            && let Some(t) = self.tunnels.get_mut(&id)
        {
            t.tx.extend_from_slice(&octets[..n]);
            self.enqueue(id);
        }
        n
    }

    /// Ends this side's direction, behind what waits.
    pub fn finish(&mut self, id: u64) {
        if let Some(t) = self.tunnels.get_mut(&id).filter(|t| t.is_live() && t.finish == Finish::No) {
            t.finish = Finish::Wanted;
            self.enqueue(id);
        }
    }

    /// Takes what has come.
    pub fn read(&mut self, id: u64) -> Piece {
        match self.tunnels.get_mut(&id) {
            Some(t) if !t.rx.is_empty() => Piece::Octets(core::mem::take(&mut t.rx).freeze()),
            Some(t) if t.ended && t.is_live() => Piece::End,
            _ => Piece::Nothing,
        }
    }

    /// So many octets that were read are out of memory: the peer may send as many more.
    pub fn consumed(&mut self, id: u64, n: u64) {
        let window = u64::from(self.config.window);
        if let Some(t) = self.tunnels.get_mut(&id) {
            t.consumed = (t.consumed + n).min(t.received);
            if t.window_due(window).is_some() {
                self.enqueue(id);
            }
        }
    }

    /// Breaks a tunnel off: what waits in it is lost.
    pub fn reset(&mut self, id: u64, code: ResetCode) {
        let Some(t) = self.remove(id) else { return };
        // What was not asked for yet needs no taking back, and what is over on both sides neither.
        let over = t.ended && t.finish == Finish::Sent;
        if t.is_live() && t.state != TunnelState::Waiting && !over {
            self.resets.push_back((id, code));
        }
    }

    /// Its user is gone. What waits to be sent is sent, and its end behind it; what comes is broken
    /// off.
    pub fn release(&mut self, id: u64) {
        let Some(t) = self.tunnels.get_mut(&id).filter(|t| !t.released) else { return };
        t.released = true;
        if !t.is_live() || t.is_over() {
            self.remove(id);
        } else if t.state != TunnelState::Open {
            self.reset(id, ResetCode::Cancelled);
        } else {
            // A peer that cannot send would never learn it.
            t.cut |= t.received > t.consumed || t.received >= t.granted;
            t.rx = BytesMut::new();
            t.finish = if t.finish == Finish::Sent { Finish::Sent } else { Finish::Wanted };
            self.enqueue(id);
        }
    }

    /// The next one whose user has something to look at: octets, room, an answer, an end.
    pub fn poll_changed(&mut self) -> Option<u64> {
        loop {
            let id = self.changed.pop_front()?;
            match self.tunnels.get_mut(&id) {
                Some(t) if !t.released => {
                    t.changed = false;
                    return Some(id);
                }
                // It was forgotten since.
                _ => {}
            }
        }
    }

    /// The connection is gone. Those that were asked for are lost; the others wait for the next one.
    pub fn disconnected(&mut self) {
        self.resets.clear();
        let lost: alloc::vec::Vec<_> =
            self.tunnels.iter().filter(|(_, t)| t.state != TunnelState::Waiting).map(|(id, _)| *id).collect();
        for id in lost {
            self.stop(id, TunnelState::Lost);
        }
        self.queue.clear();
        for (id, t) in &mut self.tunnels {
            t.queued = t.state == TunnelState::Waiting;
            if t.queued {
                self.queue.push_back(*id);
            }
        }
    }

    /// There will be no other connection: those that wait for one are lost as well.
    pub(crate) fn close(&mut self) {
        self.disconnected();
        for id in self.ids().collect::<alloc::vec::Vec<_>>() {
            self.stop(id, TunnelState::Lost);
        }
        self.queue.clear();
    }

    /// Whether there is one that was asked for, and has not ended.
    pub(crate) fn any_asked(&self) -> bool {
        self.tunnels.values().any(|t| t.is_live() && t.state != TunnelState::Waiting)
    }

    /// Ends what there is of a live tunnel, and has its user look.
    fn stop(&mut self, id: u64, state: TunnelState) {
        let Some(t) = self.tunnels.get_mut(&id).filter(|t| t.is_live()) else { return };
        t.stop(state);
        if t.released {
            self.remove(id);
        } else {
            self.change(id);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Tunnel> {
        let t = self.tunnels.remove(&id)?;
        self.gone.push_back((id, (t.received, t.sent)));
        Some(t)
    }

    fn enqueue(&mut self, id: u64) {
        if let Some(t) = self.tunnels.get_mut(&id)
            && !core::mem::replace(&mut t.queued, true)
        {
            self.queue.push_back(id);
        }
    }

    fn change(&mut self, id: u64) {
        if let Some(t) = self.tunnels.get_mut(&id)
            && !t.released
            && !core::mem::replace(&mut t.changed, true)
        {
            self.changed.push_back(id);
        }
    }
}
