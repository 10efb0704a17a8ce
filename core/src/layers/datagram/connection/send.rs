//! Packets of an open connection, as they go out: many of one size in one write where there is much.

use alloc::vec::Vec;

use super::super::cipher::Cipher;
use super::super::congestion::Congestion;
use super::super::ecn::Ecn;
use super::super::frame::{self, put_varint, varint_len};
use super::super::messages::Delivery;
use super::super::packet;
use super::super::recovery::{Content, Sent};
use super::super::{Transmit, mtu, number};
use super::{Connection, State, Surroundings};
use crate::time::Instant;

/// The most that is in front of a packet's content.
pub(super) const HEAD: usize = packet::DATA_HEAD + number::MAX_LEN;
/// The most that is in front of a message: kind, channel, length.
pub(super) const MESSAGE_HEAD: usize = 2 + 3;
/// The most that is in front of a piece of the stream: kind, offset, length.
const STREAM_HEAD: usize = 1 + 9 + 3;
/// A piece of the stream smaller than this waits for the next packet, if something else fills this one.
const SMALL_PIECE: usize = 32;
/// So many ACKs alone, and one of them asks to be acknowledged itself.
const ACKS_ALONE: u8 = 16;

/// What a packet under way is to be.
struct Draft {
    content: Content,
    eliciting: bool,
    /// It says something: it is worth sending.
    any: bool,
}

impl Connection {
    /// Writes what is to go out now to `out`, which is empty: packets of the same size for one address, the last
    /// one as large or smaller. `scratch` is memory to work in.
    pub(in super::super) fn poll_transmit(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        segments: usize,
        scratch: &mut Vec<u8>,
        around: &mut Surroundings<'_>,
    ) -> Option<Transmit> {
        if let Some(transmit) = self.transmit_handshake(now, out) {
            return Some(transmit);
        }
        match &mut self.state {
            State::Open => {}
            State::Closing { owed, .. } if *owed => {
                *owed = false;
                return self.transmit_close(now, out, scratch);
            }
            _ => return None,
        }
        self.paced_until = self.paced_until.filter(|at| *at > now);
        if self.recovery.is_full() && self.owed.probes == 0 {
            return None;
        }
        if let Some(transmit) = self.transmit_probe(now, out, scratch) {
            return Some(transmit);
        }
        // What goes out because nothing was heard is not marked, since that may be why.
        let ecn = if self.recovery.probes == 0 { self.marking.next() } else { Ecn::NotEct };
        let mut segment = usize::from(self.mtu.current());
        let mut count = 0;
        while count < segments.max(1) && out.len() + segment <= usize::from(u16::MAX) - 64 {
            let before = out.len();
            let free = self.may_send(now, segment);
            if !self.packet(now, out, (segment, ecn), free, scratch, around) {
                break;
            }
            let size = out.len() - before;
            count += 1;
            if count == 1 {
                segment = size;
            } else if size < segment {
                break;
            }
        }
        self.recovery.idle = !self.has_work();
        (count > 0).then_some(Transmit { to: self.path.address, segment, ecn })
    }

    /// Whether congestion control lets a packet of `size` octets go now.
    fn may_send(&mut self, now: Instant, size: usize) -> bool {
        if self.owed.probes > 0 {
            return true;
        }
        let window = self.congestion.window();
        if self.recovery.is_full() || self.recovery.in_flight + size as u64 > window {
            return false;
        }
        if !self.has_work() {
            return true;
        }
        if self.paced_until.is_some() {
            return false;
        }
        let (packet, rtt) = (u64::from(self.mtu.current()), self.recovery.rtt.smoothed());
        match self.pacer.wait(now, size as u64, window, packet, rtt) {
            None => true,
            Some(at) => {
                self.paced_until = Some(at);
                false
            }
        }
    }

    /// Whether there is something that congestion control may hold back.
    fn has_work(&self) -> bool {
        self.send.has_work()
            || !self.outgoing.is_empty()
            || self.owed.ping
            || self.owed.window
            || self.local.owed != 0
            || self.remote.retire_owed().is_some()
    }

    /// Writes one packet of at most `size` octets, if there is anything to say. `free`: congestion control lets it.
    fn packet(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        (size, ecn): (usize, Ecn),
        free: bool,
        scratch: &mut Vec<u8>,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let size = size.min(self.path.budget());
        let Some(overhead) = self.cipher.as_ref().map(Cipher::overhead) else { return false };
        let acked = self.recovery.acked_end();
        let number_len = number::encoded_len(self.recovery.next(), acked);
        let Some(room) =
            size.checked_sub(packet::DATA_HEAD + number_len + overhead).filter(|room| *room > 16)
        else {
            return false;
        };
        scratch.clear();
        let mut draft = Draft { content: Content::default(), eliciting: false, any: false };
        let work = free && self.has_work();
        self.put_control(now, scratch, room, work, &mut draft);
        if work {
            self.put_work(scratch, room, &mut draft);
        }
        if !draft.any {
            return false;
        }
        if draft.eliciting {
            self.unacked_acks = 0;
        } else {
            self.unacked_acks = self.unacked_acks.saturating_add(1);
            if self.unacked_acks >= ACKS_ALONE && scratch.len() < room {
                scratch.push(frame::PING);
                (draft.eliciting, self.unacked_acks) = (true, 0);
            }
        }
        let more = draft.eliciting && room - scratch.len() < room / 8 && self.has_work();
        if more {
            // It fills up, so that the next one has its size and goes out in the same write.
            scratch.resize(room, frame::PADDING);
        }
        self.seal(now, out, scratch, (draft, ecn), around)
    }

    /// What is small and not of the application: ACK, paths.
    fn put_control(&mut self, now: Instant, to: &mut Vec<u8>, room: usize, work: bool, draft: &mut Draft) {
        if self.received.is_due(now) || (work && self.received.has_news()) {
            draft.content.acknowledged = self.received.put(now, to, room);
            draft.any |= draft.content.acknowledged.is_some();
        }
        if let Some(token) = self.owed.response.filter(|_| to.len() + 9 <= room) {
            to.push(frame::RESPONSE);
            to.extend_from_slice(&token);
            self.owed.response = None;
            (draft.eliciting, draft.any) = (true, true);
        }
        if self.path.challenge_owed && to.len() + 9 <= room {
            to.push(frame::CHALLENGE);
            to.extend_from_slice(&self.path.challenge);
            self.path.challenge_owed = false;
            (draft.eliciting, draft.any) = (true, true);
        }
    }

    /// What congestion control may hold back.
    fn put_work(&mut self, to: &mut Vec<u8>, room: usize, draft: &mut Draft) {
        let before = to.len();
        if self.owed.window && to.len() + 10 <= room {
            to.push(frame::WINDOW);
            put_varint(to, self.recv.grant());
            self.owed.window = false;
            draft.content.window = true;
        }
        while self.local.owed != 0 && to.len() + 18 <= room {
            let place = self.local.owed.trailing_zeros() as usize;
            self.local.owed &= !(1 << place);
            if let Some((sequence, cid)) = self.local.get(place) {
                to.push(frame::CID);
                put_varint(to, sequence);
                to.extend_from_slice(&cid.0);
                draft.content.issued |= 1 << place;
            }
        }
        if let Some(sequence) = self.remote.retire_owed().filter(|_| to.len() + 10 <= room) {
            to.push(frame::RETIRE);
            put_varint(to, sequence);
            self.remote.set_owed(sequence, false);
            draft.content.retired = Some(sequence);
        }
        self.stream_first = !self.stream_first;
        if self.stream_first {
            self.put_stream(to, room, draft);
            self.put_messages(to, room);
        } else {
            self.put_messages(to, room);
            self.put_stream(to, room, draft);
        }
        if to.len() == before && self.owed.ping {
            to.push(frame::PING);
        }
        if to.len() > before {
            self.owed.ping = false;
            self.owed.probes = self.owed.probes.saturating_sub(1);
            (draft.eliciting, draft.any) = (true, true);
        }
    }

    fn put_messages(&mut self, to: &mut Vec<u8>, room: usize) {
        while let Some((delivery, message)) = self.outgoing.front() {
            let channel = delivery.channel();
            let head = 1 + usize::from(channel.is_some()) + varint_len(message.len() as u64);
            if to.len() + head + message.len() > room {
                // One that fits in no packet any more, since packets have become smaller, is given up.
                if to.is_empty() {
                    self.outgoing.pop();
                    continue;
                }
                return;
            }
            match delivery {
                Delivery::Unreliable => to.push(frame::UNRELIABLE),
                Delivery::Sequenced { key } => to.extend_from_slice(&[frame::SEQUENCED, key as u8]),
            }
            put_varint(to, message.len() as u64);
            to.extend_from_slice(message);
            self.outgoing.pop();
        }
    }

    fn put_stream(&mut self, to: &mut Vec<u8>, room: usize, draft: &mut Draft) {
        for piece in &mut draft.content.stream {
            let left = room.saturating_sub(to.len() + STREAM_HEAD);
            if !self.send.has_work() || (left < SMALL_PIECE && !to.is_empty()) {
                return;
            }
            let Some((offset, len, fin)) = self.send.next(left) else { return };
            to.push(frame::STREAM | frame::LEN | if fin { frame::FIN } else { 0 });
            put_varint(to, offset);
            put_varint(to, len.into());
            let (first, second) = self.send.slices(offset, len);
            to.extend_from_slice(first);
            to.extend_from_slice(second);
            *piece = (offset, len, fin);
        }
    }

    /// Seals a packet and takes note of it.
    fn seal(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        content: &[u8],
        (draft, ecn): (Draft, Ecn),
        around: &mut Surroundings<'_>,
    ) -> bool {
        let (number, acked, start) = (self.recovery.next(), self.recovery.acked_end(), out.len());
        packet::put_data_head(out, self.remote.active(), number, acked);
        let Some(cipher) = self.cipher.as_mut() else { return false };
        if cipher.seal(number, start, content, out).is_err() {
            out.truncate(start);
            return false;
        }
        let size = out.len() - start;
        self.path.on_sent(size);
        if draft.eliciting {
            self.pacer.on_sent(size as u64);
            self.last_sent = now;
            around.counters.eliciting += 1;
        }
        let mut sent = Sent::new(now, size as u16, draft.eliciting, draft.content);
        if ecn == Ecn::Ect0 {
            sent.marked = true;
            self.marking.on_sent();
        }
        self.recovery.on_sent(sent);
        true
    }

    /// A packet that finds out whether larger ones arrive.
    fn transmit_probe(&mut self, now: Instant, out: &mut Vec<u8>, scratch: &mut Vec<u8>) -> Option<Transmit> {
        if !self.path.validated || !self.recovery.rtt.is_measured() || self.recovery.probes > 0 {
            return None;
        }
        let size = self.mtu.probe(now)?;
        let free = self.recovery.in_flight + u64::from(size) <= self.congestion.window();
        if !free || self.recovery.is_full() {
            return None;
        }
        let cipher = self.cipher.as_mut()?;
        let (number, acked) = (self.recovery.next(), self.recovery.acked_end());
        packet::put_data_head(out, self.remote.active(), number, acked);
        scratch.clear();
        scratch.push(frame::PING);
        scratch.resize(usize::from(size) - out.len() - cipher.overhead(), frame::PADDING);
        cipher.seal(number, 0, scratch, out).ok()?;
        self.mtu.on_probe_sent(size);
        let content = Content { probe: true, ..Content::default() };
        self.recovery.on_sent(Sent::new(now, size, true, content));
        self.path.on_sent(out.len());
        Some(Transmit { to: self.path.address, segment: out.len(), ecn: Ecn::NotEct })
    }

    fn transmit_close(&mut self, now: Instant, out: &mut Vec<u8>, scratch: &mut Vec<u8>) -> Option<Transmit> {
        scratch.clear();
        self.received.put(now, scratch, usize::from(mtu::BASE) / 4);
        scratch.push(frame::CLOSE);
        put_varint(scratch, self.close_code);
        put_varint(scratch, self.close_reason.len() as u64);
        scratch.extend_from_slice(self.close_reason.as_bytes());
        let (number, acked) = (self.recovery.next(), self.recovery.acked_end());
        let cipher = self.cipher.as_mut()?;
        if self.path.budget() < HEAD + scratch.len() + cipher.overhead() {
            return None;
        }
        packet::put_data_head(out, self.remote.active(), number, acked);
        cipher.seal(number, 0, scratch, out).ok()?;
        self.path.on_sent(out.len());
        self.recovery.on_sent(Sent::new(now, out.len() as u16, false, Content::default()));
        Some(Transmit { to: self.path.address, segment: out.len(), ecn: Ecn::NotEct })
    }
}
