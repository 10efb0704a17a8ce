//! Packets of an open connection, as they come in.

use alloc::string::String;
use core::net::SocketAddr;
use core::time::Duration;

use super::super::congestion::Congestion as _;
use super::super::ecn::{Counts, Ecn, Said};
use super::super::frame::{AckRanges, Frame, Frames};
use super::super::messages::Delivery;
use super::super::number;
use super::super::packet::ConnectionId;
use super::super::path::Path;
use super::super::recovery::{Sent, Told};
use super::super::{DropReason, Ended};
use super::{Connection, State, Surroundings};
use crate::time::Instant;

/// A server that is said not to know a session has so many probe timeouts to show that it does.
const DOUBT: u32 = 3;

/// A closing connection answers the packets that still come: the first, second, fourth, eighth.
const fn is_answered(heard: u32) -> bool {
    heard.is_power_of_two()
}

/// A data packet, as it came in.
pub(in super::super) struct Arrived<'a> {
    pub(in super::super) from: SocketAddr,
    /// What its IP header said.
    pub(in super::super) ecn: Ecn,
    pub(in super::super) to: ConnectionId,
    pub(in super::super) number_len: usize,
    pub(in super::super) truncated: u32,
    /// What is in front of the sealed content.
    pub(in super::super) head: &'a [u8],
    pub(in super::super) sealed: &'a [u8],
    /// The whole datagram's size.
    pub(in super::super) size: usize,
}

impl Connection {
    /// A data packet.
    ///
    /// # Errors
    ///
    /// Why it is as if it had not come.
    pub(in super::super) fn handle_data(
        &mut self,
        now: Instant,
        arrived: &Arrived<'_>,
        content: &mut alloc::vec::Vec<u8>,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DropReason> {
        match &mut self.state {
            State::Opening(_) | State::Gone => return Err(DropReason::Unexpected),
            State::Draining { .. } => return Err(DropReason::Closed),
            State::Open | State::Closing { .. } => {}
        }
        if self.client && arrived.from != self.path.address {
            return Err(DropReason::Unexpected);
        }
        let number = number::decode(arrived.truncated, arrived.number_len, self.received.expected());
        if self.received.is_seen(number) {
            return Err(DropReason::Replayed);
        }
        content.clear();
        let cipher = self.cipher.as_mut().ok_or(DropReason::Unexpected)?;
        cipher.open(number, arrived.head, arrived.sealed, content).map_err(|_| DropReason::Forged)?;
        // All is read before anything is done, so that a packet counts whole or not at all.
        let (mut eliciting, mut probing) = (false, true);
        for frame in Frames::new(content) {
            let frame = frame.map_err(|_| DropReason::Malformed)?;
            eliciting |= frame.is_eliciting();
            probing &= frame.is_probing();
        }
        if let State::Closing { owed, heard, .. } = &mut self.state {
            *heard = heard.saturating_add(1);
            *owed |= is_answered(*heard);
            if let Some(until) = Frames::new(content).flatten().find_map(|f| match f {
                Frame::Close { .. } => Some(now + self.recovery.rtt.probe_timeout()),
                _ => None,
            }) {
                self.state = State::Draining { until };
            }
            return Ok(());
        }
        self.stream_fits(content)?;
        self.last_flight = None;
        self.last_received = now;
        self.doubted = None;
        self.path.on_received(if arrived.from == self.path.address { arrived.size } else { 0 });
        let largest = self.received.on_packet(now, number, eliciting, arrived.ecn);
        around.counters.congested_received += u64::from(arrived.ecn == Ecn::Ce);
        if largest && !probing && arrived.from != self.path.address {
            self.move_to(now, arrived, around);
        }
        for frame in Frames::new(content).flatten() {
            self.handle_frame(now, &frame, number, arrived, around);
            if !self.is_open() {
                break;
            }
        }
        self.leave(now);
        Ok(())
    }

    /// The server is said not to know this session. Anyone on the way could say so, so that it ends nothing:
    /// the server is asked, and has some time to answer. Says whether that is new.
    pub(in super::super) fn handle_unknown(&mut self, now: Instant, from: SocketAddr) -> bool {
        if !self.client || !self.is_open() || from != self.path.address || self.doubted.is_some() {
            return false;
        }
        self.doubted = Some(now + self.recovery.rtt.probe_timeout() * DOUBT);
        self.owed.ping = true;
        self.owed.probes = self.owed.probes.max(1);
        true
    }

    /// Takes the stream's pieces first: a packet whose piece does not fit is not acknowledged.
    fn stream_fits(&mut self, content: &[u8]) -> Result<(), DropReason> {
        let before = self.recv.readable();
        for frame in Frames::new(content).flatten() {
            if let Frame::Stream { offset, fin, data } = frame
                && self.detached.is_none()
            {
                self.recv.insert(offset, data, fin).map_err(|_| DropReason::Window)?;
            }
        }
        self.news.readable |= self.recv.readable() > before || self.recv.is_ended();
        Ok(())
    }

    fn handle_frame(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        number: u64,
        arrived: &Arrived<'_>,
        around: &mut Surroundings<'_>,
    ) {
        match *frame {
            Frame::Padding | Frame::Ping | Frame::Stream { .. } => {}
            Frame::Ack { largest, delay_us, ref ranges, marked } => {
                self.handle_ack(now, (largest, delay_us), ranges.clone(), marked, around);
            }
            Frame::Window { limit } => {
                self.send.set_limit(limit);
            }
            Frame::Cid { sequence, cid } => self.remote.add(sequence, ConnectionId(cid)),
            Frame::Retire { sequence } => {
                self.local.retire(sequence, arrived.to, around.routes);
                self.local.issue(around.entropy, around.routes);
            }
            Frame::Challenge(token) if arrived.from == self.path.address => self.owed.response = Some(token),
            Frame::Challenge(_) => {}
            Frame::Response(token) => {
                if self.path.on_response(token) {
                    self.former = None;
                }
            }
            Frame::Unreliable(message) => self.take_message(Delivery::Unreliable, message, around),
            Frame::Sequenced { channel, data } => {
                if self.channels.is_fresh(channel, number) {
                    self.take_message(Delivery::Sequenced { key: channel.into() }, data, around);
                } else {
                    around.counters.stale += 1;
                }
            }
            Frame::Close { code, reason } => {
                let reason = String::from_utf8_lossy(reason).into_owned();
                self.end(now, Ended::Peer { code, reason }, true);
            }
        }
    }

    fn take_message(&mut self, delivery: Delivery, message: &[u8], around: &mut Surroundings<'_>) {
        if self.detached.is_some() {
            return;
        }
        // A channel is not a key here: what has come is in order, and none replaces another.
        let config = around.config;
        around.counters.overflowed +=
            self.incoming.append(delivery, message, config.messages, config.message_octets);
        self.news.message = true;
    }

    fn handle_ack(
        &mut self,
        now: Instant,
        (largest, delay_us): (u64, u64),
        ranges: AckRanges<'_>,
        marked: Option<Counts>,
        around: &mut Surroundings<'_>,
    ) {
        let delay = Duration::from_micros(delay_us.min(1 << 24));
        let Self { recovery, congestion, .. } = self;
        let mut told = alloc::vec::Vec::new();
        let taken =
            recovery.on_ack(now, largest, delay, ranges, congestion, |fate| told.push(Fate::of(fate)));
        let Ok(latest) = taken else {
            around.counters.dropped[DropReason::Malformed as usize] += 1;
            return;
        };
        self.learn_all(now, &told, around);
        if let Some(sent_at) = latest {
            match self.marking.on_ack(marked) {
                Said::Nothing => {}
                Said::Failed => around.counters.ecn_failed += 1,
                Said::Congested => {
                    around.counters.congested_sent += 1;
                    self.congestion.on_marked(now, sent_at);
                }
            }
        }
        if self.blocked && self.send.kept() < around.config.send_buffer / 2 {
            self.blocked = false;
            self.news.writable = true;
        }
    }

    /// What became of packets.
    pub(super) fn learn_all(&mut self, now: Instant, told: &[Fate], around: &mut Surroundings<'_>) {
        for fate in told {
            self.learn(now, fate, around);
        }
        let marked = |arrived| {
            let those = told.iter().filter(move |fate| fate.sent.marked && fate.arrived == arrived);
            those.map(|fate| fate.sent.at)
        };
        if self.marking.on_fates(marked(true), marked(false)) {
            around.counters.ecn_failed += 1;
        }
    }

    /// What became of a packet's content.
    fn learn(&mut self, now: Instant, fate: &Fate, around: &mut Surroundings<'_>) {
        let Fate { sent, arrived } = fate;
        let content = &sent.content;
        if *arrived {
            self.content_arrived(now, sent);
        } else {
            if sent.eliciting && !content.probe {
                self.lost += 1;
                around.counters.lost += 1;
            }
            if content.probe {
                self.mtu.on_probe_lost(now, sent.size);
            } else if self.mtu.on_lost(now, sent.size) {
                around.counters.black_holes += 1;
                self.resize();
            }
            around.counters.repeated += u64::from(content.comes_again());
            self.content_lost(content);
        }
    }

    fn content_arrived(&mut self, now: Instant, sent: &Sent) {
        let content = &sent.content;
        for (offset, len, fin) in content.stream {
            self.send.on_acked(offset, len, fin);
        }
        if let Some(largest) = content.acknowledged {
            self.received.on_ack_acked(largest);
        }
        if let Some(sequence) = content.retired {
            self.remote.on_retired(sequence);
        }
        if content.probe {
            self.mtu.on_probe_acked(now, sent.size);
            self.resize();
        }
        self.mtu.on_acked(sent.size);
    }

    /// What has to come again is owed again.
    pub(super) fn content_lost(&mut self, content: &super::super::recovery::Content) {
        for (offset, len, fin) in content.stream {
            self.send.on_lost(offset, len, fin);
        }
        self.owed.window |= content.window;
        self.local.owed |= content.issued;
        if let Some(sequence) = content.retired {
            self.remote.set_owed(sequence, true);
        }
    }

    /// Packets have another size from now on.
    pub(super) fn resize(&mut self) {
        self.congestion.set_packet_size(self.mtu.current());
    }

    /// The peer has another address: that of its latest packet. It is tried before much goes there.
    fn move_to(&mut self, now: Instant, arrived: &Arrived<'_>, around: &mut Surroundings<'_>) {
        let mut challenge = [0; 8];
        around.entropy.secret(&mut challenge);
        let until = now + self.recovery.rtt.probe_timeout() * 3;
        let mut path = Path::challenged(arrived.from, challenge, until);
        path.on_received(arrived.size);
        let old = core::mem::replace(&mut self.path, path);
        let same_host = old.address.ip() == arrived.from.ip();
        if self.former.as_ref().is_some_and(|former| former.address == arrived.from) {
            // It is back where it was proved to be.
            self.path = self.former.take().unwrap_or_else(|| Path::validated(arrived.from));
        } else if old.validated {
            self.former = Some(old);
        }
        around.counters.moved += 1;
        self.remote.change();
        if !same_host {
            // Another network: nothing is known of it (RFC 9000 §9.4).
            self.recovery.forget_path();
            self.marking.restart(now, around.config.ecn);
            self.mtu.fall(now);
            self.resize();
        }
    }
}

/// A packet's fate.
pub(super) struct Fate {
    sent: Sent,
    arrived: bool,
}

impl Fate {
    pub(super) fn of(told: Told<'_>) -> Self {
        match told {
            Told::Acknowledged(sent) => Self { sent: sent.clone(), arrived: true },
            Told::Lost(sent) => Self { sent: sent.clone(), arrived: false },
        }
    }
}
