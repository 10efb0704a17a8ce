//! A transport with two ends: octets on their way in two pipes, as they are or in TLS; or in datagrams.

mod tls;
mod udp;

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::endpoint::server::Secured;
use bowline_core::websocket::HEADROOM;

use crate::pipe::{Pipe, Quality};
use crate::rng::Rng;
pub(crate) use tls::Tls;
use udp::Udp;

/// What the lines of a world of sessions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// A stream of octets.
    #[default]
    Plain,
    /// WebSockets on it.
    WebSocket,
    /// The records of Noise on it.
    Noise,
    /// TLS on it, by `bowline-tls`. Its keys are the system's randomness, so that no octet of it is the same when a
    /// world is run again; how many there are and when they come is.
    Tls,
    /// Sessions in datagrams, secured by Noise, on a path that loses, repeats, delays and damages them, and
    /// between addresses that change.
    Udp,
}

impl Over {
    /// All of them.
    pub const ALL: [Over; 5] = [Over::Plain, Over::WebSocket, Over::Noise, Over::Tls, Over::Udp];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Over::Plain => "plain",
            Over::WebSocket => "websocket",
            Over::Noise => "noise",
            Over::Tls => "tls",
            Over::Udp => "udp",
        }
    }

    /// How much an end has to hold of what comes in, where a frame and its head are of so many octets.
    pub(crate) const fn holds(self, frame: usize) -> usize {
        match self {
            Over::Plain | Over::Tls | Over::Udp => frame,
            Over::WebSocket => frame + HEADROOM,
            // A whole record.
            Over::Noise => frame + (64 << 10) + 2,
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Over> {
        Self::ALL.into_iter().find(|over| over.name() == name)
    }
}

/// One of a line's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Server,
}

/// What a read has room for, at least.
const ROOM: usize = 4096;

/// What is between a peer and the server.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// To the server.
    up: Pipe,
    down: Pipe,
    pub(crate) quality: Quality,
    layer: Layer,
}

#[derive(Debug, Default)]
enum Layer {
    #[default]
    None,
    Tls(Box<[tls::Side; 2]>),
    Udp(Box<Udp>),
}

impl Pipes {
    /// Octets as they are.
    pub(crate) fn new(quality: Quality) -> Self {
        Self { up: Pipe::default(), down: Pipe::default(), quality, layer: Layer::None }
    }

    /// In TLS.
    pub(crate) fn tls(quality: Quality, tls: &Tls) -> Self {
        Self { layer: Layer::Tls(Box::new(tls.sides())), ..Self::new(quality) }
    }

    /// In datagrams.
    pub(crate) fn udp(quality: Quality, now: u64, rng: &mut Rng) -> Self {
        Self { layer: Layer::Udp(Box::new(Udp::new(&quality, now, rng))), ..Self::new(quality) }
    }

    /// What an end writes to, and what it reads from.
    const fn pipes(&mut self, end: End) -> (&mut Pipe, &mut Pipe) {
        match end {
            End::Client => (&mut self.up, &mut self.down),
            End::Server => (&mut self.down, &mut self.up),
        }
    }

    /// Moves what has arrived at an end into `into`, about `room` octets at most.
    pub(crate) fn read(&mut self, end: End, now: u64, room: usize, into: &mut GrowingRecvBuf) -> usize {
        let Self { up, down, layer, .. } = self;
        let from = if end == End::Client { down } else { up };
        match layer {
            Layer::None => from.read(now, room, into),
            Layer::Tls(sides) => sides[end as usize].read(now, room, from, into),
            Layer::Udp(udp) => udp.read(end, now, room, into),
        }
    }

    /// Takes what fits of an end's output. Says how much that was, and whether the other end hears of it.
    pub(crate) fn write(
        &mut self,
        end: End,
        now: u64,
        rng: &mut Rng,
        out: &mut SharedSendBuf,
    ) -> (usize, bool) {
        let Self { up, down, layer, quality } = self;
        let to = if end == End::Client { up } else { down };
        match layer {
            Layer::None if out.is_empty() => (0, false),
            Layer::None => {
                let n = to.write(now, quality, rng, out);
                (n, n > 0)
            }
            Layer::Tls(sides) => sides[end as usize].write(now, quality, rng, to, out),
            Layer::Udp(udp) => udp.write(end, now, out),
        }
    }

    /// Whether an end has written all that it was given.
    pub(crate) fn is_flushed(&self, end: End) -> bool {
        match &self.layer {
            Layer::Tls(sides) => sides[end as usize].is_flushed(),
            Layer::None | Layer::Udp(_) => true,
        }
    }

    /// Whether all was read at an end, and the other one has ended.
    pub(crate) fn is_ended(&self, end: End, now: u64) -> bool {
        let from = if end == End::Client { &self.down } else { &self.up };
        match &self.layer {
            Layer::None => from.is_ended(now),
            Layer::Tls(sides) => sides[end as usize].is_over(),
            Layer::Udp(udp) => udp.is_over(end),
        }
    }

    /// When there is something to read at an end, or the end.
    pub(crate) fn next_arrival(&self, end: End) -> u64 {
        let from = if end == End::Client { &self.down } else { &self.up };
        match &self.layer {
            Layer::Tls(sides) if sides[end as usize].has_more() => 0,
            Layer::None | Layer::Tls(_) => from.next_arrival(),
            Layer::Udp(udp) => udp.next(),
        }
    }

    /// When it wants a turn, whether or not an end reads.
    pub(crate) fn next_turn(&self) -> u64 {
        match &self.layer {
            Layer::None | Layer::Tls(_) => u64::MAX,
            Layer::Udp(udp) => udp.next(),
        }
    }

    /// Whether the other end waits for room that this one has made.
    pub(crate) fn take_freed(&mut self, end: End) -> bool {
        self.pipes(end).1.take_full()
    }

    /// An end ends its direction.
    pub(crate) fn finish(&mut self, end: End, now: u64, rng: &mut Rng) {
        let Self { up, down, layer, quality } = self;
        let to = if end == End::Client { up } else { down };
        match layer {
            Layer::None => to.end(now, quality),
            Layer::Tls(sides) => sides[end as usize].finish(now, quality, rng, to),
            Layer::Udp(udp) => udp.finish(end, now),
        }
    }

    /// An end is gone: the other learns of it.
    pub(crate) fn drop_end(&mut self, end: End, now: u64, rng: &mut Rng) {
        self.finish(end, now, rng);
        if let Layer::Udp(udp) = &mut self.layer {
            udp.release(end, now);
        }
    }

    /// A reset: what is on its way is lost, and the other end learns of it as of an end.
    pub(crate) fn abort(&mut self, end: End, now: u64) {
        if let Layer::Udp(udp) = &mut self.layer {
            return udp.abort(end, now);
        }
        let quality = self.quality;
        let to = self.pipes(end).0;
        *to = Pipe::default();
        to.end(now, &quality);
    }

    /// What this end writes is lost from now on, and what was on its way.
    pub(crate) fn kill(&mut self, end: End) {
        self.pipes(end).0.kill();
        if let Layer::Udp(udp) = &mut self.layer {
            udp.kill(end);
        }
    }

    pub(crate) fn kill_both(&mut self) {
        self.kill(End::Client);
        self.kill(End::Server);
    }

    /// Whether nothing that the server says arrives any more.
    pub(crate) const fn is_dead(&self) -> bool {
        self.down.is_dead()
    }

    pub(crate) const fn is_stalled(&self, now: u64) -> bool {
        self.down.is_stalled(now)
    }

    /// Nothing of what this end writes arrives before.
    pub(crate) fn stall(&mut self, end: End, until: u64) {
        self.pipes(end).0.stall(until);
        if let Layer::Udp(udp) = &mut self.layer {
            udp.stall(end);
        }
    }

    /// It is narrow from now on.
    pub(crate) fn slow(&mut self, per_octet: u64, capacity: usize) {
        (self.quality.per_octet, self.quality.capacity) = (per_octet, self.quality.capacity.min(capacity));
        if let Layer::Udp(udp) = &mut self.layer {
            udp.slow(per_octet);
        }
    }

    /// All of that ends; a dead one stays dead.
    pub(crate) fn heal(&mut self, line: &Quality) {
        self.up.heal();
        self.down.heal();
        (self.quality.per_octet, self.quality.capacity) = (line.per_octet, line.capacity);
        if let Layer::Udp(udp) = &mut self.layer {
            udp.heal();
        }
    }

    /// The peer's address changes, where it has one. Says whether it has.
    pub(crate) fn rebind(&mut self) -> bool {
        match &mut self.layer {
            Layer::Udp(udp) => {
                udp.rebind();
                true
            }
            Layer::None | Layer::Tls(_) => false,
        }
    }

    /// Flips a bit of something that an end has written; false where there is nothing.
    pub(crate) fn corrupt(&mut self, end: End, rng: &mut Rng) -> bool {
        self.pipes(end).0.corrupt(rng)
    }

    /// What the server knows of its peer by what is below, once.
    pub(crate) fn secured(&mut self) -> Option<Secured> {
        match &mut self.layer {
            Layer::Tls(sides) => sides[End::Server as usize].secured(),
            Layer::None | Layer::Udp(_) => None,
        }
    }
}
