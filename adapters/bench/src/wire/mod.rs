//! What is spoken: encodings for load, a few lines each. Frames are encoded once, before the clock runs.

mod bowline;
mod nats;
mod raw;
#[cfg(test)]
mod tests;

pub(crate) use bowline::Bowline;
pub(crate) use nats::Nats;
pub(crate) use raw::Raw;

/// Something that a server sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The session is open, and this is what the server takes.
    Opened(Allowance),
    /// Our ping was answered.
    Pong,
    /// The server wants an answer with this token.
    Ping([u8; 8]),
    /// A message came.
    Message { payload: &'a [u8], reliable: bool },
    /// So many of our reliable messages arrived, since the beginning.
    Acked(u64),
    /// So many octets may be sent, since the beginning.
    Credit(u64),
    /// The server says that something is wrong, or ends the session.
    Trouble(String),
}

/// How much a server takes before it says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Octets of message frames.
    pub(crate) credit: u64,
    /// Reliable messages that are not acknowledged.
    pub(crate) in_flight: u64,
}

impl Allowance {
    /// For protocols that know no such limit.
    pub(crate) const UNLIMITED: Self = Self { credit: u64::MAX, in_flight: u64::MAX };
}

/// An encoded message whose payload is filled in for each sending.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// The whole frame.
    pub(crate) bytes: Vec<u8>,
    /// Where its payload begins.
    pub(crate) payload_at: usize,
    /// What it takes of the credit.
    pub(crate) cost: u64,
}

/// What an attacker sends: once the opening, then the rest over and over.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    /// Sent first.
    pub(crate) opening: Vec<u8>,
    /// Sent after the server has answered the opening (at once, if there is none).
    pub(crate) repeat: Vec<u8>,
}

/// What a flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FloodKind {
    /// Pings whose answers are never read
    Ping,
    /// Random octets
    Garbage,
    /// Half a frame, then the connection is dropped, over and over
    Half,
    /// Frames that announce the largest length there is, and octets behind them
    Length,
}

/// A protocol, from a client's side.
pub(crate) trait Wire: Copy {
    /// What a client sends at first; nothing where a connection needs no opening.
    fn opening(self, out: &mut Vec<u8>);
    /// Whether there is anything of that kind.
    fn opens(self) -> bool {
        let mut opening = Vec::new();
        self.opening(&mut opening);
        !opening.is_empty()
    }
    /// Asks for a topic's messages.
    fn subscribe(self, id: u64, topic: &str, reliable: bool, out: &mut Vec<u8>);
    /// A message to a topic.
    fn template(self, topic: &str, payload: &[u8], reliable: bool) -> Template;
    /// Something that the server answers with [`Event::Pong`]; `false` if there is no such thing.
    fn ping(self, out: &mut Vec<u8>) -> bool;
    /// The answer to [`Event::Ping`].
    fn pong(self, token: [u8; 8], out: &mut Vec<u8>);
    /// Says how many reliable messages came, since the beginning.
    fn ack(self, count: u64, out: &mut Vec<u8>);
    /// Reads whole frames, and returns how many octets they took.
    fn parse(self, data: &[u8], on: impl FnMut(Event<'_>)) -> Result<usize, String>;
    /// The beginning of an opening that never ends.
    fn slow_opening(self) -> Vec<u8>;
    /// How to attack with `kind`.
    fn attack(self, kind: FloodKind) -> Attack;
}

/// An opening, and something to repeat behind it.
fn attack_after_opening(wire: impl Wire, repeat: Vec<u8>) -> Attack {
    let mut opening = Vec::new();
    wire.opening(&mut opening);
    Attack { opening, repeat }
}

/// Octets without meaning, the same every time.
fn garbage() -> Attack {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let repeat = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    Attack { opening: Vec::new(), repeat: repeat.take(65_536).collect() }
}
