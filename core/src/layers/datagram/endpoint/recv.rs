//! Datagrams as they come in: nothing is kept for who has not shown where it is.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::super::cipher::Handshake;
use super::super::connection::{Arrived, Connection, Opening, Surroundings};
use super::super::packet::{self, ConnectionId, Packet, Refusal, VERSION};
use super::super::{DropReason, Ecn, mtu};
use super::{ANSWERS, Endpoint};
use crate::time::Instant;

impl Endpoint {
    /// Takes in a datagram that came from `from`, and whose IP header said `ecn`. One that is of no use is dropped
    /// and counted; none ends anything but a CLOSE that its session's peer has sealed.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &[u8]) {
        let now = self.tick(now);
        self.counters.received += 1;
        self.counters.received_octets += datagram.len() as u64;
        let taken = match Packet::read(datagram) {
            None => Err(DropReason::Malformed),
            Some(Packet::Hello { version, from: name, cookie, message }) => {
                self.handle_hello(now, from, datagram.len(), (version, name), cookie, message)
            }
            Some(Packet::Retry { to, cookie }) => {
                self.of_use(to, |connection, _| connection.handle_retry(from, cookie))
            }
            Some(Packet::Refused { to, why }) => {
                self.of_use(to, |connection, _| connection.handle_refused(now, from, why))
            }
            Some(Packet::Unknown { id }) => self.handle_unknown(now, from, id),
            Some(Packet::Handshake { to, index, message }) if index > 0 => self
                .of_use(to, |connection, around| {
                    connection.handle_handshake(now, from, index, message, around)
                }),
            Some(Packet::Handshake { .. }) => Err(DropReason::Unexpected),
            Some(Packet::Data { to, number_len, truncated, head, sealed }) => {
                let size = datagram.len();
                let arrived = Arrived { from, ecn, to, number_len, truncated, head, sealed, size };
                self.handle_data(now, &arrived)
            }
        };
        if let Err(why) = taken {
            self.counters.dropped[why as usize] += 1;
        }
    }

    fn handle_data(&mut self, now: Instant, arrived: &Arrived<'_>) -> Result<(), DropReason> {
        let Some(&key) = self.routes.get(&arrived.to) else {
            if self.accepting {
                self.counters.forgotten += 1;
                self.answer(arrived.from, |out| packet::put_unknown(out, arrived.to));
            }
            return Err(DropReason::Unknown);
        };
        let mut scratch = core::mem::take(&mut self.scratch);
        let taken =
            self.with(key, |connection, around| connection.handle_data(now, arrived, &mut scratch, around));
        self.scratch = scratch;
        taken.unwrap_or(Err(DropReason::Unknown))
    }

    /// A server says that nobody has the id to which a session's packets go.
    fn handle_unknown(&mut self, now: Instant, from: SocketAddr, id: ConnectionId) -> Result<(), DropReason> {
        let key = *self.servers.get(&id).ok_or(DropReason::Unknown)?;
        match self.with(key, |connection, _| connection.handle_unknown(now, from)) {
            Some(true) => Ok(()),
            _ => Err(DropReason::Unexpected),
        }
    }

    fn of_use(
        &mut self,
        to: ConnectionId,
        work: impl FnOnce(&mut Connection, &mut Surroundings<'_>) -> bool,
    ) -> Result<(), DropReason> {
        let key = *self.routes.get(&to).ok_or(DropReason::Unknown)?;
        match self.with(key, work) {
            Some(true) => Ok(()),
            _ => Err(DropReason::Unexpected),
        }
    }

    /// A client that wants a session. It is asked to show where it is before anything is kept for it.
    fn handle_hello(
        &mut self,
        now: Instant,
        from: SocketAddr,
        size: usize,
        (version, name): (u8, ConnectionId),
        cookie: &[u8],
        message: &[u8],
    ) -> Result<(), DropReason> {
        if !self.accepting {
            return Err(DropReason::Unexpected);
        }
        if size < usize::from(mtu::BASE) {
            // An answer to a small one could be larger than the question.
            return Err(DropReason::Malformed);
        }
        if version != VERSION {
            self.answer(from, |out| packet::put_refused(out, name, Refusal::Version));
            return Err(DropReason::Malformed);
        }
        let before = self.begun.get(&(from, name)).copied();
        if let Some(key) = before.filter(|key| !self.is_spoilt(*key, message)) {
            // It has come before: nothing more is kept, however often it comes.
            let of_use = self
                .with(key, |connection, around| connection.handle_handshake(now, from, 0, message, around));
            return if of_use == Some(true) { Ok(()) } else { Err(DropReason::Unexpected) };
        }
        if !self.cookies.is_good(now, cookie, from, name, &mut *self.entropy) {
            let cookie = self.cookies.make(now, from, name, &mut *self.entropy);
            self.counters.cookies += 1;
            self.answer(from, |out| packet::put_retry(out, name, &cookie));
            return Ok(());
        }
        if let Some(key) = before {
            self.remove(key);
        }
        if self.handshakes >= self.config.handshakes || self.slots.len() >= self.config.sessions {
            self.counters.refused += 1;
            self.answer(from, |out| packet::put_refused(out, name, Refusal::Full));
            return Err(DropReason::Full);
        }
        self.accept(now, from, name, message)
    }

    /// Whether a session that is not open began with another message than its client now says: what came first
    /// was changed on the way, where the pattern does not show that at once.
    fn is_spoilt(&self, key: u64, message: &[u8]) -> bool {
        let Some(slot) = self.slots.get(&key) else { return false };
        slot.connection.is_opening() && slot.hello != self.slots.hasher().hash_one(message)
    }

    fn accept(
        &mut self,
        now: Instant,
        from: SocketAddr,
        name: ConnectionId,
        message: &[u8],
    ) -> Result<(), DropReason> {
        let mut mine = ConnectionId::default();
        self.entropy.wire(&mut mine.0);
        let handshake = Handshake::server(&self.config.security, name, message, &mut *self.entropy);
        let handshake = handshake.map_err(|_| DropReason::Forged)?;
        let opening = Opening::server(now, &self.config, handshake);
        let mut connection = Connection::new(now, &self.config, opening, [mine, name], from);
        let mut around = Surroundings {
            config: &self.config,
            entropy: &mut *self.entropy,
            counters: &mut self.counters,
            routes: &mut self.changed,
        };
        if !connection.handle_handshake(now, from, 0, message, &mut around) {
            self.changed.clear();
            return Err(DropReason::Forged);
        }
        let key = self.insert(connection, Some((from, name)));
        let hello = self.slots.hasher().hash_one(message);
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.hello = hello;
        }
        self.routes.insert(mine, key);
        self.begun.insert((from, name), key);
        self.settle(key);
        Ok(())
    }

    /// An answer that needs no connection. What it answers is larger.
    fn answer(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        if self.answers.len() < ANSWERS {
            let mut out = Vec::new();
            write(&mut out);
            self.answers.push_back((to, out));
        }
    }
}
