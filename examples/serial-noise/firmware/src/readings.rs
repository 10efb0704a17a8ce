//! What the sensor says and hears.

use core::fmt::{self, Write};
use core::time::Duration;

use bowline_core::buf::SendBuf;
use bowline_core::session::{
    Code, Connect, Counts, Event, Message, Resume, ResumeKey, SendError, Session, SessionId, Subscribe,
    Welcome,
};
use bowline_core::status::Status;
use bowline_core::time::Instant;

use crate::Board;

/// Where readings go: big-endian, the number of the reading and what was measured, four octets each.
pub const READINGS: &str = "sensor/1/reading";
/// Where it says how it is, as text.
pub const STATE: &str = "sensor/1/state";
/// Where it takes commands: `every MILLISECONDS`, `stop`.
pub const COMMANDS: &str = "sensor/1/command";

/// The most readings that wait to be acknowledged; while so many do, nothing is measured.
pub const KEPT: usize = 16;

/// The subscription to [`COMMANDS`].
const SUBSCRIPTION: u64 = 1;
/// How long the hub is to keep the session while the line is down.
const EXPIRY: Duration = Duration::from_secs(3600);
/// How long a reading may wait to be acknowledged.
const UNANSWERED: Duration = Duration::from_secs(1);

/// The application: what outlives a connection.
pub(crate) struct Readings {
    /// The session at the hub, once there is one.
    session: Option<(SessionId, ResumeKey)>,
    /// How far each side was when the last connection that the hub took ended.
    counts: Counts,
    /// The hub has taken the present one.
    welcomed: bool,
    /// Readings, by the number of the reliable frame that brings them, modulo the length.
    kept: [[u8; 8]; KEPT],
    /// The number of the newest.
    newest: u64,
    /// How many readings were taken in all.
    taken: u32,
    every: Duration,
    due: Instant,
    /// Since when readings wait and none was acknowledged.
    waits_since: Option<Instant>,
    subscribed: bool,
    connections: u32,
    tells_state: bool,
    pub(crate) stopped: bool,
}

impl Readings {
    pub(crate) const fn new() -> Self {
        Self {
            session: None,
            counts: Counts { sent: 0, acked: 0, received: 0 },
            welcomed: false,
            kept: [[0; 8]; KEPT],
            newest: 0,
            taken: 0,
            every: Duration::from_millis(100),
            due: Instant::ZERO,
            waits_since: None,
            subscribed: false,
            connections: 0,
            tells_state: false,
            stopped: false,
        }
    }

    /// What the next connection asks for.
    pub(crate) fn connect(&self) -> Connect<'static> {
        let resume = self.session.map(|(session, key)| Resume { session, key, counts: self.counts });
        Connect { resume, expiry: EXPIRY, name: "sensor 1", ..Connect::default() }
    }

    /// The connection is over.
    pub(crate) fn disconnected(&mut self, session: &Session) {
        self.waits_since = None;
        if core::mem::take(&mut self.welcomed) {
            self.counts = session.counts();
        }
    }

    /// When it wants a turn.
    pub(crate) fn due(&self) -> Instant {
        self.unanswered_at().map_or(self.due, |at| at.min(self.due))
    }

    /// When it gives a connection up that looks alive, and acknowledges nothing: of a record whose length was
    /// changed on the line, the hub waits for the rest (SER-7).
    pub(crate) fn unanswered_at(&self) -> Option<Instant> {
        Some(self.waits_since? + UNANSWERED)
    }

    /// Something happened in the session.
    pub(crate) fn on(&mut self, board: &mut impl Board, session: &mut Session, event: &Event<'_>) {
        match event {
            Event::Welcome(welcome) => self.welcomed(board, welcome),
            Event::Message(SUBSCRIPTION, message) => self.command(board, session, message.payload),
            Event::Result(outcome) if outcome.id == SUBSCRIPTION => {
                self.subscribed = outcome.status == Status::Ok;
            }
            Event::Acked(_) => self.waits_since = None,
            Event::Closed(closed) if !closed.may_resume() => self.session = None,
            _ => {}
        }
    }

    fn welcomed(&mut self, board: &mut impl Board, welcome: &Welcome<'_>) {
        self.connections += 1;
        (self.welcomed, self.tells_state) = (true, true);
        self.session = welcome.session.or(self.session);
        match welcome.received {
            Some(received) => board.tell(format_args!(
                "the session goes on: of {} readings the hub has {received}",
                self.newest
            )),
            None => {
                // What the hub did not acknowledge in an old session goes first in the new one (RES-3).
                board.tell(format_args!("a new session"));
                let old = self.counts.acked;
                let waiting = self.newest - old;
                let kept = self.kept;
                for number in 1..=waiting {
                    self.kept[number as usize % KEPT] = kept[(old + number) as usize % KEPT];
                }
                (self.newest, self.subscribed) = (waiting, false);
            }
        }
    }

    fn command(&mut self, board: &mut impl Board, session: &mut Session, command: &[u8]) {
        let words = core::str::from_utf8(command).unwrap_or_default();
        board.tell(format_args!("command: {words}"));
        if let Some(Ok(millis)) = words.strip_prefix("every ").map(str::parse) {
            self.every = Duration::from_millis(millis).clamp(Duration::from_millis(1), EXPIRY);
        } else if words == "stop" {
            session.close(board.now(), Code::Normal, "told to stop");
            self.stopped = true;
        }
    }

    /// Measures what is due, and says what is to be said, as far as there is room.
    pub(crate) fn report(
        &mut self,
        board: &mut impl Board,
        session: &mut Session,
        out: &mut impl SendBuf,
    ) -> Result<(), SendError> {
        let now = board.now();
        if !session.is_open() {
            return Ok(());
        }
        if !self.subscribed {
            self.subscribe(now, session, out)?;
        }
        let counts = session.counts();
        if now >= self.due && self.newest - counts.acked < KEPT as u64 {
            self.due = now + self.every;
            (self.newest, self.taken) = (self.newest + 1, self.taken + 1);
            let reading = &mut self.kept[self.newest as usize % KEPT];
            reading[..4].copy_from_slice(&self.taken.to_be_bytes());
            reading[4..].copy_from_slice(&board.measure().to_be_bytes());
        }
        if counts.acked < self.newest {
            self.waits_since.get_or_insert(now);
        }
        // Those of before a loss and the new one, in order.
        for number in counts.sent + 1..=self.newest {
            let reading = &self.kept[number as usize % KEPT];
            let message = Message { reliable: true, ..Message::new(READINGS, reading) };
            session.publish(now, out, &message)?;
        }
        if self.tells_state {
            let mut text = Text::default();
            let heap = board.heap();
            let _ = write!(text, "connections={} heap={} peak={}", self.connections, heap.now, heap.peak);
            session.publish(now, out, &Message::new(STATE, text.as_octets()))?;
            self.tells_state = false;
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        now: Instant,
        session: &mut Session,
        out: &mut impl SendBuf,
    ) -> Result<(), SendError> {
        let commands =
            Subscribe { id: SUBSCRIPTION, filter: COMMANDS, reliable: true, ..Subscribe::default() };
        session.subscribe(now, out, &commands)?;
        self.subscribed = true; // until the result says otherwise
        Ok(())
    }
}

/// A short text.
#[derive(Default)]
struct Text {
    octets: [[u8; 16]; 5],
    length: usize,
}

impl Text {
    fn as_octets(&self) -> &[u8] {
        &self.octets.as_flattened()[..self.length]
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let space = self.octets.as_flattened_mut().get_mut(self.length..self.length + text.len());
        space.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}
