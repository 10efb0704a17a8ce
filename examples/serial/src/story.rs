//! What happens, step by step, and what must come of it.

use core::time::Duration;

use bowline_core::buf::SliceSendBuf;
use bowline_core::session::{
    By, Code, Config, Connect, Counts, Event, Features, Limits, Message, Request, Response, Resume,
    ResumeKey, Session, SessionId, Welcome,
};
use bowline_core::status::Status;
use bowline_core::time::Instant;

use crate::line::{Application, Line};

/// A step of the story; its number is the exit code where it fails.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Handshake = 1,
    Publish,
    Reliable,
    Request,
    Keepalive,
    Cut,
    Resume,
    Gap,
    Close,
}

impl Step {
    /// The exit code of a panic.
    pub(crate) const PANICKED: u8 = 99;

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Step::Handshake => "handshake",
            Step::Publish => "publish at most once",
            Step::Reliable => "publish at least once, and its acknowledgement",
            Step::Request => "request and response",
            Step::Keepalive => "keepalive",
            Step::Cut => "the cut",
            Step::Resume => "resumption",
            Step::Gap => "redelivery of exactly the gap",
            Step::Close => "close",
        }
    }
}

/// Name and secret of the one session that the station keeps. A station that serves strangers draws
/// them from a random source.
const SESSION: (SessionId, ResumeKey) = (SessionId(*b"the sensor's own"), ResumeKey(*b"nobody else knew"));
const READINGS: &str = "sensor/1/reading";
/// The most readings that wait to be acknowledged.
const IN_FLIGHT: usize = 4;

/// What both ends announce: limits that fit their arrays, and a window that must be renewed.
pub(crate) fn config() -> Config {
    let limits = Limits {
        max_frame: 256,
        in_flight: IN_FLIGHT as u16,
        credit: 128,
        keepalive: Some(Duration::from_secs(1)),
    };
    Config { limits, ..Config::default() }
}

/// Both applications: what they keep, and what they have seen.
#[derive(Default)]
struct Both {
    /// The sensor's readings that are not acknowledged, at the index of their number modulo the length.
    kept: [u32; IN_FLIGHT],
    /// How the session stood at each end when the line was cut.
    sensor_counts: Counts,
    station_counts: Counts,
    welcomed: bool,
    /// What the station said it had received, when the session was resumed.
    resumed: Option<u64>,
    hints: u32,
    /// The readings that the station received, in order.
    readings: [u32; 16],
    received: usize,
    acked: u64,
    answered: bool,
    pongs: u32,
    /// How each end was told that the session ended.
    sensor_closed: Option<(By, Option<Code>, bool)>,
    station_closed: Option<(By, Option<Code>, bool)>,
}

impl Both {
    /// Sends a reading that must arrive, and keeps it until it has.
    fn report(&mut self, line: &mut Line<'_>, reading: u32) -> bool {
        let number = line.sensor.session.counts().sent + 1;
        self.kept[number as usize % IN_FLIGHT] = reading;
        let payload = reading.to_be_bytes();
        let message = Message { reliable: true, ..Message::new(READINGS, &payload) };
        line.sensor.session.publish(line.now, &mut line.sensor.out, &message).is_ok()
    }
}

impl Application for Both {
    fn at_sensor(&mut self, now: Instant, end: &mut Session, out: &mut SliceSendBuf<'_>, event: Event<'_>) {
        match event {
            Event::Welcome(welcome) => {
                self.welcomed = true;
                self.resumed = welcome.received;
                // What the station has not received is sent again, in order.
                for number in welcome.received.map_or(0..0, |n| n + 1..self.sensor_counts.sent + 1) {
                    let payload = self.kept[number as usize % IN_FLIGHT].to_be_bytes();
                    let message = Message { reliable: true, ..Message::new(READINGS, &payload) };
                    if end.publish(now, out, &message).is_err() {
                        self.resumed = None;
                    }
                }
            }
            Event::Acked(count) => self.acked = count,
            Event::Response(r) => self.answered = r.status == Status::Ok && r.payload == b"12:00",
            Event::Pong(_) => self.pongs += 1,
            Event::Closed(c) => self.sensor_closed = Some((c.by, c.code, c.clean)),
            _ => {}
        }
    }

    fn at_station(&mut self, now: Instant, end: &mut Session, out: &mut SliceSendBuf<'_>, event: Event<'_>) {
        match event {
            Event::Hello(hello) => {
                let resumed = hello
                    .resume
                    .filter(|(id, key, _)| (*id, *key) == SESSION)
                    .and_then(|(_, _, received)| self.station_counts.resume(received).ok());
                let expiry = hello.expiry;
                let welcome = Welcome { session: Some(SESSION), expiry, ..Welcome::default() };
                // Where it fails, no WELCOME arrives, and the story notices.
                let _ = end.welcome(now, out, &welcome, resumed);
            }
            Event::Publish(message) if message.reliable => {
                if let (Some(place), Ok(reading)) =
                    (self.readings.get_mut(self.received), message.payload.try_into())
                {
                    *place = u32::from_be_bytes(reading);
                }
                self.received += 1;
            }
            Event::Publish(message) => self.hints += u32::from(message.payload == b"warming up"),
            Event::Request(request) => {
                let response = Response {
                    id: request.id,
                    status: Status::Ok,
                    more: false,
                    payload: b"12:00",
                    properties: request.properties,
                };
                // Where it fails, no answer arrives, and the story notices.
                let _ = end.respond(now, out, &response);
            }
            Event::Closed(c) => self.station_closed = Some((c.by, c.code, c.clean)),
            _ => {}
        }
    }
}

fn must(done: bool, step: Step) -> Result<(), Step> {
    if done { Ok(()) } else { Err(step) }
}

/// Tells the story. Fails at the first step that does not come out as it must.
pub(crate) fn run() -> Result<(), Step> {
    let mut both = Both::default();
    let cut_at = until_the_cut(&mut both)?;
    after_the_cut(&mut both, cut_at + Duration::from_secs(3))
}

fn until_the_cut(both: &mut Both) -> Result<Instant, Step> {
    let mut memory = [[[0; 320]; 2]; 2];
    let connect = Connect { expiry: Duration::from_secs(3600), name: "sensor 1", ..Connect::default() };
    let line = Line::connect(Instant::ZERO, &mut memory, &config(), &connect);
    let mut line = line.map_err(|_| Step::Handshake)?;
    must(line.until(100, both, |_, b| b.welcomed && b.resumed.is_none()), Step::Handshake)?;
    must(line.sensor.session.features() == Features::NONE, Step::Handshake)?;

    let hint = Message::new("sensor/1/state", b"warming up");
    must(line.sensor.session.publish(line.now, &mut line.sensor.out, &hint).is_ok(), Step::Publish)?;
    must(line.until(100, both, |_, b| b.hints == 1), Step::Publish)?;

    // More than the window holds, so the station has to grant more on the way.
    for reading in 1..=8 {
        must(line.until(100, both, |l, _| l.sensor.session.counts().acked + 3 >= reading), Step::Reliable)?;
        must(both.report(&mut line, reading as u32), Step::Reliable)?;
    }
    must(line.until(100, both, |_, b| b.received == 8 && b.acked == 8), Step::Reliable)?;

    let question = Request {
        id: 1,
        subscription: 0,
        timeout: Duration::ZERO,
        many: false,
        topic: "station/time",
        payload: b"",
        properties: Default::default(),
    };
    must(line.sensor.session.request(line.now, &mut line.sensor.out, &question).is_ok(), Step::Request)?;
    must(line.until(100, both, |_, b| b.answered), Step::Request)?;

    // Nobody has anything to say: pings keep the line alive for longer than silence may last.
    must(line.until(4000, both, |_, b| b.pongs == 3), Step::Keepalive)?;
    must(line.sensor.session.is_open() && line.station.session.is_open(), Step::Keepalive)?;

    // Of three readings the first arrives; its acknowledgement is lost.
    for reading in 9..=11 {
        must(both.report(&mut line, reading), Step::Cut)?;
    }
    must(line.until(100, both, |_, b| b.received == 9), Step::Cut)?;
    line.cut(both);
    let truncated = Some((By::Transport, None, false));
    must(both.sensor_closed == truncated && both.station_closed == truncated, Step::Cut)?;
    (both.sensor_counts, both.station_counts) = (line.sensor.session.counts(), line.station.session.counts());
    must(both.sensor_counts == Counts { sent: 11, acked: 8, received: 0 }, Step::Cut)?;
    must(both.station_counts.received == 9, Step::Cut)?;
    Ok(line.now)
}

fn after_the_cut(both: &mut Both, now: Instant) -> Result<(), Step> {
    let mut memory = [[[0; 320]; 2]; 2];
    let (session, key) = SESSION;
    let resume = Some(Resume { session, key, counts: both.sensor_counts });
    let connect = Connect { resume, expiry: Duration::from_secs(3600), ..Connect::default() };
    let line = Line::connect(now, &mut memory, &config(), &connect);
    let mut line = line.map_err(|_| Step::Resume)?;
    must(line.until(100, both, |_, b| b.resumed.is_some()), Step::Resume)?;
    must(both.resumed == Some(9), Step::Resume)?;

    must(line.until(100, both, |_, b| b.acked == 11), Step::Gap)?;
    must(both.received == 11 && both.readings[..11] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], Step::Gap)?;
    must(both.report(&mut line, 12), Step::Gap)?;
    must(line.until(100, both, |_, b| b.acked == 12 && b.readings[11] == 12), Step::Gap)?;

    (both.sensor_closed, both.station_closed) = (None, None);
    line.sensor.session.close(line.now, Code::Normal, "the battery is changed");
    let told = |_: &Line<'_>, b: &Both| b.sensor_closed.is_some() && b.station_closed.is_some();
    must(line.until(100, both, told), Step::Close)?;
    must(both.sensor_closed == Some((By::Local, Some(Code::Normal), true)), Step::Close)?;
    must(both.station_closed == Some((By::Remote, Some(Code::Normal), true)), Step::Close)?;
    let idle = |l: &Line<'_>, _: &Both| {
        l.sensor.session.poll_timeout().is_none() && l.station.session.poll_timeout().is_none()
    };
    must(line.until(3000, both, idle), Step::Close)
}
