//! The connection: a serial line, a handshake, records, a session.

use core::fmt;
use core::time::Duration;

use bowline_core::backoff::{Backoff, Policy};
use bowline_core::buf::{RecvBuf, SliceRecvBuf, SliceSendBuf};
use bowline_core::secure::{
    Fault, Keys, Opened, Opening, PublicKey, Records, Rekey, SecretKey, SecureError, Step,
};
use bowline_core::serial::{Edge, Line};
use bowline_core::session::{Closed, Code, Config, Event, Limits, Session};
use bowline_core::time::Instant;

use crate::Board;
use crate::readings::Readings;

/// Octets of each of the two buffers. The hub puts what it has to say into records, each of which has to fit: at
/// most what the credit lets it send, the frame with which it goes beyond that, and frames that cost none.
const BUFFER: usize = 1024;

/// What the session announces, so that it fits: twice 256 octets of messages, and as much of all else.
const LIMITS: Limits =
    Limits { max_frame: 256, in_flight: 8, credit: 256, keepalive: Some(Duration::from_secs(1)) };

/// How long a handshake may take: a lost octet of it is noticed by that alone.
const HANDSHAKE: Duration = Duration::from_millis(500);

/// The memory that octets wait in.
pub type Memory = [[u8; BUFFER]; 2];

/// What was put on the board when it was made.
pub struct Flash {
    /// Its own key; the hub knows the public one.
    pub own: SecretKey,
    /// The hub's key: nobody else is talked to.
    pub hub: PublicKey,
}

impl Flash {
    /// The most octets of it.
    pub const SIZE: usize = 256;

    /// Reads it: two lines, as `bowline key` writes keys.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (own, hub) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
        Some(Self { own, hub })
    }
}

/// Why a connection is over.
enum Lost {
    /// The secure mode broke.
    Secure(Fault),
    /// The gateway ended it.
    Ended,
    /// A record is longer than the buffer.
    Record,
    /// The session said so.
    Session(&'static str),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secure(fault) => fault.fmt(f),
            Self::Ended => f.write_str("the other end ended it"),
            Self::Record => write!(f, "a record is longer than the {BUFFER} octets that there are for one"),
            Self::Session(why) => f.write_str(why),
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one, and it is not on the heap")]
enum Link {
    /// The next attempt waits.
    Down,
    Opening(Opening, Instant),
    Open(Records, Session),
    /// What was said last goes out, then the end.
    Ending,
}

/// The firmware, but for its board.
pub struct Firmware<'m> {
    flash: Flash,
    line: Line,
    link: Link,
    backoff: Backoff,
    input: SliceRecvBuf<'m>,
    out: SliceSendBuf<'m>,
    readings: Readings,
}

impl<'m> Firmware<'m> {
    /// Just started.
    pub fn new(flash: Flash, memory: &'m mut Memory, board: &mut impl Board) -> Self {
        let [input, out] = memory;
        let policy = Policy {
            base: Duration::from_millis(20),
            cap: Duration::from_secs(2),
            stable_after: Duration::from_millis(500),
            ..Policy::default()
        };
        let mut backoff = Backoff::new(policy, 1);
        let now = board.now();
        backoff.next(now, board);
        Self {
            flash,
            line: Line::client(board.wire_u64() as u8),
            link: Link::Down,
            backoff,
            input: SliceRecvBuf::new(input),
            out: SliceSendBuf::new(out),
            readings: Readings::new(),
        }
    }

    /// Does what can be done now. Says when to call again at the latest, should no octet come; nothing: it was
    /// told to stop, and has said all that it had to say.
    pub fn turn(&mut self, board: &mut impl Board) -> Option<Instant> {
        self.hear(board);
        self.look_at_the_clock(board);
        self.say(board);
        if self.readings.stopped && matches!(self.link, Link::Down) && !self.line.owes() {
            return None;
        }
        Some(self.next_turn(board.now()))
    }

    fn next_turn(&self, now: Instant) -> Instant {
        let due = match &self.link {
            Link::Down => self.backoff.poll_timeout().map(|deadline| deadline.at),
            Link::Opening(_, deadline) => Some(*deadline),
            Link::Open(_, session) => {
                let session = session.poll_timeout().map(|deadline| deadline.at);
                Some(session.map_or(self.readings.due(), |at| at.min(self.readings.due())))
            }
            Link::Ending => None,
        };
        // Where readings wait for an acknowledgement, or octets for the UART, octets will come or go.
        due.unwrap_or(Instant::FAR_FUTURE).max(now + Duration::from_millis(1))
    }

    /// Takes what came over the line.
    fn hear(&mut self, board: &mut impl Board) {
        let mut wire = [0; 64];
        loop {
            let n = board.read(&mut wire);
            if n == 0 {
                return;
            }
            let mut rest = &wire[..n];
            while !rest.is_empty() {
                let heard = self.line.hear(rest, self.input.spare());
                self.input.commit(heard.put);
                rest = &rest[heard.taken..];
                self.read(board);
                if heard.edge == Some(Edge::Ended) {
                    self.lost(board, &Lost::Ended);
                } else if heard.taken == 0 {
                    self.lost(board, &Lost::Record);
                }
            }
        }
    }

    /// Reads what has come of the handshake, or of records.
    fn read(&mut self, board: &mut impl Board) {
        let result = match &mut self.link {
            Link::Down | Link::Ending => {
                self.input.take(usize::MAX);
                return;
            }
            Link::Opening(opening, _) => match opening.recv(&mut self.input, None, board) {
                Ok(Step::Done(opened)) => self.opened(board, opened),
                // In the pattern IK there is nothing to judge: the hub's key is known.
                Ok(Step::Wait | Step::Judge(_)) => return,
                Err(fault) => Err(Lost::Secure(fault)),
            },
            Link::Open(..) => Ok(()),
        };
        if let Err(lost) = result.and_then(|()| self.read_records(board)) {
            self.lost(board, &lost);
        }
    }

    /// The handshake is done: the session begins.
    fn opened(&mut self, board: &mut impl Board, opened: Opened) -> Result<(), Lost> {
        let now = board.now();
        let mut records = Records::new(opened, Rekey::default());
        let config = Config { limits: LIMITS, handshake_deadline: HANDSHAKE, ..Config::default() };
        let connect = self.readings.connect();
        let session = records
            .seal(now, &mut self.out, |out| Session::connect(now, &config, &connect, out))
            .map_err(|_| Lost::Session("no room for HELLO"))?;
        self.link = Link::Open(records, session);
        Ok(())
    }

    fn read_records(&mut self, board: &mut impl Board) -> Result<(), Lost> {
        let Link::Open(records, session) = &mut self.link else { return Ok(()) };
        loop {
            let (now, readings) = (board.now(), &mut self.readings);
            // What is opened already is read, even where nothing more can be.
            let any = records.recv(&mut self.input);
            records.carry(now, &mut self.out, |opened, _| {
                while let Some(event) = session.recv(now, opened) {
                    on(board, &mut self.backoff, readings, session, &event)?;
                }
                Ok(())
            })?;
            if !any.map_err(Lost::Secure)? {
                records.rest();
                return Ok(());
            }
        }
    }

    /// Does what is due.
    fn look_at_the_clock(&mut self, board: &mut impl Board) {
        let now = board.now();
        let result = match &mut self.link {
            Link::Down if !self.readings.stopped && self.backoff.handle_timeout(now).is_some() => {
                self.begin(board, now)
            }
            Link::Opening(_, deadline) if now >= *deadline => Err(Lost::Secure(Fault::Timeout)),
            Link::Open(records, session) => {
                let due = session.poll_timeout().is_some_and(|deadline| now >= deadline.at);
                let event = if due { session.handle_timeout(now) } else { None };
                let mut result = event.map_or(Ok(()), |event| {
                    on(board, &mut self.backoff, &mut self.readings, session, &event)
                });
                if self.readings.unanswered_at().is_some_and(|at| now >= at) {
                    result = Err(Lost::Session("nothing is acknowledged"));
                }
                records.seal(now, &mut self.out, |out| {
                    // What has no room now has it in a later turn.
                    let _ = self.readings.report(board, session, out);
                    let _ = session.poll_transmit(now, out);
                });
                result
            }
            Link::Down | Link::Opening(..) | Link::Ending => Ok(()),
        };
        if let Err(lost) = result {
            self.lost(board, &lost);
        }
    }

    /// Begins a connection.
    fn begin(&mut self, board: &mut impl Board, now: Instant) -> Result<(), Lost> {
        self.line.begin();
        self.input.take(usize::MAX);
        let keys = Keys::Ik { own: &self.flash.own, remote: Some(self.flash.hub) };
        let opening = Opening::connect(&keys, board).map_err(secure)?;
        self.link = Link::Opening(opening, now + HANDSHAKE);
        Ok(())
    }

    /// The connection is over: what is to be said of that is said, and the next one waits its time.
    fn lost(&mut self, board: &mut impl Board, lost: &Lost) {
        let now = board.now();
        if let Link::Open(records, session) = &mut self.link {
            match lost {
                Lost::Secure(fault) => session.close(now, Code::Malformed, fault.reason()), // SEC-13
                _ => session.handle_eof(now),
            }
            records.seal(now, &mut self.out, |out| {
                let _ = session.poll_transmit(now, out);
            });
            self.readings.disconnected(session);
        }
        if !matches!(self.link, Link::Down | Link::Ending) {
            board.tell(format_args!("the connection is over: {lost}"));
            self.backoff.next(now, board);
            self.link = Link::Ending;
        }
        self.input.take(usize::MAX);
    }

    /// Gives the UART what it takes.
    fn say(&mut self, board: &mut impl Board) {
        if let Link::Opening(opening, _) = &mut self.link {
            opening.poll_transmit(&mut self.out);
        }
        loop {
            let mut wire = [0; 64];
            let said = self.line.say(self.out.pending(), &mut wire);
            self.out.sent(said.taken);
            let mut rest = &wire[..said.put];
            while !rest.is_empty() {
                // A UART takes 64 octets in some milliseconds; a firmware with more to do keeps them.
                rest = &rest[board.write(rest)..];
            }
            if said.put > 0 {
                continue;
            }
            if matches!(self.link, Link::Ending) {
                self.line.end();
                self.out.sent(self.out.pending().len());
                self.link = Link::Down;
                continue;
            }
            return;
        }
    }
}

/// An event of the session; an error where it is over with it.
fn on(
    board: &mut impl Board,
    backoff: &mut Backoff,
    readings: &mut Readings,
    session: &mut Session,
    event: &Event<'_>,
) -> Result<(), Lost> {
    readings.on(board, session, event);
    match event {
        Event::Welcome(_) => {
            backoff.succeeded(board.now());
            Ok(())
        }
        Event::Closed(Closed { code, fault, .. }) => {
            board.tell(format_args!("the session was closed: {code:?}"));
            Err(Lost::Session(fault.map_or("the session was closed", |fault| fault.reason())))
        }
        _ => Ok(()),
    }
}

fn secure(error: SecureError) -> Lost {
    Lost::Secure(Fault::Handshake(error))
}
