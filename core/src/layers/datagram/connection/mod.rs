//! One session's connection: what its endpoint's packets, its stream and its messages go through.

mod opening;
mod recv;
mod send;
mod timers;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::cids::{Local, Remote, Route};
use super::cipher::Cipher;
use super::congestion::{Congestion, Controller, Cubic, NewReno, Pacer};
use super::ecn::Marking;
use super::messages::{Channels, Delivery, Queue};
use super::mtu::{self, Mtu};
use super::packet::ConnectionId;
use super::path::Path;
use super::received::Received;
use super::recovery::Recovery;
use super::stream::{RecvStream, SendStream};
use super::{Config, ControllerKind, Counters, Ended, Stats};
use crate::entropy::Entropy;
use crate::time::Instant;
pub(super) use opening::Opening;
use opening::Params;
pub(super) use recv::Arrived;

/// A connection that its owner has left has so long to bring away what is still to be sent.
const LINGER: Duration = Duration::from_secs(5);

/// What a call may need from the endpoint around a connection.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) entropy: &'a mut dyn Entropy,
    pub(super) counters: &'a mut Counters,
    pub(super) routes: &'a mut Vec<Route>,
}

/// What an application is to be told, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) open: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) message: bool,
    pub(super) ended: bool,
}

#[derive(Debug)]
enum State {
    Opening(Box<Opening>),
    Open,
    /// This side has ended it, and says so to whoever still sends.
    Closing {
        until: Instant,
        owed: bool,
        heard: u32,
    },
    /// The peer has, or it is over otherwise: nothing is sent any more.
    Draining {
        until: Instant,
    },
    Gone,
}

/// What is owed to the peer beside ACK, stream and messages.
#[derive(Debug, Default)]
struct Owed {
    ping: bool,
    window: bool,
    response: Option<[u8; 8]>,
    /// Packets that go out whatever the congestion window says.
    probes: u8,
}

/// One side of a session's connection.
#[derive(Debug)]
pub(super) struct Connection {
    client: bool,
    state: State,
    cipher: Option<Cipher>,
    pub(super) local: Local,
    remote: Remote,
    path: Path,
    /// The last address that was proved, while another is tried.
    former: Option<Path>,
    recovery: Recovery,
    congestion: Controller,
    pacer: Pacer,
    /// Nothing goes out before.
    paced_until: Option<Instant>,
    mtu: Mtu,
    received: Received,
    marking: Marking,
    send: SendStream,
    recv: RecvStream,
    outgoing: Queue,
    incoming: Queue,
    channels: Channels,
    owed: Owed,
    /// The last message of the handshake, until the peer has shown that it came.
    last_flight: Option<Box<opening::Flight>>,
    idle: Duration,
    last_received: Instant,
    /// When something was sent that the peer is to acknowledge, since something came.
    last_sent: Instant,
    keep_alive: Option<Duration>,
    why: Option<Ended>,
    /// The server is said not to know this session: until then it has time to show that it does.
    doubted: Option<Instant>,
    close_code: u64,
    close_reason: String,
    /// Its owner has left it.
    detached: Option<Instant>,
    blocked: bool,
    /// Which goes first next, where stream and messages wait.
    stream_first: bool,
    unacked_acks: u8,
    news: News,
    lost: u64,
    /// The largest message that the peer takes, and the largest datagram.
    peer: Params,
}

impl Connection {
    pub(super) fn new(
        now: Instant,
        config: &Config,
        opening: Opening,
        [local, remote]: [ConnectionId; 2],
        address: SocketAddr,
    ) -> Self {
        let client = opening.is_client();
        let congestion = match config.controller {
            ControllerKind::Cubic => Controller::Cubic(Cubic::new(mtu::BASE)),
            ControllerKind::NewReno => Controller::NewReno(NewReno::new(mtu::BASE)),
        };
        Self {
            client,
            state: State::Opening(Box::new(opening)),
            cipher: None,
            local: Local::new(local),
            remote: Remote::new(remote),
            path: Path::validated(address),
            former: None,
            recovery: Recovery::new(now),
            congestion,
            pacer: Pacer::new(now),
            paced_until: None,
            mtu: Mtu::new(config.max_datagram),
            received: Received::default(),
            marking: Marking::new(now, config.ecn),
            send: SendStream::new(0),
            recv: RecvStream::new(config.window),
            outgoing: Queue::default(),
            incoming: Queue::default(),
            channels: Channels::default(),
            owed: Owed::default(),
            last_flight: None,
            idle: config.idle,
            last_received: now,
            last_sent: now,
            keep_alive: config.keep_alive.filter(|_| client),
            why: None,
            doubted: None,
            close_code: 0,
            close_reason: String::new(),
            detached: None,
            blocked: false,
            stream_first: true,
            unacked_acks: 0,
            news: News::default(),
            lost: 0,
            peer: Params::default(),
        }
    }

    pub(super) const fn is_client(&self) -> bool {
        self.client
    }

    /// The id to which an open client's packets go.
    pub(super) fn server(&self) -> Option<ConnectionId> {
        (self.client && self.is_open()).then(|| self.remote.active())
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.path.address
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(super) const fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    /// Nobody needs it any more.
    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    pub(super) const fn is_detached(&self) -> bool {
        self.detached.is_some()
    }

    pub(super) const fn take_news(&mut self) -> News {
        core::mem::replace(
            &mut self.news,
            News { open: false, readable: false, writable: false, message: false, ended: false },
        )
    }

    #[cfg(feature = "noise")]
    pub(super) fn proved(&self) -> Option<&super::Proved> {
        self.cipher.as_ref()?.proved()
    }

    /// Why it is over.
    pub(super) const fn ended(&self) -> Option<&Ended> {
        self.why.as_ref()
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            rtt: self.recovery.rtt.is_measured().then(|| self.recovery.rtt.smoothed()),
            window: self.congestion.window(),
            in_flight: self.recovery.in_flight,
            datagram: self.mtu.current(),
            lost: self.lost,
            kept: self.send.kept() + self.outgoing.octets(),
            ecn: self.marking.is_capable(),
        }
    }

    /// How many octets of the stream can be read.
    pub(super) fn readable(&self) -> usize {
        self.recv.readable()
    }

    /// Reads of the stream. Nothing: there is nothing now; 0: it has ended.
    pub(super) fn read(&mut self, to: &mut [u8]) -> Option<Result<usize, Ended>> {
        let n = self.recv.read(to);
        if n > 0 {
            self.owed.window |= self.recv.grant_is_due();
            return Some(Ok(n));
        }
        if self.recv.is_ended() || to.is_empty() {
            return Some(Ok(0));
        }
        self.why.clone().map(Err)
    }

    /// Takes octets for the stream, as many as there is room for.
    pub(super) fn write(&mut self, octets: &[u8], config: &Config) -> Result<usize, Ended> {
        if let Some(why) = &self.why {
            return Err(why.clone());
        }
        if self.send.is_finished() {
            return Err(Ended::Local);
        }
        let room = config.send_buffer.saturating_sub(self.send.kept());
        let n = room.min(octets.len());
        self.blocked = n < octets.len();
        self.send.push(&octets[..n]);
        Ok(n)
    }

    pub(super) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn finish(&mut self) {
        self.send.finish();
    }

    /// The largest message that goes now, in octets.
    pub(super) fn max_message(&self) -> usize {
        let overhead = self.cipher.as_ref().map_or(0, Cipher::overhead);
        usize::from(self.mtu.current()).saturating_sub(send::HEAD + overhead + send::MESSAGE_HEAD)
    }

    /// Takes a message to send once. Returns how many were dropped for it, or nothing where it is too large.
    pub(super) fn send_message(
        &mut self,
        delivery: Delivery,
        message: &[u8],
        config: &Config,
    ) -> Option<u64> {
        if message.len() > self.max_message() || self.cipher.is_none() || self.why.is_some() {
            return None;
        }
        Some(self.outgoing.push(delivery, message, config.messages, config.message_octets))
    }

    pub(super) fn recv_message(&mut self, to: &mut Vec<u8>) -> Option<Delivery> {
        let (delivery, message) = self.incoming.front()?;
        to.clear();
        to.extend_from_slice(message);
        self.incoming.pop();
        Some(delivery)
    }

    /// Ends it now: the peer is told once, and again whenever it still sends.
    pub(super) fn close(&mut self, now: Instant, code: u64, reason: &str) {
        match self.state {
            State::Opening(_) => self.end(now, Ended::Local, true),
            State::Open => {
                (self.close_code, self.close_reason) = (code, clipped(reason));
                self.end(now, Ended::Local, false);
            }
            _ => {}
        }
    }

    /// It is over. `silent`: the peer is not told.
    fn end(&mut self, now: Instant, why: Ended, silent: bool) {
        if self.why.is_none() {
            self.why = Some(why);
            self.news.ended = true;
        }
        let until = now + self.recovery.rtt.probe_timeout() * 3;
        self.state = if silent || self.cipher.is_none() {
            State::Draining { until: if self.cipher.is_none() { now } else { until } }
        } else {
            State::Closing { until, owed: true, heard: 0 }
        };
        self.send = SendStream::new(0);
        self.outgoing = Queue::default();
        self.former = None;
    }

    /// Its owner reads and writes no more: what was written is brought away, then it ends.
    pub(super) fn detach(&mut self, now: Instant) {
        self.detached = Some(now + LINGER);
        self.send.finish();
        self.recv = RecvStream::new(0);
        self.incoming = Queue::default();
        if self.is_opening() {
            self.close(now, 0, "");
        }
        self.leave(now);
    }

    /// Ends what its owner has left, once nothing is to be sent any more.
    fn leave(&mut self, now: Instant) {
        let Some(until) = self.detached else { return };
        if self.is_open() && (self.send.is_done() || until <= now) {
            self.close(now, 0, "");
        }
    }

    /// The peer is to be reached from another address of this side: a client's network has changed.
    pub(super) fn change_local_address(&mut self, now: Instant, config: &Config) {
        if self.client && self.is_open() {
            self.remote.change();
            self.recovery.forget_path();
            self.marking.restart(now, config.ecn);
            self.owed.ping = true;
            self.owed.probes = self.owed.probes.max(1);
        }
    }
}

/// As much of a reason as a CLOSE takes.
fn clipped(reason: &str) -> String {
    let mut end = reason.len().min(super::frame::MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].into()
}
