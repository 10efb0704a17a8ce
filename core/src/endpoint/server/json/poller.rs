//! A client without a WebSocket: what waits for its next request (JSON.md §6).
//!
//! It stands among the connections, since the rest of the server treats it as one: it serves a session,
//! is taken over, counts for its address. It has no transport, though; nobody outside sees it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;

use super::super::auth::{Verification, Verified};
use super::super::connection::{Connection, Turn};
use super::super::inspect::{BY_ADMINISTRATOR, Carrier};
use super::super::{ConnectionKey, Peer, Server};
use super::sink::Sink;
use super::talk::Talk;
use crate::buf::{RecvBuf, SendBuf};
use crate::hub::SessionKey;
use crate::json::ErrorCode;
use crate::json::server::About;
use crate::lifecycle::Transport;
use crate::session::Code;
use crate::time::{Deadline, Instant, Why};
use crate::websocket::{Frame, Kind};

/// Messages that wait for a client at most; what has no place waits in the hub.
const MAX_MESSAGES: usize = 256;

/// Octets of them, at most one message above.
const MAX_OCTETS: usize = 4 << 20;

/// One client that polls.
#[derive(Debug)]
pub(in super::super) struct Poller {
    pub(super) talk: Talk,
    pub(super) mail: Mail,
    /// The connection of the request that waits, if one does.
    pub(super) waiter: Option<ConnectionKey>,
    /// When it was asked for last.
    pub(super) touched: Instant,
}

/// What waits for a client, numbered from 1 on: the cursor.
#[derive(Debug, Default)]
pub(super) struct Mail {
    queue: VecDeque<Frame>,
    octets: usize,
    /// How many there were before the first that is here.
    gone: u64,
    /// Up to where the client was handed what was here.
    pub(super) handed: u64,
    /// What was handed out goes when there is no room: it is under way in a stream.
    pub(super) streams: bool,
}

impl Mail {
    /// The client has all up to this one.
    pub(super) fn taken(&mut self, cursor: u64) {
        while self.gone < cursor.min(self.handed) {
            self.drop_first();
        }
        if self.queue.is_empty() && self.queue.capacity() > 16 {
            self.queue = VecDeque::new();
        }
    }

    fn drop_first(&mut self) {
        if let Some(frame) = self.queue.pop_front() {
            self.octets -= frame.size();
            self.gone += 1;
        }
    }

    /// What comes behind a cursor, with its own.
    pub(super) fn after(&self, cursor: u64) -> impl Iterator<Item = (u64, &Frame)> {
        let skip = usize::try_from(cursor.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        (self.gone + 1..).zip(&self.queue).skip(skip)
    }

    /// The cursor of the last one.
    pub(super) fn last(&self) -> u64 {
        self.gone + self.queue.len() as u64
    }

    pub(super) fn has_after(&self, cursor: u64) -> bool {
        self.last() > cursor
    }

    /// Makes room, where there is none: says whether there is.
    fn has_room(&mut self) -> bool {
        let is_full = |mail: &Self| mail.queue.len() >= MAX_MESSAGES || mail.octets >= MAX_OCTETS;
        while is_full(self) && self.streams && self.gone < self.handed {
            self.drop_first();
        }
        !is_full(self)
    }

    fn push(&mut self, frame: Frame) -> bool {
        if !self.has_room() {
            return false;
        }
        self.octets += frame.size();
        self.queue.push_back(frame);
        true
    }
}

impl Sink for Mail {
    fn put_text(&mut self, _now: Instant, text: &str) -> bool {
        self.has_room() && self.push(Frame::new(Kind::Text, text.as_bytes()))
    }

    fn put_frame(&mut self, _now: Instant, frame: &Frame) -> bool {
        self.push(frame.clone())
    }
}

impl Poller {
    pub(super) fn new(now: Instant, peer: Peer) -> Self {
        Self { talk: Talk::new(peer, None), mail: Mail::default(), waiter: None, touched: now }
    }

    pub(in super::super) const fn peer(&self) -> &Peer {
        &self.talk.peer
    }

    /// Takes what the hub has for it. Says whether it is over.
    pub(super) fn collect(&mut self, turn: &mut Turn<'_>) -> bool {
        let Self { talk, mail, .. } = self;
        if core::mem::take(&mut talk.slow) {
            talk.finish(Code::SlowConsumer, "you take less than you are sent", false);
        }
        talk.flush(turn, mail);
        talk.deliver(turn, mail);
        talk.finish_drained(turn, mail);
        let is_read = self.waiter.is_none() || !self.mail.has_after(self.mail.handed);
        self.talk.end.is_some() && is_read
    }

    pub(in super::super) const fn recv(
        &mut self,
        _turn: &mut Turn<'_>,
        _buf: &mut impl RecvBuf,
        _out: &mut impl SendBuf,
    ) -> bool {
        false
    }

    pub(in super::super) const fn poll_transmit(
        &mut self,
        _turn: &mut Turn<'_>,
        _out: &mut impl SendBuf,
    ) -> Transport {
        Transport::Open
    }

    pub(in super::super) fn verified(
        &mut self,
        turn: &mut Turn<'_>,
        verified: Verified,
        _out: &mut impl SendBuf,
    ) {
        self.talk.verified(turn, verified, &mut self.mail);
    }

    pub(in super::super) fn poll_verification(&mut self) -> Option<Verification> {
        self.talk.poll_verification()
    }

    pub(in super::super) const fn handle_eof(&mut self, _turn: &mut Turn<'_>) {}

    pub(in super::super) const fn handle_written(&mut self, _now: Instant, _written: usize, _waiting: usize) {
    }

    /// The server looks after them all at once.
    pub(in super::super) const fn poll_timeout(&self) -> Option<Deadline> {
        None
    }

    pub(in super::super) const fn handle_timeout(&mut self, _turn: &mut Turn<'_>) {}

    pub(in super::super) const fn hold(&mut self, hold: bool) {
        self.talk.held = hold;
    }

    pub(in super::super) const fn overflowed(&mut self) {
        self.talk.slow = true;
    }

    pub(in super::super) fn committed(&mut self) {
        self.talk.owed.committed();
    }

    pub(in super::super) fn taken_over(&mut self, _turn: &mut Turn<'_>) {
        self.talk.hub = None;
        self.talk.finish(Code::TakenOver, "the session goes on over another connection", false);
    }

    pub(in super::super) fn end(&mut self, _turn: &mut Turn<'_>, code: Code, why: &'static str) {
        self.talk.finish(code, why, false);
    }

    /// An administrator has it go, and its session with it or not: what it is handed last says so.
    pub(in super::super) fn expel(&mut self, turn: &mut Turn<'_>, forget: bool) {
        let Self { talk, mail, .. } = self;
        talk.refuse(turn, About { reference: None, room: None }, ErrorCode::Denied, BY_ADMINISTRATOR, mail);
        talk.finish(Code::Normal, BY_ADMINISTRATOR, forget);
        talk.release(turn, forget);
    }

    /// How it is reached.
    pub(in super::super) const fn carrier(&self) -> Carrier {
        if self.mail.streams { Carrier::Events } else { Carrier::Poll }
    }

    /// It is forgotten.
    pub(in super::super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        let for_good = self.talk.end.is_none_or(|end| end.for_good);
        self.talk.release(turn, for_good);
        let idle = turn.server.config.json.poll_idle;
        turn.server.pollers.remove(&(self.touched + idle, turn.key));
        if let Some(waiter) = self.waiter.take() {
            // It finds nobody there, and says so.
            turn.server.ready.push_back(waiter);
        }
    }
}

impl Server {
    /// Makes one that begins to poll now; `None` where there are too many connections.
    pub(super) fn add_poller(
        &mut self,
        now: Instant,
        peer: Peer,
    ) -> Result<ConnectionKey, super::super::Refused> {
        self.admit(now, &peer)?;
        let key = self.connections.insert(Connection::Poller(Box::new(Poller::new(now, peer))), now);
        self.pollers.insert((now + self.config.json.poll_idle, key));
        Ok(key)
    }

    /// Works on a client that polls, beside the connection that is lent out; nothing where there is no
    /// such client any more. It is forgotten if it is over then.
    pub(super) fn with_poller<T>(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        work: impl FnOnce(&mut Poller, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        if !self.connections.get(key).is_some_and(Connection::is_poller) {
            return None;
        }
        let mut connection = self.connections.take(key)?;
        let before = self.hub.exchanged();
        let mut done = None;
        let mut over = false;
        if let Connection::Poller(poller) = &mut connection {
            let turn = &mut Turn::new(self, now, key);
            done = Some(work(poller, turn));
            over = poller.collect(turn);
        }
        let after = self.hub.exchanged();
        self.connections.put(key, connection, (after.0 - before.0, after.1 - before.1));
        if over {
            self.disconnect(now, key);
        }
        done
    }

    /// One that polls has something: whoever waits for it is to be answered.
    pub(in super::super) fn wake_poller(&mut self, now: Instant, key: ConnectionKey) {
        let waiter = self.with_poller(now, key, |poller, turn| {
            poller.collect(turn);
            poller.waiter.filter(|_| poller.mail.has_after(poller.mail.handed) || poller.talk.end.is_some())
        });
        self.ready.extend(waiter.flatten());
    }

    /// It was asked for.
    pub(super) fn touch(&mut self, now: Instant, key: ConnectionKey, poller: &mut Poller) {
        let idle = self.config.json.poll_idle;
        self.pollers.remove(&(poller.touched + idle, key));
        poller.touched = now;
        self.pollers.insert((now + idle, key));
    }

    /// When one is given up that nobody asks for.
    pub(in super::super) fn poll_pollers_timeout(&self) -> Option<Deadline> {
        self.pollers.first().map(|(at, _)| Deadline::new(*at, Why::Expiry))
    }

    /// Gives up those that nobody asks for any more, some at once.
    pub(in super::super) fn expire_pollers(&mut self, now: Instant) {
        for _ in 0..64 {
            let Some((_, key)) = self.pollers.first().copied().filter(|(at, _)| *at <= now) else { return };
            let waits = self.with_poller(now, key, |poller, turn| {
                let waits = poller.waiter.is_some();
                if waits {
                    turn.server.touch(now, key, poller);
                }
                waits
            });
            if waits != Some(true) {
                self.disconnect(now, key);
            }
        }
    }

    /// Who polls with this session.
    pub(super) fn poller_of(&self, hub: SessionKey) -> Option<ConnectionKey> {
        let key = self.registry.connection(hub)?;
        self.connections.get(key).filter(|c| c.is_poller()).map(|_| key)
    }
}

/// Nobody polls for what is said to nobody.
pub(super) struct Nowhere;

impl Sink for Nowhere {
    fn put_text(&mut self, _now: Instant, _text: &str) -> bool {
        true
    }

    fn put_frame(&mut self, _now: Instant, _frame: &Frame) -> bool {
        true
    }
}

/// A list of what comes behind a cursor, at most so many, and the cursor of the last.
pub(super) fn list(mail: &Mail, after: u64, max: usize, text: &mut String) -> u64 {
    let mut last = after.clamp(mail.gone, mail.last());
    text.push('[');
    for (cursor, frame) in mail.after(after).take(max) {
        if text.len() > 1 {
            text.push(',');
        }
        // It was written as text.
        text.push_str(core::str::from_utf8(frame.payload()).unwrap_or("{}"));
        last = cursor;
        if text.len() > super::rooms::MAX_PAGE {
            break;
        }
    }
    text.push(']');
    last
}
