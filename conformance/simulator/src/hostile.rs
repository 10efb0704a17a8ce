//! Peers that keep to nothing.

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf, SliceSendBuf};
use bowline_core::session::{Auth, Config, Connect, Counts, PREFACE, Resume, ResumeKey, Session, SessionId};
use bowline_core::time::Instant;

use crate::client_side::wake_server_of;
use crate::pipes::End;
use crate::rng::Rng;
use crate::trace::say;
use crate::world::{MILLI, Owner, Phase, SECOND, Side, World};

/// How a peer misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Connects, and says nothing.
    Silent,
    /// Random octets, with or without the preface.
    Garbage,
    /// Half of a HELLO.
    Half,
    /// A HELLO, one octet a second.
    Drip,
    /// Opens a session, then pings without end, and reads the answers.
    Flood,
    /// The same, and reads nothing.
    DeafFlood,
    /// Subscribes to everything, and reads nothing.
    Deaf,
    /// Acknowledges what was never sent.
    BadAck,
    /// Resumes somebody's session with a wrong key.
    Forger,
    /// Resumes its own session, and has received what was never sent.
    Liar,
    /// Sends more than it may.
    Overrun,
    /// Announces a frame of many gigabytes.
    Oversize,
    /// A good frame in which bits are wrong.
    Bits,
    /// Opens and drops connections all the time.
    Door,
}

const KINDS: [Kind; 14] = [
    Kind::Silent,
    Kind::Garbage,
    Kind::Half,
    Kind::Drip,
    Kind::Flood,
    Kind::DeafFlood,
    Kind::Deaf,
    Kind::BadAck,
    Kind::Forger,
    Kind::Liar,
    Kind::Overrun,
    Kind::Oversize,
    Kind::Bits,
    Kind::Door,
];

impl Kind {
    /// Whether the server must close its connection by itself, soon.
    const fn must_end(self) -> bool {
        !matches!(self, Kind::Flood | Kind::Garbage | Kind::Bits | Kind::Deaf | Kind::DeafFlood | Kind::Door)
    }
}

/// A hostile peer.
pub(crate) struct Hostile {
    kind: Kind,
    pub(crate) link: Option<u32>,
    pub(crate) wake: u64,
    /// How far it is on this connection.
    stage: u32,
    waiting: Vec<u8>,
    session: Option<(SessionId, ResumeKey)>,
    speaks: Option<Session>,
    /// WELCOME has come on this connection. What its session makes of the rest is of no interest.
    open: bool,
}

impl Hostile {
    pub(crate) fn new(rng: &mut Rng) -> Hostile {
        Hostile {
            kind: rng.pick(&KINDS),
            link: None,
            wake: u64::MAX,
            stage: 0,
            waiting: Vec::new(),
            session: None,
            speaks: None,
            open: false,
        }
    }
}

fn frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut f = vec![kind << 2 | flags];
    let mut n = body.len();
    while n > 127 {
        f.push(n as u8 | 0x80);
        n >>= 7;
    }
    f.push(n as u8);
    f.extend_from_slice(body);
    f
}

fn publish(payload: usize) -> Vec<u8> {
    let mut body = b"\x07$evil/x".to_vec();
    body.resize(body.len() + payload, b'!');
    frame(10, 1, &body)
}

impl World {
    pub(crate) fn pump_hostile(&mut self, h: u32) {
        if self.hostiles[h as usize].link.is_none() {
            if self.phase != Phase::Work {
                return;
            }
            let side = Side::new(64 << 10, 64 << 10);
            let link = self.connect(Owner::Hostile(h), side);
            let hostile = &mut self.hostiles[h as usize];
            (hostile.link, hostile.stage, hostile.speaks) = (link, 0, None);
            hostile.waiting.clear();
            hostile.open = false;
            say!(self, "hostile {h} ({:?}) has line {link:?}", self.hostiles[h as usize].kind);
            let later = self.now + SECOND;
            if link.is_none() {
                return self.wake_owner(Owner::Hostile(h), later);
            }
        }
        let Some(l) = self.hostiles[h as usize].link else { return };
        let Some(mut link) = self.links[l as usize].take() else { return };
        let leaves = self.misbehave(h, &mut link);
        if leaves {
            link.client = None;
            self.hostiles[h as usize].link = None;
            link.pipes.drop_end(End::Client, self.now, &mut self.rng);
            let arrival = link.pipes.next_arrival(End::Server).max(self.now);
            if let Some(side) = &mut link.server
                && arrival < side.wake
            {
                side.wake = arrival;
                self.at(arrival, crate::world::Wake::Server(l));
            }
            let again = self.now + self.rng.range(100, 3000) * MILLI;
            self.wake_owner(Owner::Hostile(h), again);
        }
        let both_gone = link.server.is_none() && link.client.is_none();
        self.links[l as usize] = if both_gone { None } else { Some(link) };
    }

    /// Says whether it drops its line.
    fn misbehave(&mut self, h: u32, link: &mut crate::world::Link) -> bool {
        let now = self.now;
        let Some(side) = &mut link.client else { return true };
        let pipes = &mut link.pipes;
        let hostile = &mut self.hostiles[h as usize];
        let deaf = matches!(hostile.kind, Kind::Deaf | Kind::DeafFlood) && hostile.stage > 1;
        if !deaf {
            let read = pipes.read(End::Client, now, 64 << 10, &mut side.recv);
            if pipes.is_ended(End::Client, now) {
                return true;
            }
            if read > 0 {
                hostile.listen(Instant::from_nanos(now), &mut side.recv);
                if hostile.speaks.as_ref().is_none_or(Session::is_ended) {
                    let n = side.recv.filled().len();
                    side.recv.take(n);
                }
            }
        }
        if self.phase != Phase::Work {
            return true;
        }
        let next = self.speak(h);
        let hostile = &mut self.hostiles[h as usize];
        let n = hostile.waiting.len().min(64 << 10);
        let Some(side) = &mut link.client else { return true };
        let room = bowline_core::buf::SendBuf::room(&side.out);
        let n = n.min(room);
        bowline_core::buf::SendBuf::put(&mut side.out, &hostile.waiting[..n]);
        hostile.waiting.drain(..n);
        let (written, sent) = link.pipes.write(End::Client, now, &mut self.rng, &mut side.out);
        self.trace.mix(20, u64::from(h), written as u64 ^ now << 20);
        if sent {
            let arrival = link.pipes.next_arrival(End::Server);
            wake_server_of(self, link, arrival);
        }
        if link.pipes.take_freed(End::Client) {
            wake_server_of(self, link, now + MILLI);
        }
        let read = if deaf { u64::MAX } else { link.pipes.next_arrival(End::Client) };
        let arrival = read.min(link.pipes.next_turn());
        let Some(next) = next else { return true };
        self.wake_owner(Owner::Hostile(h), next.min(arrival));
        false
    }

    /// Says more, and when it will say something again; nothing where it goes away.
    fn speak(&mut self, h: u32) -> Option<u64> {
        let victim = self.rng.below(self.players.len() as u64) as usize;
        let victim = self.players[victim].session;
        let now = self.now;
        let at = self.instant();
        let hostile = &mut self.hostiles[h as usize];
        let rng = &mut self.rng;
        let stage = hostile.stage;
        hostile.stage += 1;
        if stage == 0 {
            hostile.begin(at, rng, victim);
            return Some(now + 500 * MILLI);
        }
        let open = hostile.open;
        if !open && stage == 1 && !matches!(hostile.kind, Kind::Drip | Kind::Door) {
            // It waits for its WELCOME.
            hostile.stage = 1;
            return Some(now + SECOND);
        }
        match hostile.kind {
            Kind::Drip => {
                // What is left of the HELLO comes back one by one.
                Some(now + SECOND)
            }
            Kind::Flood | Kind::DeafFlood if open => {
                for i in 0..rng.range(1, 100) {
                    let ping = frame(5, 0, &i.to_be_bytes());
                    if hostile.waiting.len() < 64 << 10 {
                        hostile.waiting.extend(ping);
                    }
                }
                Some(now + 20 * MILLI)
            }
            Kind::Overrun if open => {
                for _ in 0..200 {
                    if hostile.waiting.len() < 256 << 10 {
                        hostile.waiting.extend(publish(rng.below(4000) as usize));
                    }
                }
                // An acknowledged sender could go on for ever; this one is wrong in the end.
                if stage > 3 {
                    hostile.waiting.extend(frame(7, 0, &[99]));
                }
                Some(now + 100 * MILLI)
            }
            Kind::Liar if open && stage < 4 => {
                // Breaks off, and comes back with a lie.
                (stage == 1).then_some(now + 500 * MILLI)
            }
            _ if open && stage == 1 => {
                hostile.once(rng);
                Some(now + 5 * SECOND)
            }
            Kind::Door if stage > 1 => None,
            _ => Some(now + 5 * SECOND),
        }
    }

    /// Checks that the server has got rid of those whom it must not keep.
    pub(crate) fn check_hostiles(&mut self) {
        let now = self.now;
        let kept = self.links.iter().flatten().find(|link| {
            let Owner::Hostile(h) = link.owner else { return false };
            let hostile = &self.hostiles[h as usize];
            // Handshake, closing, and the time for a peer that takes nothing; all as by default.
            let bound = 25 * SECOND;
            let mine = hostile
                .link
                .is_some_and(|l| self.links[l as usize].as_ref().is_some_and(|k| k.key == link.key));
            mine && hostile.kind.must_end()
                && link.server.is_some()
                && now > link.since.max(self.disturbed) + bound
        });
        if let Some(link) = kept {
            let Owner::Hostile(h) = link.owner else { return };
            let (kind, since) = (self.hostiles[h as usize].kind, link.since);
            self.fail(format!("hostile {h} ({kind:?}) is kept for {} ms", (now - since) / MILLI));
        }
    }
}

impl Hostile {
    /// The first words on a connection.
    fn begin(&mut self, at: Instant, rng: &mut Rng, victim: Option<SessionId>) {
        let mut resume = None;
        if let (Kind::Forger, Some(session)) = (self.kind, victim) {
            let mut key = [0; 16];
            key.copy_from_slice(&rng.bytes(16));
            resume = Some(Resume { session, key: ResumeKey(key), counts: Counts::default() });
        }
        if let (Kind::Liar, Some((session, key))) = (self.kind, self.session) {
            let counts = Counts { received: rng.range(1, 1 << 40), ..Counts::default() };
            resume = Some(Resume { session, key, counts });
        }
        let mut memory = [0; 1024];
        let mut hello = SliceSendBuf::new(&mut memory);
        let auth = if rng.chance(200) { Auth::Token(b"not a token") } else { Auth::None };
        let expiry = std::time::Duration::from_secs(if self.kind == Kind::Liar { 5 } else { 0 });
        let connect = Connect { auth, resume, expiry, name: "hostile" };
        self.speaks = Session::connect(at, &Config::default(), &connect, &mut hello).ok();
        let hello = hello.pending().to_vec();
        match self.kind {
            Kind::Silent => {}
            Kind::Garbage => {
                if rng.chance(500) {
                    self.waiting.extend(PREFACE);
                }
                let n = rng.range(1, 3000) as usize;
                self.waiting.extend(rng.bytes(n));
            }
            Kind::Half => {
                let n = rng.range(1, hello.len() as u64 - 1) as usize;
                self.waiting.extend(&hello[..n]);
            }
            Kind::Drip => self.waiting.extend(&hello[..3]),
            _ => self.waiting.extend(hello),
        }
    }

    /// What it says once its session is open.
    fn once(&mut self, rng: &mut Rng) {
        match self.kind {
            Kind::Deaf => {
                let mut body = vec![1, 1, b'#'];
                body.extend([1, 1, 1]);
                self.waiting.extend(frame(12, 0, &body));
            }
            Kind::BadAck => self.waiting.extend(frame(7, 0, &[99])),
            Kind::Oversize => self.waiting.extend([10 << 2, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Kind::Bits => {
                for _ in 0..20 {
                    let mut f = publish(rng.below(100) as usize);
                    let at = rng.below(f.len() as u64) as usize;
                    f[at] ^= 1 << rng.below(8);
                    // What it publishes must not look like an honest topic.
                    self.waiting.extend(if f.windows(5).any(|w| w == b"$evil") { f } else { publish(3) });
                }
            }
            Kind::Forger | Kind::Silent | Kind::Half | Kind::Drip => self.waiting.extend(frame(7, 0, &[99])),
            _ => {}
        }
    }

    fn listen(&mut self, at: Instant, buf: &mut GrowingRecvBuf) {
        let Some(session) = &mut self.speaks else { return };
        while let Some(event) = session.recv(at, buf) {
            if let bowline_core::session::Event::Welcome(w) = &event {
                self.session = w.session;
                self.open = true;
            }
        }
        let mut nothing = SharedSendBuf::new(0);
        let _ = session.poll_transmit(at, &mut nothing);
    }
}
