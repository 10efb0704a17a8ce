//! MQTT 3.1.1 and 5.0 on the hub.
//!
//! Sections and statements like [MQTT-3.1.2-24] are those of the OASIS standards; of 5.0 where
//! nothing else is said. What they leave to the server:
//!
//! - A session belongs to the user that began it: another who comes with its client identifier is
//!   refused, not authorized.
//! - What a 3.1.1 client may not publish is acknowledged and dropped, since that version has no
//!   word for it, and the client would send it again for ever. What the store cannot take now is
//!   not acknowledged, and the connection closed: the client keeps the message and comes again.
//! - Where several subscriptions of a client match, it gets one message, with the identifiers of
//!   all, of either version.
//! - Clients of 5.0 ask and answer by messages, those of 3.1.1 not at all: the
//!   [bridge](crate::endpoint::bridge) says how.
//! - A client that takes topic aliases is sent them, for topics that come again and are worth it.
//! - The answer to a publication, a subscription or its end waits for the store where that has to
//!   keep what is acknowledged; answers keep their order. So does CONNACK where the client had a
//!   session of which it wants to know no more: a crash must not bring that back.

mod aliases;
mod auth;
mod close;
mod connect;
mod deliver;
mod publish;
mod sessions;
mod subscribe;

use alloc::boxed::Box;
use core::time::Duration;

use super::auth::{Verification, Verified};
use super::connection::Turn;
use super::owed::Owed;
use super::{MAX_OWED, Peer, REPLY_ROOM};
use crate::buf::{RecvBuf, SendBuf};
use crate::hub::SessionKey;
use crate::mqtt::server::{Config as LineConfig, Event};
use crate::mqtt::{AliasTable, Server as Line};
use crate::time::{Deadline, Instant, Why};
use aliases::SentAliases;
use connect::{Proving, WRONG};
use deliver::Answer;

/// The settings of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MqttConfig {
    /// Of each connection, and what it announces.
    pub line: LineConfig,
    /// The longest client identifier that is taken, in octets; 1,024. At least 23
    /// ([MQTT-3.1.3-5]).
    pub max_client_id: usize,
    /// Messages with QoS 1 and 2 at most that a client has not acknowledged, where it takes that
    /// many; 1,024.
    pub in_flight: u16,
    /// Topic aliases at most that a 5.0 client is sent, where it takes that many; 16. Each keeps a topic
    /// of at most 1,024 octets for the connection, once it was used. 0: none are sent.
    pub topic_aliases: u16,
    /// Whether a payload that is said to be UTF-8 has to be (reason code 0x99).
    pub check_payload_format: bool,
}

impl Default for MqttConfig {
    fn default() -> Self {
        let line = LineConfig { topic_alias_maximum: 10, ..LineConfig::default() };
        Self { line, max_client_id: 1024, in_flight: 1024, topic_aliases: 16, check_payload_format: false }
    }
}

/// One connection that speaks MQTT.
#[derive(Debug)]
pub(super) struct Connection {
    line: Line,
    pub(super) peer: Peer,
    /// The session in the hub that it serves.
    hub: Option<SessionKey>,
    /// Those of the client.
    aliases: AliasTable,
    /// Those that it was sent.
    sent_aliases: Option<Box<SentAliases>>,
    proving: Option<Box<Proving>>,
    owed: Owed<Answer>,
    /// SUBACKs among them: what they bring comes behind them.
    subacks: u16,
    /// When a drain has it go, done or not.
    leaves: Option<Instant>,
    /// It went on with a session that was there.
    resumed: bool,
    /// A slow subscriber holds this publisher: nothing more is read.
    held: bool,
    /// Its queue overflowed, and its policy is to be disconnected.
    slow: bool,
    /// The event of its end is out.
    told: bool,
}

impl Connection {
    /// Whether its client has not said yet what it wants.
    pub(super) const fn is_stranger(&self) -> bool {
        self.hub.is_none() && self.proving.is_none()
    }

    /// A connection that was accepted at `since`.
    pub(super) fn new(since: Instant, config: &MqttConfig, peer: Peer) -> Self {
        Self {
            line: Line::accept(since, &config.line),
            peer,
            hub: None,
            aliases: AliasTable::new(),
            sent_aliases: None,
            proving: None,
            owed: Owed::default(),
            subacks: 0,
            leaves: None,
            resumed: false,
            slow: false,
            held: false,
            told: false,
        }
    }

    /// Handles all whole packets in `buf`. Says whether it stopped early.
    pub(super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        // What is owed no longer makes room to read on.
        if !self.owed.is_empty() {
            self.flush(turn, out);
        }
        let mut aliases = core::mem::take(&mut self.aliases);
        let blocked = loop {
            if self.is_deaf() || out.room() < REPLY_ROOM {
                break !buf.filled().is_empty();
            }
            let Some(event) = self.line.recv(turn.now, buf, &mut aliases) else { break false };
            turn.server.traffic.packets_received += 1;
            self.event(turn, &event, out);
            self.held |= self.hub.is_some_and(|hub| turn.server.hub.is_held(hub));
        };
        self.aliases = aliases;
        blocked
    }

    #[inline]
    fn event(&mut self, turn: &mut Turn<'_>, event: &Event<'_>, out: &mut impl SendBuf) {
        match event {
            Event::Publish(publish) => self.published(turn, publish, out),
            Event::Ack(ack) => self.acknowledged(turn, ack, out),
            Event::Connect(connect) => self.connect(turn, connect, out),
            Event::Subscribe(subscribe) => self.subscribed(turn, subscribe, out),
            Event::Unsubscribe(unsubscribe) => self.unsubscribed(turn, unsubscribe, out),
            Event::Auth(auth) => self.authenticate_further(turn, auth, out),
            Event::Disconnect(disconnect) => self.disconnected_by_client(turn, disconnect),
            Event::Closed(closed) => self.closed(turn, closed),
        }
    }

    /// Nothing is heard of one that is not read: also while it waits to be welcomed. One that has ended is heard
    /// out, or it would never be over.
    fn is_deaf(&self) -> bool {
        let unwelcomed = self.hub.is_some() && !self.line.is_open();
        !self.line.is_ended() && (self.held || self.owed.len() >= MAX_OWED || unwelcomed)
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.line.handle_eof(turn.now);
        if let Some(Event::Closed(closed)) = self.line.poll_closed() {
            self.closed(turn, &closed);
        }
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.line.handle_written(now, written, waiting);
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let line = if self.is_deaf() { None } else { self.line.poll_timeout() };
        // One that takes nothing is given up by its own deadline.
        let leaves = self.leaves.filter(|_| self.line.is_open() && !self.line.is_stalled());
        let leaves = leaves.map(|at| Deadline::new(at, Why::Drain));
        Deadline::earliest(line, leaves)
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if !self.is_deaf()
            && let Some(Event::Closed(closed)) = self.line.handle_timeout(turn.now)
        {
            self.closed(turn, &closed);
        }
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        self.proving.as_mut()?.verification.take()
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        let Some(wish) = self.proving.take().and_then(|proving| proving.wish) else { return };
        match verified.identity {
            Some(identity) => self.establish(turn, &identity, wish, &[], out),
            None => self.refuse(turn, WRONG),
        }
    }

    pub(super) fn hold(&mut self, hold: bool) {
        self.held = hold;
    }

    pub(super) fn overflowed(&mut self) {
        self.slow = true;
    }

    pub(super) fn committed(&mut self) {
        self.owed.committed();
    }
}

/// Seconds as MQTT has them, of which the highest number is for ever.
const fn expiry_of(seconds: u32) -> Duration {
    if seconds == u32::MAX { Duration::MAX } else { Duration::from_secs(seconds as u64) }
}
