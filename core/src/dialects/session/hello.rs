//! HELLO and WELCOME (SPEC §4), and what they negotiate.

use core::time::Duration;

use subtle::ConstantTimeEq;

use super::VARINT_MAX;
use super::fault::{Broken, Fault};
use super::frame::Kind;
use super::wire::{Reader, Sink, number, string};
use crate::compression::Codec;
use crate::varint::leb128;

/// The one version there is.
pub const VERSION: u8 = 1;

const FEATURES: u64 = 1;
const MAX_FRAME: u64 = 2;
const IN_FLIGHT: u64 = 3;
const CREDIT: u64 = 4;
const KEEPALIVE: u64 = 5;
const SESSION: u64 = 6;
const RECEIVED: u64 = 7;
const EXPIRY: u64 = 8;
const AUTH: u64 = 9;
const NAME: u64 = 10;
/// From here on, what is not known is ignored (PAR-2).
const FIRST_OPTIONAL: u64 = 64;

/// The longest name, in octets.
pub const NAME_MAX: usize = 256;
/// The largest frame anybody may accept, in octets (HSK-6): what a message is, is one frame, so
/// this is also the largest message.
pub const MAX_FRAME_CEILING: u32 = 16 << 20;
/// The smallest largest frame (HSK-6): less carries no useful message.
pub const MAX_FRAME_FLOOR: u32 = 256;
/// The longest keepalive, in milliseconds: a day (HSK-9).
pub const KEEPALIVE_CEILING: u32 = 86_400_000;
/// What absent limits mean (SPEC §4).
pub(super) const DEFAULT_MAX_FRAME: u32 = 1 << 20;
pub(super) const DEFAULT_IN_FLIGHT: u16 = 1024;
pub(super) const DEFAULT_CREDIT: u64 = 1 << 20;

/// What a peer can do beyond the base (SPEC §4.1): a set.
///
/// ```
/// use bowline_core::session::Features;
/// let both = Features::QUEUES | Features::ROOMS;
/// assert!(both.contains(Features::ROOMS) && !both.contains(Features::HISTORY));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u16);

impl Features {
    /// Nothing beyond the base.
    pub const NONE: Features = Features(0);
    /// OFFER, TAKE, SETTLE.
    pub const QUEUES: Features = Features(1);
    /// JOIN, LEAVE.
    pub const ROOMS: Features = Features(2);
    /// PRESENCE, and JOIN's flag.
    pub const PRESENCE: Features = Features(4);
    /// HISTORY.
    pub const HISTORY: Features = Features(8);
    /// Payloads compressed by LZ4.
    pub const LZ4: Features = Features(0x10);
    /// Payloads compressed by Zstandard.
    pub const ZSTD: Features = Features(0x20);
    /// RETAIN, RETAINED, and what SUBSCRIBE says of them.
    pub const RETAINED: Features = Features(0x100);
    /// TUNNEL, DATA, WINDOW, RESET.
    pub const RELAY: Features = Features(0x200);
    /// All that this version knows. Secure mode and datagrams have reserved bits.
    pub const ALL: Features = Features(0x33F);

    /// That payloads may be compressed by `codec`.
    #[must_use]
    pub const fn of_codec(codec: Codec) -> Features {
        match codec {
            Codec::Lz4 => Self::LZ4,
            Codec::Zstd => Self::ZSTD,
        }
    }

    /// By which codec to compress: the first of `wanted` that was agreed to.
    #[must_use]
    pub fn codec(self, wanted: &[Codec]) -> Option<Codec> {
        wanted.iter().copied().find(|codec| self.contains(Self::of_codec(*codec)))
    }

    /// The known ones of a bit set; the others are ignored (FEA-2).
    #[must_use]
    pub const fn from_bits(bits: u64) -> Features {
        Features((bits & Self::ALL.bits()) as u16)
    }

    /// The bit set.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0 as u64
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// These but for those in `other`.
    #[must_use]
    pub const fn without(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }
}

impl core::ops::BitOr for Features {
    type Output = Features;
    fn bitor(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }
}

/// The public name of a session: it may be logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl core::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl core::fmt::Display for SessionId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

/// The secret that resumes a session. Compared in constant time, never printed (RES-4).
#[derive(Clone, Copy)]
pub struct ResumeKey(pub [u8; 16]);

impl PartialEq for ResumeKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ResumeKey {}

impl core::fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ResumeKey(..)")
    }
}

/// How many reliable frames went each way over a session's life (SPEC §6).
///
/// A session keeps these from connection to connection; see [`super::Session::counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sent by this side.
    pub sent: u64,
    /// Of those, acknowledged by the other.
    pub acked: u64,
    /// Received from the other side and accepted.
    pub received: u64,
}

/// The limits that one side announces to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame it takes, in octets of body.
    pub max_frame: u32,
    /// How many reliable frames it takes unacknowledged.
    pub in_flight: u16,
    /// How many octets it takes at first.
    pub credit: u64,
    /// How often it wants to hear from the other.
    pub keepalive: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: DEFAULT_MAX_FRAME,
            in_flight: DEFAULT_IN_FLIGHT,
            credit: DEFAULT_CREDIT,
            keepalive: None,
        }
    }
}

impl Limits {
    /// Takes one of the limits, if `id` is one.
    fn read(&mut self, id: u64, value: &[u8]) -> Result<bool, Broken> {
        match id {
            MAX_FRAME => self.max_frame = within(value, MAX_FRAME_FLOOR, MAX_FRAME_CEILING, "max frame")?,
            IN_FLIGHT => self.in_flight = within(value, 1, u32::from(u16::MAX), "in flight")? as u16,
            CREDIT => match number(value)? {
                0 => return Err(Broken::BadLimit("credit is 0")),
                n => self.credit = n,
            },
            KEEPALIVE => {
                let millis = within(value, 0, KEEPALIVE_CEILING, "keepalive is longer than a day")?;
                self.keepalive = (millis > 0).then(|| Duration::from_millis(u64::from(millis)));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Writes those that differ from what absent ones mean.
    fn write(&self, to: &mut dyn Sink) {
        if self.max_frame != DEFAULT_MAX_FRAME {
            to.parameter(MAX_FRAME, u64::from(self.max_frame));
        }
        if self.in_flight != DEFAULT_IN_FLIGHT {
            to.parameter(IN_FLIGHT, u64::from(self.in_flight));
        }
        if self.credit != DEFAULT_CREDIT {
            to.parameter(CREDIT, self.credit);
        }
        if let Some(keepalive) = self.keepalive {
            let millis = keepalive.as_millis().clamp(1, u128::from(KEEPALIVE_CEILING));
            to.parameter(KEEPALIVE, millis as u64);
        }
    }
}

fn within(value: &[u8], floor: u32, ceiling: u32, what: &'static str) -> Result<u32, Broken> {
    match u32::try_from(number(value)?) {
        Ok(n) if (floor..=ceiling).contains(&n) => Ok(n),
        _ => Err(Broken::BadLimit(what)),
    }
}

/// How a client says who it is (SPEC §4.3).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth<'a> {
    /// Not at all.
    #[default]
    None,
    /// User and password, in clear: only over an encrypted transport or loopback (AUT-6).
    Password {
        /// The user.
        user: &'a str,
        /// The password.
        password: &'a [u8],
    },
    /// A token, in clear (AUT-6).
    Token(&'a [u8]),
    /// SCRAM-SHA-256, its first message; see [`crate::scram`].
    Scram(&'a [u8]),
    /// Any other method by its number, and its data.
    Other(u64, &'a [u8]),
}

impl<'a> Auth<'a> {
    /// The method's number.
    #[must_use]
    pub const fn method(&self) -> u64 {
        match self {
            Auth::None => 0,
            Auth::Password { .. } => 1,
            Auth::Token(_) => 2,
            Auth::Scram(_) => 3,
            Auth::Other(n, _) => *n,
        }
    }

    fn read(value: &'a [u8]) -> Result<Self, Broken> {
        let mut r = Reader(value);
        let method = r.varint()?;
        let data = r.0;
        // Data that does not fit its method is an authentication that fails (AUT-1), not a
        // malformed frame: it comes out as the method's number, which nobody accepts.
        let password = |r: &mut Reader<'a>| {
            let user = r.string().ok()?;
            Some(Auth::Password { user, password: r.rest() })
        };
        Ok(match method {
            0 if data.is_empty() => Auth::None,
            1 => password(&mut r).unwrap_or(Auth::Other(1, data)),
            2 => Auth::Token(data),
            3 => Auth::Scram(data),
            n => Auth::Other(n, data),
        })
    }

    fn write(&self, to: &mut dyn Sink) {
        let method = self.method().min(VARINT_MAX);
        let head = leb128::encoded_len(method);
        to.varint(AUTH);
        match *self {
            Auth::None => to.bytes(&[0]),
            Auth::Password { user, password } => {
                let user_len = leb128::encoded_len(user.len() as u64) + user.len();
                to.varint((head + user_len + password.len()) as u64);
                to.varint(method);
                to.bytes(user.as_bytes());
                to.put(password);
            }
            Auth::Token(data) | Auth::Scram(data) | Auth::Other(_, data) => {
                to.varint((head + data.len()) as u64);
                to.varint(method);
                to.put(data);
            }
        }
    }
}

impl core::fmt::Debug for Auth<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Auth::None => f.write_str("None"),
            Auth::Password { user, .. } => write!(f, "Password {{ user: {user:?}, .. }}"),
            Auth::Token(_) => f.write_str("Token(..)"),
            Auth::Scram(_) => f.write_str("Scram(..)"),
            Auth::Other(n, _) => write!(f, "Other({n}, ..)"),
        }
    }
}

/// What a client needs to resume a session (RES-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The session's name.
    pub session: SessionId,
    /// Its secret.
    pub key: ResumeKey,
    /// What went each way so far.
    pub counts: Counts,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connect<'a> {
    /// Who it is.
    pub auth: Auth<'a>,
    /// The session to go on with, where there is one.
    pub resume: Option<Resume>,
    /// How long the session should outlive its connection; zero: not at all.
    pub expiry: Duration,
    /// What it calls itself, for logs; at most [`NAME_MAX`] octets, or empty.
    pub name: &'a str,
}

/// HELLO as a server received it.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'b> {
    /// What the client can do beyond the base.
    pub features: Features,
    /// What it takes.
    pub limits: Limits,
    /// The session it wants to resume: name, secret, and how many reliable frames it received.
    pub resume: Option<(SessionId, ResumeKey, u64)>,
    /// How long its session should outlive the connection.
    pub expiry: Duration,
    /// Who it says it is.
    pub auth: Auth<'b>,
    /// What it calls itself.
    pub name: &'b str,
}

/// What a server answers, and what a client received, in WELCOME.
#[derive(Clone, Copy, Debug, Default)]
pub struct Welcome<'a> {
    /// The session, where it outlives the connection.
    pub session: Option<(SessionId, ResumeKey)>,
    /// For a resumed session, how many reliable frames the server has received.
    pub received: Option<u64>,
    /// How long the session outlives its connection; zero: not at all.
    pub expiry: Duration,
    /// The last step of the authentication.
    pub auth: &'a [u8],
    /// What the server calls itself; at most [`NAME_MAX`] octets, or empty.
    pub name: &'a str,
    /// What both can do beyond the base. Set by the machine; ignored when a server answers.
    pub features: Features,
    /// What the server takes. Set by the machine; ignored when a server answers.
    pub limits: Limits,
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(VARINT_MAX).min(VARINT_MAX)
}

fn name(value: &[u8]) -> Result<&str, Broken> {
    if value.len() > NAME_MAX {
        return Err(Broken::Malformed("a name has more than 256 octets"));
    }
    string(value)
}

fn session(value: &[u8]) -> Result<(SessionId, ResumeKey), Broken> {
    let mut r = Reader(value);
    let both = (SessionId(r.array()?), ResumeKey(r.array()?));
    r.end()?;
    Ok(both)
}

/// Calls `each` for every parameter, in ascending order (PAR-1); `each` says whether it knows it.
pub(super) fn parameters<'b>(
    mut r: Reader<'b>,
    mut each: impl FnMut(u64, &'b [u8]) -> Result<bool, Broken>,
) -> Result<(), Broken> {
    let mut next = 0;
    while !r.is_empty() {
        let id = r.varint()?;
        if id < next {
            return Err(Broken::Malformed("parameters are not in ascending order"));
        }
        next = id + 1;
        let value = r.bytes()?;
        if !each(id, value)? && id < FIRST_OPTIONAL {
            return Err(Broken::Unsupported("an unknown parameter"));
        }
    }
    Ok(())
}

pub(super) fn write_hello(features: Features, limits: &Limits, connect: &Connect<'_>, to: &mut dyn Sink) {
    to.put(&[VERSION, VERSION]);
    if features != Features::NONE {
        to.parameter(FEATURES, features.bits());
    }
    limits.write(to);
    if let Some(resume) = &connect.resume {
        write_session(resume.session, resume.key, to);
        to.parameter(RECEIVED, resume.counts.received);
    }
    if !connect.expiry.is_zero() {
        to.parameter(EXPIRY, millis(connect.expiry));
    }
    if connect.auth != Auth::None {
        connect.auth.write(to);
    }
    write_name(connect.name, to);
}

pub(super) fn write_welcome(limits: &Limits, welcome: &Welcome<'_>, to: &mut dyn Sink) {
    to.put(&[VERSION]);
    if welcome.features != Features::NONE {
        to.parameter(FEATURES, welcome.features.bits());
    }
    limits.write(to);
    if let Some((id, key)) = welcome.session {
        write_session(id, key, to);
    }
    if let Some(received) = welcome.received {
        to.parameter(RECEIVED, received);
    }
    if !welcome.expiry.is_zero() {
        to.parameter(EXPIRY, millis(welcome.expiry));
    }
    if !welcome.auth.is_empty() {
        to.varint(AUTH);
        to.bytes(welcome.auth);
    }
    write_name(welcome.name, to);
}

fn write_session(id: SessionId, key: ResumeKey, to: &mut dyn Sink) {
    to.varint(SESSION);
    to.varint(32);
    to.put(&id.0);
    to.put(&key.0);
}

fn write_name(name: &str, to: &mut dyn Sink) {
    if !name.is_empty() {
        to.varint(NAME);
        to.bytes(name.as_bytes());
    }
}

pub(super) fn read_hello(body: &[u8]) -> Result<Hello<'_>, Fault> {
    let at = |b: Broken| b.at(Kind::Hello);
    let mut r = Reader(body);
    let (lowest, highest) = (r.u8().map_err(at)?, r.u8().map_err(at)?);
    if lowest == 0 || lowest > highest {
        return Err(Broken::Malformed("the lowest version is 0, or above the highest").at(Kind::Hello));
    }
    if lowest > VERSION {
        return Err(Fault::Version { lowest, highest });
    }
    let mut hello = Hello {
        features: Features::NONE,
        limits: Limits::default(),
        resume: None,
        expiry: Duration::ZERO,
        auth: Auth::None,
        name: "",
    };
    let (mut wanted, mut received) = (None, None);
    parameters(r, |id, value| {
        match id {
            FEATURES => hello.features = Features::from_bits(number(value)?),
            SESSION => wanted = Some(session(value)?),
            RECEIVED => received = Some(number(value)?),
            EXPIRY => hello.expiry = Duration::from_millis(number(value)?),
            AUTH => hello.auth = Auth::read(value)?,
            NAME => hello.name = name(value)?,
            _ => return hello.limits.read(id, value),
        }
        Ok(true)
    })
    .map_err(at)?;
    hello.resume = match (wanted, received) {
        (Some((id, key)), Some(received)) => Some((id, key, received)),
        (None, None) => None,
        _ => return Err(at(Broken::Malformed("session and received go together"))),
    };
    Ok(hello)
}

pub(super) fn read_welcome<'b>(body: &'b [u8], offered: Features) -> Result<Welcome<'b>, Fault> {
    let at = |b: Broken| b.at(Kind::Welcome);
    let mut r = Reader(body);
    let version = r.u8().map_err(at)?;
    if version != VERSION {
        return Err(Fault::Version { lowest: version, highest: version });
    }
    let mut welcome = Welcome::default();
    let mut chosen = 0;
    parameters(r, |id, value| {
        match id {
            FEATURES => chosen = number(value)?,
            SESSION => welcome.session = Some(session(value)?),
            RECEIVED => welcome.received = Some(number(value)?),
            EXPIRY => welcome.expiry = Duration::from_millis(number(value)?),
            AUTH => welcome.auth = value,
            NAME => welcome.name = name(value)?,
            _ => return welcome.limits.read(id, value),
        }
        Ok(true)
    })
    .map_err(at)?;
    if chosen & !offered.bits() != 0 {
        return Err(at(Broken::Unsupported("a feature was chosen that was not offered")));
    }
    welcome.features = Features::from_bits(chosen);
    Ok(welcome)
}
