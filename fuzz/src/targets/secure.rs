//! The secure mode: two sides and the line between them, which somebody else may have a hand on. What arrives is
//! what was sent, from its beginning on; and all of it, where nobody had.

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::entropy::Seeded;
use bowline_core::replay::ReplayWindow;
use bowline_core::secure::{
    DATAGRAM_EPOCH, DatagramCipher, Handshake, Keys, Opening, Pattern, Records, Rekey, Role, SecretKey,
    ServerKeys, SharedKey, Step,
};
use bowline_core::time::Instant;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    /// One side says so much.
    Say { client: bool, octets: u16 },
    /// So many octets pass in one direction.
    Pass { to_server: bool, octets: u16 },
    /// Time passes, in milliseconds.
    Wait(u16),
    /// An octet that is on its way is changed.
    Change { to_server: bool, at: u16, with: u8 },
    /// Octets are put in front of what is on its way.
    Insert { to_server: bool, octets: &'a [u8] },
    /// What passed in one direction passes again, or in the other.
    Replay { to_server: bool, reflected: bool, from: u16, octets: u16 },
    /// Octets that are on their way are lost.
    Lose { to_server: bool, octets: u16 },
}

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    pattern: u8,
    rekey: u16,
    ops: Vec<Op<'a>>,
    /// Datagrams: number, how it is delivered.
    datagrams: Vec<(u32, u8)>,
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_octets([n; 32])
}

enum Layer {
    Opening(Opening),
    Open(Records),
    Failed,
}

struct Side {
    layer: Layer,
    keys: Option<ServerKeys>,
    rekey: Rekey,
    entropy: Seeded,
    received: GrowingRecvBuf,
    out: SharedSendBuf,
    /// Said before it was open.
    waiting: Vec<u8>,
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Side {
    fn new(layer: Opening, keys: Option<ServerKeys>, rekey: Rekey, seed: u64) -> Self {
        Self {
            layer: Layer::Opening(layer),
            keys,
            rekey,
            entropy: Seeded::new(seed),
            received: GrowingRecvBuf::new(1 << 20),
            out: SharedSendBuf::new(1 << 22),
            waiting: Vec::new(),
            said: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn turn(&mut self, now: Instant) {
        if let Layer::Opening(opening) = &mut self.layer {
            loop {
                match opening.recv(&mut self.received, self.keys.as_ref(), &mut self.entropy) {
                    Ok(Step::Judge(_)) => opening.trust(),
                    Ok(Step::Wait) => {
                        opening.poll_transmit(&mut self.out);
                        return;
                    }
                    Ok(Step::Done(opened)) => {
                        self.layer = Layer::Open(Records::new(opened, self.rekey));
                        break;
                    }
                    Err(_) => {
                        self.layer = Layer::Failed;
                        return;
                    }
                }
            }
        }
        let Layer::Open(records) = &mut self.layer else { return };
        let waiting = std::mem::take(&mut self.waiting);
        records.seal(now, &mut self.out, |sealing| {
            if !waiting.is_empty() {
                sealing.put(&waiting);
            }
        });
        loop {
            let any = records.recv(&mut self.received);
            self.heard.extend_from_slice(records.opened().take(usize::MAX));
            match any {
                Ok(true) => {}
                Ok(false) => return records.rest(),
                Err(_) => {
                    self.layer = Layer::Failed;
                    return;
                }
            }
        }
    }

    fn say(&mut self, octets: usize) {
        let from = self.said.len();
        let text: Vec<u8> = (from..from + octets).map(|n| (n * 7 + n / 251) as u8).collect();
        self.said.extend_from_slice(&text);
        self.waiting.extend(text);
    }
}

/// What is on its way, and what was.
#[derive(Default)]
struct Way {
    octets: Vec<u8>,
    passed: Vec<u8>,
}

/// Two sides of a stream.
fn stream(plan: &Plan<'_>) {
    let pattern = Pattern::ALL[usize::from(plan.pattern) % 3];
    let (own, shared) = (key(1), SharedKey::from_octets([3; 32]));
    let keys = match pattern {
        Pattern::Xx => Keys::Xx { own: &own },
        Pattern::Ik => Keys::Ik { own: &own, remote: Some(key(2).public()) },
        _ => Keys::NnPsk0 { shared: &shared },
    };
    let mut offered = ServerKeys::default();
    offered.own = Some(key(2));
    offered.add_shared(shared.clone());
    let rekey = Rekey { octets: u64::from(plan.rekey), every: Duration::from_millis(1000) };
    let opening = Opening::connect(&keys, &mut Seeded::new(1)).expect("the keys are there");
    let mut sides =
        [Side::new(opening, None, rekey, 5), Side::new(Opening::accept(), Some(offered), rekey, 6)];
    let mut ways = [Way::default(), Way::default()];
    let (mut now, mut touched) = (Instant::ZERO, false);
    for op in plan.ops.iter().take(200) {
        match op {
            Op::Say { client, octets } => sides[usize::from(!client)].say(usize::from(*octets % 2000)),
            Op::Wait(ms) => now = now + Duration::from_millis(u64::from(*ms)),
            Op::Pass { to_server, octets } => {
                pass(&mut ways[usize::from(!to_server)], &mut sides, usize::from(*to_server), *octets);
            }
            Op::Change { to_server, at, with } => {
                if let Some(octet) = ways[usize::from(!to_server)].octets.get_mut(usize::from(*at)) {
                    (*octet, touched) = (*octet ^ with, touched | (*with != 0));
                }
            }
            Op::Insert { to_server, octets } => {
                touched |= !octets.is_empty();
                ways[usize::from(!to_server)].octets.splice(0..0, octets.iter().copied());
            }
            Op::Replay { to_server, reflected, from, octets } => {
                let source = &ways[usize::from(to_server == reflected)].passed;
                let from = usize::from(*from).min(source.len());
                let again = source[from..(from + usize::from(*octets)).min(source.len())].to_vec();
                touched |= !again.is_empty();
                ways[usize::from(!to_server)].octets.splice(0..0, again);
            }
            Op::Lose { to_server, octets } => {
                let way = &mut ways[usize::from(!to_server)];
                let n = usize::from(*octets).min(way.octets.len());
                touched |= n > 0;
                way.octets.drain(..n);
            }
        }
        turn(&mut sides, &mut ways, now);
    }
    // All the rest passes.
    for _ in 0..8 {
        pass(&mut ways[0], &mut sides, 1, u16::MAX);
        pass(&mut ways[1], &mut sides, 0, u16::MAX);
        turn(&mut sides, &mut ways, now);
        while ways.iter().any(|way| !way.octets.is_empty()) {
            pass(&mut ways[0], &mut sides, 1, u16::MAX);
            pass(&mut ways[1], &mut sides, 0, u16::MAX);
            turn(&mut sides, &mut ways, now);
        }
    }
    let [client, server] = &sides;
    for (from, to) in [(client, server), (server, client)] {
        assert!(from.said.starts_with(&to.heard), "what arrives is what was sent");
        assert!(touched || from.said == to.heard, "and all of it");
    }
}

fn pass(way: &mut Way, sides: &mut [Side; 2], to: usize, octets: u16) {
    let n = usize::from(octets).min(way.octets.len());
    let n = sides[to].received.push(&way.octets[..n]);
    way.passed.extend(way.octets.drain(..n));
    if matches!(sides[to].layer, Layer::Failed) {
        // It reads no more.
        sides[to].received.take(usize::MAX);
    }
}

fn turn(sides: &mut [Side; 2], ways: &mut [Way; 2], now: Instant) {
    for (side, way) in sides.iter_mut().zip(ways) {
        side.turn(now);
        let octets: Vec<u8> = side.out.slices().flatten().copied().collect();
        side.out.sent(octets.len());
        way.octets.extend(octets);
    }
}

fn ciphers() -> (DatagramCipher, DatagramCipher) {
    let shared = SharedKey::from_octets([3; 32]);
    let keys = Keys::NnPsk0 { shared: &shared };
    let side = |role, seed| Handshake::new(role, b"", &keys, &mut Seeded::new(seed)).expect("keys are there");
    let (mut a, mut b) = (side(Role::Initiator, 1), side(Role::Responder, 2));
    let (mut one, mut two) = ([0; 256], [0; 256]);
    let n = a.write(&[], &mut one).expect("its turn");
    b.read(&one[..n], &mut two).expect("genuine");
    let n = b.write(&[], &mut one).expect("its turn");
    a.read(&one[..n], &mut two).expect("genuine");
    (a.into_datagram().expect("done"), b.into_datagram().expect("done"))
}

/// Datagrams that are lost, doubled, moved and changed: each is taken at most once, and none that is not genuine.
fn datagrams(plan: &Plan<'_>) {
    let (mut a, mut b) = ciphers();
    let mut window: ReplayWindow = ReplayWindow::new();
    let (mut kept, mut taken): (Vec<(u64, Vec<u8>)>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (step, how) in plan.datagrams.iter().take(100) {
        let number = next + u64::from(*step) % DATAGRAM_EPOCH;
        let mut sealed = vec![0; 24];
        if a.seal(number, &number.to_be_bytes(), &mut sealed) == Ok(24) {
            next = number + 1;
            kept.push((number, sealed));
        }
        let Some((number, sealed)) = kept.get(usize::from(*how) % kept.len().max(1)) else { continue };
        let (mut sealed, mut out) = (sealed.clone(), [0; 24]);
        let changed = how & 0x80 != 0;
        sealed[usize::from(*how) % 24] ^= u8::from(changed);
        if window.is_new(*number)
            && let Ok(n) = b.open(*number, &sealed, &mut out)
        {
            assert!(!changed && out[..n] == number.to_be_bytes());
            assert!(window.accept(*number) && !taken.contains(number), "once");
            taken.push(*number);
        }
    }
}

/// Runs a plan.
pub fn secure(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    stream(&plan);
    datagrams(&plan);
}
