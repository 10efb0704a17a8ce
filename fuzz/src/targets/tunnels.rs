//! Two ends of one connection with tunnels in it: whatever their applications do, octets arrive once and in
//! order, memory is bounded, and neither side breaks a rule. At the end one of them is sent frames of a
//! stranger, after which it may close its session, and nothing worse.

use std::collections::HashMap;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, SliceSendBuf};
use bowline_core::session::{
    Config, Connect, Event, Features, Kind, Piece, ResetCode, Session, Tunnels, TunnelsConfig, Welcome,
};
use bowline_core::status::Status;
use bowline_core::time::Instant;

const NOW: Instant = Instant::from_millis(1);

#[derive(Arbitrary, Debug)]
enum Step {
    Open,
    Write { end: bool, id: u8, n: u16 },
    Read { end: bool, id: u8, consume: bool },
    Finish { end: bool, id: u8 },
    Reset { end: bool, id: u8 },
    Release { end: bool, id: u8 },
    Refuse,
    Speak { end: bool, room: u16 },
    Carry { to: bool, most: u16 },
}

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    windows: [u16; 2],
    steps: Vec<Step>,
    /// Frames at the end: a kind of the four, flags, a body.
    strange: Vec<(u8, u8, &'a [u8])>,
    /// Which end gets them.
    end: bool,
}

struct End {
    session: Session,
    tunnels: Tunnels,
    window: usize,
    line: Vec<u8>,
    received: GrowingRecvBuf,
    /// The next tunnel is refused.
    refuses: bool,
    closed: bool,
}

impl End {
    fn new(session: Session, window: u16) -> Self {
        let window = u32::from(window % 2048) + 1;
        let tunnels = Tunnels::new(TunnelsConfig { window, max: 8, max_octets: 100_000 });
        let (line, received) = (Vec::new(), GrowingRecvBuf::new(1 << 16));
        Self { session, tunnels, window: window as usize, line, received, refuses: false, closed: false }
    }

    fn hear(&mut self, octets: &[u8]) {
        self.received.push(octets);
        let mut reply = [0; 1024];
        let mut out = SliceSendBuf::new(&mut reply);
        while let Some(event) = self.session.recv(NOW, &mut self.received) {
            match event {
                Event::Hello(_) => {
                    self.session.welcome(NOW, &mut out, &Welcome::default(), None).expect("there is room");
                }
                Event::Tunnel(frame) => match self.tunnels.receive(&frame) {
                    Ok(Some(id)) if std::mem::take(&mut self.refuses) => {
                        self.tunnels.refuse(id, Status::Quota, "no");
                    }
                    Ok(Some(id)) => self.tunnels.accept(id),
                    Ok(None) => {}
                    Err(fault) => {
                        self.closed = true;
                        let _ = self.session.close_with_fault(NOW, fault);
                    }
                },
                Event::Result(o) if o.kind == Some(Kind::Tunnel) => {
                    self.tunnels.answered(o.id, o.status, o.reason);
                }
                Event::Closed(_) => self.closed = true,
                _ => {}
            }
        }
        self.line.extend_from_slice(out.pending());
    }

    fn speak(&mut self, room: usize) {
        let mut memory = vec![0; room];
        let mut out = SliceSendBuf::new(&mut memory);
        let _ = self.session.poll_transmit(NOW, &mut out);
        self.tunnels.transmit(NOW, &mut self.session, &mut out);
        self.line.extend_from_slice(out.pending());
        while self.tunnels.poll_gone().is_some() {}
    }

    fn check(&self) {
        let most = self.tunnels.len() * 2 * self.window;
        assert!(self.tunnels.octets() <= most, "{} octets of {most}", self.tunnels.octets());
        assert!(self.line.len() < 1 << 24);
    }
}

fn pair(windows: [u16; 2]) -> [End; 2] {
    let mut config = Config { features: Features::RELAY, ..Config::default() };
    config.limits.max_frame = 4096;
    let mut memory = [0; 256];
    let mut out = SliceSendBuf::new(&mut memory);
    let client = Session::connect(NOW, &config, &Connect::default(), &mut out).expect("there is room");
    let hello = out.pending().to_vec();
    let mut ends = [End::new(client, windows[0]), End::new(Session::accept(NOW, &config), windows[1])];
    ends[1].hear(&hello);
    let welcome = std::mem::take(&mut ends[1].line);
    ends[0].hear(&welcome);
    ends
}

/// What went in, and what came out, by direction and tunnel.
#[derive(Default)]
struct Model {
    written: HashMap<(usize, u64), (u64, u64)>,
    read: HashMap<(usize, u64), (u64, u64)>,
    next: u64,
}

/// Counts octets, and makes one number of them and their order.
fn note(of: &mut (u64, u64), octets: &[u8]) {
    for octet in octets {
        *of = (of.0 + 1, of.1.wrapping_mul(31).wrapping_add(u64::from(*octet)));
    }
}

fn step(ends: &mut [End; 2], model: &mut Model, opened: &mut u64, step: &Step) {
    let id = |id: u8| u64::from(id % 8) + 1;
    match *step {
        Step::Open => *opened += u64::from(ends[0].tunnels.open(*opened + 1, "a:1")),
        Step::Write { end, id: of, n } => {
            let octets: Vec<u8> = (0..n % 3000).map(|i| (model.next + u64::from(i)) as u8).collect();
            let n = ends[usize::from(end)].tunnels.write(id(of), &octets);
            model.next += n as u64;
            note(model.written.entry((end.into(), id(of))).or_default(), &octets[..n]);
        }
        Step::Read { end, id: of, consume } => {
            let tunnels = &mut ends[usize::from(end)].tunnels;
            if let Piece::Octets(octets) = tunnels.read(id(of)) {
                if consume {
                    tunnels.consumed(id(of), octets.len() as u64);
                }
                note(model.read.entry((usize::from(!end), id(of))).or_default(), &octets);
            }
        }
        Step::Finish { end, id: of } => ends[usize::from(end)].tunnels.finish(id(of)),
        Step::Reset { end, id: of } => ends[usize::from(end)].tunnels.reset(id(of), ResetCode::Broken),
        Step::Release { end, id: of } => ends[usize::from(end)].tunnels.release(id(of)),
        Step::Refuse => ends[1].refuses = true,
        Step::Speak { end, room } => ends[usize::from(end)].speak(usize::from(room)),
        Step::Carry { to, most } => {
            let line = &mut ends[usize::from(!to)].line;
            let octets: Vec<u8> = line.drain(..usize::from(most).min(line.len())).collect();
            ends[usize::from(to)].hear(&octets);
        }
    }
}

/// The target.
///
/// # Panics
///
/// Octets were lost, changed or doubled, memory is not bounded, or one end broke a rule.
pub fn tunnels(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary(&mut Unstructured::new(data)) else { return };
    let (mut ends, mut model, mut opened) = (pair(plan.windows), Model::default(), 0);
    for one in plan.steps.iter().take(2000) {
        step(&mut ends, &mut model, &mut opened, one);
        ends.iter().for_each(End::check);
        assert!(ends.iter().all(|end| !end.closed), "one end broke a rule");
    }
    for (key, read) in &model.read {
        let written = model.written.get(key).copied().unwrap_or_default();
        assert!(read.0 <= written.0 && (read.0 < written.0 || read.1 == written.1), "{key:?}");
    }
    let end = &mut ends[usize::from(plan.end)];
    for (kind, flags, body) in plan.strange.iter().take(100) {
        let body = &body[..body.len().min(100)];
        let head = [((27 + kind % 4) << 2) | (flags % 4), body.len() as u8];
        end.hear(&[&head[..], body].concat());
        end.speak(4096);
        end.check();
    }
}
