//! The line, and what hangs at its two ends.

use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
use bowline_core::session::{Config, Connect, Event, SendError, Session, Transport};
use bowline_core::time::Instant;
use core::time::Duration;

/// Octets a millisecond, each way: 115,200 baud.
const PER_MILLISECOND: usize = 11;

/// All the memory that one end reads into and writes from: a little more than the largest frame
/// that [`config`](crate::story::config) announces, with its head.
pub(crate) type Memory = [[u8; 320]; 2];

/// What an application does with what happens at each end.
pub(crate) trait Application {
    fn at_sensor(&mut self, now: Instant, end: &mut Session, out: &mut SliceSendBuf<'_>, event: Event<'_>);
    fn at_station(&mut self, now: Instant, end: &mut Session, out: &mut SliceSendBuf<'_>, event: Event<'_>);
}

/// One end of the line.
pub(crate) struct End<'m> {
    pub(crate) session: Session,
    pub(crate) out: SliceSendBuf<'m>,
    input: SliceRecvBuf<'m>,
    /// What the session last wanted of the line.
    pub(crate) transport: Transport,
    hears: bool,
}

impl<'m> End<'m> {
    fn new(session: Session, input: &'m mut [u8], out: SliceSendBuf<'m>) -> Self {
        Self { session, out, input: SliceRecvBuf::new(input), transport: Transport::Open, hears: true }
    }

    /// One turn: what is due, what came, what is owed.
    fn turn(&mut self, now: Instant, mut on: impl FnMut(&mut Session, &mut SliceSendBuf<'m>, Event<'_>)) {
        if self.session.poll_timeout().is_some_and(|d| now >= d.at)
            && let Some(event) = self.session.handle_timeout(now)
        {
            on(&mut self.session, &mut self.out, event);
        }
        while let Some(event) = self.session.recv(now, &mut self.input) {
            on(&mut self.session, &mut self.out, event);
        }
        self.transport = self.session.poll_transmit(now, &mut self.out);
    }

    /// Takes what `from` wrote, as much as a millisecond allows, or the end of it.
    fn hear(&mut self, now: Instant, from: &mut End<'_>) {
        let waiting = from.out.pending();
        if !waiting.is_empty() {
            let n = self.input.push(&waiting[..waiting.len().min(PER_MILLISECOND)]);
            from.out.sent(n);
            from.session.handle_written(now, n, from.out.pending().len());
        } else if self.hears && from.transport != Transport::Open {
            // All that was written has been received before.
            self.hears = false;
            self.session.handle_eof(now);
        }
    }
}

/// A serial line between a sensor (the client) and a base station (the server).
pub(crate) struct Line<'m> {
    pub(crate) now: Instant,
    pub(crate) sensor: End<'m>,
    pub(crate) station: End<'m>,
}

impl<'m> Line<'m> {
    pub(crate) fn connect(
        now: Instant,
        memory: &'m mut [Memory; 2],
        config: &Config,
        connect: &Connect<'_>,
    ) -> Result<Self, SendError> {
        let [[a, b], [c, d]] = memory;
        let mut out = SliceSendBuf::new(b);
        let client = Session::connect(now, config, connect, &mut out)?;
        let server = Session::accept(now, config);
        let (sensor, station) = (End::new(client, a, out), End::new(server, c, SliceSendBuf::new(d)));
        Ok(Self { now, sensor, station })
    }

    /// A millisecond passes.
    fn step(&mut self, app: &mut impl Application) {
        self.now = self.now + Duration::from_millis(1);
        let now = self.now;
        self.station.hear(now, &mut self.sensor);
        self.sensor.hear(now, &mut self.station);
        self.sensor.turn(now, |session, out, event| app.at_sensor(now, session, out, event));
        self.station.turn(now, |session, out, event| app.at_station(now, session, out, event));
    }

    /// Milliseconds pass until `done`; false if it is not within `millis` of them.
    pub(crate) fn until<A: Application>(
        &mut self,
        millis: u32,
        app: &mut A,
        done: impl Fn(&Self, &A) -> bool,
    ) -> bool {
        for _ in 0..millis {
            self.step(app);
            if done(self, app) {
                return true;
            }
        }
        false
    }

    /// The line breaks: what was on it is lost, and both ends notice.
    pub(crate) fn cut(&mut self, app: &mut impl Application) {
        let now = self.now;
        self.sensor.session.handle_eof(now);
        self.station.session.handle_eof(now);
        self.sensor.turn(now, |session, out, event| app.at_sensor(now, session, out, event));
        self.station.turn(now, |session, out, event| app.at_station(now, session, out, event));
    }
}
