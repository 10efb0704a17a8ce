//! Two ends of one connection, in memory.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Piece, TunnelState, Tunnels, TunnelsConfig};
use crate::buf::{RecvBuf, SliceRecvBuf, SliceSendBuf};
use crate::session::{
    Config, Connect, Event, Fault, Features, Kind, ResetCode, Session, TunnelFrame, Welcome,
};
use crate::status::Status;
use crate::time::Instant;

const NOW: Instant = Instant::from_millis(1);

/// One end: its session, its tunnels, what it has to say that was not delivered.
struct End {
    session: Option<Session>,
    tunnels: Tunnels,
    line: Vec<u8>,
    received: Vec<u8>,
    /// Why it closed the session.
    fault: Option<Fault>,
}

impl End {
    fn new(session: Option<Session>, window: u32) -> Self {
        let tunnels = Tunnels::new(TunnelsConfig { window, ..TunnelsConfig::default() });
        Self { session, tunnels, line: Vec::new(), received: Vec::new(), fault: None }
    }

    /// Takes in `n` octets that came.
    fn hear(&mut self, octets: &[u8]) {
        self.received.extend_from_slice(octets);
        let mut memory = vec![0; self.received.len() + 8192];
        let mut buf = SliceRecvBuf::new(&mut memory);
        buf.push(&self.received);
        let mut reply = vec![0; 4096];
        let mut out = SliceSendBuf::new(&mut reply);
        let session = self.session.as_mut().unwrap();
        while let Some(event) = session.recv(NOW, &mut buf) {
            match event {
                Event::Hello(_) => session.welcome(NOW, &mut out, &Welcome::default(), None).unwrap(),
                Event::Tunnel(frame) => match self.tunnels.receive(&frame) {
                    Ok(Some(id)) => self.tunnels.accept(id),
                    Ok(None) => {}
                    Err(fault) => {
                        self.fault = Some(fault);
                        let _ = session.close_with_fault(NOW, fault);
                    }
                },
                Event::Result(o) if o.kind == Some(Kind::Tunnel) => {
                    self.tunnels.answered(o.id, o.status, o.reason);
                }
                Event::Closed(closed) => panic!("{closed:?}"),
                _ => {}
            }
        }
        self.received = buf.filled().to_vec();
        self.line.extend_from_slice(out.pending());
    }

    /// Says what it has to say, with so much room.
    fn speak(&mut self, room: usize) {
        let mut memory = vec![0; room];
        let mut out = SliceSendBuf::new(&mut memory);
        let session = self.session.as_mut().unwrap();
        let _ = session.poll_transmit(NOW, &mut out);
        let blocked = self.tunnels.transmit(NOW, session, &mut out);
        assert!(blocked || !session.is_open() || !self.tunnels.has_output());
        self.line.extend_from_slice(out.pending());
    }
}

struct Pair {
    ends: [End; 2],
}

impl Pair {
    /// A client and a server, with these windows, whose session is open.
    fn new(windows: [u32; 2]) -> Self {
        let mut config = Config { features: Features::RELAY, ..Config::default() };
        config.limits.max_frame = 4096;
        let mut memory = [0; 256];
        let mut out = SliceSendBuf::new(&mut memory);
        let client = Session::connect(NOW, &config, &Connect::default(), &mut out).unwrap();
        let mut client = End::new(Some(client), windows[0]);
        client.line = out.pending().to_vec();
        let mut pair = Self { ends: [client, End::new(Some(Session::accept(NOW, &config)), windows[1])] };
        pair.settle();
        assert!(pair.ends.iter().all(|end| end.session.as_ref().unwrap().is_open()));
        pair
    }

    /// Carries so many octets to one end.
    fn carry(&mut self, to: usize, most: usize) {
        let line = &mut self.ends[1 - to].line;
        let octets: Vec<u8> = line.drain(..most.min(line.len())).collect();
        self.ends[to].hear(&octets);
    }

    /// Carries all there is, both ways.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            for end in 0..2 {
                self.ends[end].speak(65_536);
                self.carry(1 - end, usize::MAX);
            }
            if self.ends.iter().all(|end| end.line.is_empty() && !end.tunnels.has_output()) {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn tunnels(&mut self, end: usize) -> &mut Tunnels {
        &mut self.ends[end].tunnels
    }
}

/// Reads all that waits, and makes room for more.
fn take(tunnels: &mut Tunnels, id: u64) -> Vec<u8> {
    let Piece::Octets(octets) = tunnels.read(id) else { return Vec::new() };
    tunnels.consumed(id, octets.len() as u64);
    octets.to_vec()
}

#[test]
fn tun_3_a_tunnel_is_answered_and_carries_both_ways() {
    let mut pair = Pair::new([1000, 1000]);
    assert!(pair.tunnels(0).open(1, "a:1"));
    pair.settle();
    assert_eq!(pair.tunnels(0).state(1), Some(&TunnelState::Open));
    assert_eq!(pair.tunnels(0).write(1, b"ping"), 4);
    assert_eq!(pair.tunnels(1).write(1, b"hello"), 5);
    pair.settle();
    assert_eq!(take(pair.tunnels(0), 1), b"hello");
    assert_eq!(take(pair.tunnels(1), 1), b"ping");
}

#[test]
fn tun_8_a_direction_that_has_ended_leaves_the_other() {
    let mut pair = Pair::new([1000, 1000]);
    pair.tunnels(0).open(1, "a:1");
    pair.settle();
    pair.tunnels(0).write(1, b"question");
    pair.tunnels(0).finish(1);
    pair.settle();
    assert_eq!(take(pair.tunnels(1), 1), b"question");
    assert_eq!(pair.tunnels(1).read(1), Piece::End);
    assert_eq!(pair.tunnels(0).write(1, b"more"), 0, "it has ended");
    pair.tunnels(1).write(1, b"answer");
    pair.settle();
    assert_eq!(take(pair.tunnels(0), 1), b"answer");
    assert_eq!(pair.tunnels(0).read(1), Piece::Nothing, "this direction has not ended");
    pair.tunnels(1).finish(1);
    pair.settle();
    assert_eq!(pair.tunnels(0).read(1), Piece::End);
    // It is over, whether or not its reader has let go of it: what still comes is ignored (TUN-9).
    let late = TunnelFrame::Data { id: 1, end: false, payload: b"late" };
    assert_eq!(pair.tunnels(1).receive(&late), Ok(None));
    assert_eq!(pair.tunnels(1).read(1), Piece::End);
    pair.tunnels(0).release(1);
    pair.tunnels(1).release(1);
    assert!(pair.ends.iter().all(|end| end.tunnels.is_empty()));
}

#[test]
fn tun_9_a_reset_is_no_end_and_what_crosses_it_is_dropped() {
    let mut pair = Pair::new([1000, 1000]);
    for id in [1, 2] {
        pair.tunnels(0).open(id, "a:1");
    }
    pair.settle();
    pair.tunnels(0).write(1, b"crosses");
    pair.ends[0].speak(4096);
    pair.tunnels(1).reset(1, ResetCode::Broken);
    pair.settle();
    assert_eq!(pair.tunnels(0).state(1), Some(&TunnelState::Reset(ResetCode::Broken)));
    assert_eq!(pair.tunnels(0).read(1), Piece::Nothing);
    assert_eq!(pair.tunnels(1).state(1), None);
    assert_eq!(pair.tunnels(0).state(2), Some(&TunnelState::Open), "the other goes on");
    pair.tunnels(0).release(1);
    assert_eq!(pair.tunnels(0).len(), 1);
}

#[test]
fn tun_10_a_released_tunnel_sends_its_rest_and_takes_no_more() {
    let mut pair = Pair::new([1000, 1000]);
    pair.tunnels(0).open(1, "a:1");
    pair.settle();
    pair.tunnels(0).write(1, b"last words");
    pair.tunnels(0).release(1);
    pair.settle();
    assert_eq!(take(pair.tunnels(1), 1), b"last words");
    assert_eq!(pair.tunnels(1).read(1), Piece::End);
    assert_eq!(pair.tunnels(1).state(1), Some(&TunnelState::Open));
    pair.tunnels(1).write(1, b"nobody listens");
    pair.settle();
    assert_eq!(pair.tunnels(1).state(1), Some(&TunnelState::Reset(ResetCode::Cancelled)));
    assert!(pair.tunnels(0).is_empty());
}

#[test]
fn tun_7_a_tunnel_that_stalls_blocks_itself_alone() {
    let mut pair = Pair::new([64, 64]);
    for id in [1, 2] {
        pair.tunnels(0).open(id, "a:1");
    }
    pair.settle();
    assert_eq!(pair.tunnels(0).write(1, &[1; 1000]), 64);
    pair.settle();
    assert_eq!(pair.tunnels(0).write(1, &[1; 1000]), 64, "one window here, one there");
    pair.settle();
    assert_eq!(pair.tunnels(0).room(1), 0);
    assert_eq!((pair.tunnels(0).octets(), pair.tunnels(1).octets()), (64, 64));
    for _ in 0..10 {
        pair.tunnels(0).write(2, &[2; 60]);
        pair.settle();
        assert_eq!(take(pair.tunnels(1), 2).len(), 60);
    }
    assert_eq!(take(pair.tunnels(1), 1).len(), 64);
    pair.settle();
    assert_eq!(take(pair.tunnels(1), 1).len(), 64);
}

#[test]
fn tun_11_tunnels_end_with_their_connection_and_those_not_asked_for_wait() {
    let mut pair = Pair::new([64, 64]);
    pair.tunnels(0).open(1, "a:1");
    pair.settle();
    pair.tunnels(0).open(2, "b:1");
    pair.tunnels(0).disconnected();
    assert_eq!(pair.tunnels(0).state(1), Some(&TunnelState::Lost));
    assert_eq!(pair.tunnels(0).state(2), Some(&TunnelState::Waiting));
    assert!(pair.tunnels(0).has_output());
}

#[test]
fn quotas_break_off_on_either_way() {
    for from in 0..2 {
        let mut pair = Pair::new([1000, 1000]);
        pair.ends[1].tunnels.config.max_octets = 100;
        pair.tunnels(0).open(1, "a:1");
        pair.settle();
        pair.tunnels(from).write(1, &[0; 100]);
        pair.settle();
        assert_eq!(pair.tunnels(0).state(1), Some(&TunnelState::Open));
        pair.tunnels(from).write(1, &[0; 1]);
        pair.settle();
        assert_eq!(pair.tunnels(0).state(1), Some(&TunnelState::Reset(ResetCode::Quota)));
        assert_eq!(pair.tunnels(1).state(1), None);
    }
}

#[test]
fn what_no_peer_may_do_closes_the_session() {
    let open = |id| TunnelFrame::Open { id, window: 9, target: "a:1" };
    let data = |id, payload: &'static [u8]| TunnelFrame::Data { id, end: false, payload };
    let end = |id| TunnelFrame::Data { id, end: true, payload: b"" };
    let mut tunnels = Tunnels::new(TunnelsConfig { window: 4, ..TunnelsConfig::default() });
    assert_eq!(tunnels.receive(&open(3)), Ok(Some(3)));
    assert!(matches!(tunnels.receive(&open(3)), Err(Fault::Malformed { .. })), "TUN-2");
    assert!(matches!(tunnels.receive(&open(2)), Err(Fault::Malformed { .. })), "TUN-2");
    assert!(matches!(tunnels.receive(&end(3)), Err(Fault::UnexpectedFrame { .. })), "TUN-3");
    tunnels.accept(3);
    assert!(matches!(tunnels.receive(&data(3, b"x")), Err(Fault::CreditExceeded { .. })), "TUN-5");
    assert_eq!(tunnels.receive(&end(3)), Ok(None), "an end needs no window");
    assert!(matches!(tunnels.receive(&end(3)), Err(Fault::UnexpectedFrame { .. })), "TUN-8");
    assert_eq!(tunnels.receive(&data(99, b"x")), Ok(None), "TUN-9");
}

#[test]
fn a_refusal_says_why() {
    let mut tunnels = Tunnels::new(TunnelsConfig::default());
    assert!(tunnels.open(1, "a:1") && !tunnels.open(1, "a:1") && !tunnels.open(2, ""));
    tunnels.answered(1, Status::NotAuthorized, "no");
    assert_eq!(tunnels.state(1), Some(&TunnelState::Waiting), "it was not asked");
    let mut pair = Pair::new([64, 64]);
    pair.tunnels(0).open(1, "a:1");
    pair.ends[0].speak(4096);
    pair.tunnels(0).answered(1, Status::NotAuthorized, "no");
    let refused = TunnelState::Refused(Status::NotAuthorized, "no".into());
    assert_eq!(pair.tunnels(0).state(1), Some(&refused));
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Write { end: usize, id: u64, n: usize },
    Read { end: usize, id: u64 },
    Finish { end: usize, id: u64 },
    Reset { end: usize, id: u64 },
    Release { end: usize, id: u64 },
    Speak { end: usize, room: usize },
    Carry { to: usize, most: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (end, id) = (0..2usize, 1..5u64);
    let step = prop_oneof![
        2 => Just(Step::Open),
        6 => (end.clone(), id.clone(), 0..300usize).prop_map(|(end, id, n)| Step::Write { end, id, n }),
        6 => (end.clone(), id.clone()).prop_map(|(end, id)| Step::Read { end, id }),
        1 => (end.clone(), id.clone()).prop_map(|(end, id)| Step::Finish { end, id }),
        1 => (end.clone(), id.clone()).prop_map(|(end, id)| Step::Reset { end, id }),
        1 => (end.clone(), id).prop_map(|(end, id)| Step::Release { end, id }),
        6 => (end.clone(), 0..800usize).prop_map(|(end, room)| Step::Speak { end, room }),
        8 => (end, 0..400usize).prop_map(|(to, most)| Step::Carry { to, most }),
    ];
    prop::collection::vec(step, 0..120)
}

/// What was written to a tunnel and read from it, by direction; and what stops a comparison.
#[derive(Default)]
struct Model {
    written: BTreeMap<(usize, u64), Vec<u8>>,
    read: BTreeMap<(usize, u64), Vec<u8>>,
    disturbed: Vec<u64>,
    next: u8,
}

impl Model {
    fn apply(&mut self, pair: &mut Pair, step: &Step, opened: &mut u64) {
        match *step {
            Step::Open => {
                *opened += 1;
                assert!(pair.tunnels(0).open(*opened, "a:1"));
            }
            Step::Write { end, id, n } => {
                let octets: Vec<u8> = (0..n).map(|i| self.next.wrapping_add(i as u8)).collect();
                let n = pair.tunnels(end).write(id, &octets);
                self.next = self.next.wrapping_add(n as u8);
                self.written.entry((end, id)).or_default().extend_from_slice(&octets[..n]);
            }
            Step::Read { end, id } => {
                let octets = take(pair.tunnels(end), id);
                self.read.entry((1 - end, id)).or_default().extend(octets);
            }
            Step::Finish { end, id } => pair.tunnels(end).finish(id),
            Step::Reset { end, id } => {
                self.disturbed.push(id);
                pair.tunnels(end).reset(id, ResetCode::Other(70));
            }
            Step::Release { end, id } => {
                self.disturbed.push(id);
                pair.tunnels(end).release(id);
            }
            Step::Speak { end, room } => pair.ends[end].speak(room),
            Step::Carry { to, most } => pair.carry(to, most),
        }
    }

    /// What was read is the beginning of what was written, however it came.
    fn check(&self, pair: &Pair, windows: [u32; 2]) {
        for (key, read) in &self.read {
            assert!(self.written.get(key).map_or(&[][..], |w| w).starts_with(read), "{key:?}");
        }
        for (end, window) in pair.ends.iter().zip(windows) {
            assert_eq!(end.fault, None);
            let most = end.tunnels.len() * 2 * window as usize;
            assert!(end.tunnels.octets() <= most, "{} octets", end.tunnels.octets());
        }
    }
}

proptest! {
    /// TUN-5, TUN-7: with any windows, cuts and room, each octet arrives once and in order, nothing
    /// deadlocks, memory is bounded, and neither side breaks a rule.
    #[test]
    fn every_octet_arrives(steps in steps(), a in 1..600u32, b in 1..600u32) {
        let (mut pair, mut model, mut opened) = (Pair::new([a, b]), Model::default(), 0);
        for step in &steps {
            model.apply(&mut pair, step, &mut opened);
            model.check(&pair, [a, b]);
        }
        pair.settle();
        for id in 1..=opened {
            (0..2).for_each(|end| pair.tunnels(end).finish(id));
        }
        for _ in 0..2000 {
            pair.settle();
            let before = model.read.values().map(Vec::len).sum::<usize>();
            for (end, id) in (1..=opened).flat_map(|id| [(0, id), (1, id)]) {
                model.apply(&mut pair, &Step::Read { end, id }, &mut opened);
            }
            if model.read.values().map(Vec::len).sum::<usize>() == before {
                break;
            }
        }
        model.check(&pair, [a, b]);
        for (key, written) in &model.written {
            if !model.disturbed.contains(&key.1) {
                assert_eq!(model.read.get(key).map_or(&[][..], |r| r), &written[..], "{key:?}");
            }
        }
        for id in 1..=opened {
            if !model.disturbed.contains(&id) {
                assert!((0..2).all(|end| pair.tunnels(end).read(id) == Piece::End));
            }
            (0..2).for_each(|end| pair.tunnels(end).release(id));
        }
        pair.settle();
        prop_assert!(pair.ends.iter().all(|end| end.tunnels.is_empty()), "all are forgotten");
    }
}
