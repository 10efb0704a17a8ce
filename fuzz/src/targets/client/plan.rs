//! What is to happen.

use std::time::Duration;

use arbitrary::Arbitrary;
use bowline_core::backoff;
use bowline_core::endpoint::client::{ClientConfig, Credentials, QueueLimits, WhenFull};
use bowline_core::session::{Config, Limits};

use super::{EXPIRY, REQUESTS};

#[derive(Arbitrary, Debug)]
pub(super) struct Plan<'a> {
    pub(super) outgoing: (u8, u16),
    pub(super) incoming: (u8, u16),
    pub(super) credentials: u8,
    pub(super) drop_oldest: bool,
    pub(super) keep_unreliable: bool,
    pub(super) reconnect: bool,
    pub(super) attempts: Option<u8>,
    pub(super) keepalive: Option<u8>,
    pub(super) credit: u8,
    pub(super) little: bool,
    /// In flight and credit at the server.
    pub(super) theirs: (u8, u8),
    pub(super) steps: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
pub(super) enum Step<'a> {
    Publish {
        topic: u8,
        size: u16,
        reliable: bool,
        expiry: Option<u8>,
    },
    Subscribe {
        filter: u8,
        reliable: bool,
        credit: Option<u8>,
        auto_grant: bool,
        serve: bool,
    },
    Unsubscribe(u8),
    Grant {
        which: u8,
        octets: u16,
    },
    Request {
        topic: u8,
        size: u8,
        seconds: u8,
        many: bool,
    },
    Cancel(u8),
    Respond {
        which: u8,
        size: u8,
        more: bool,
    },
    Join {
        room: u8,
        credit: Option<u8>,
        since: Option<u8>,
        history: u8,
        presence: u8,
        echo: bool,
        auto_grant: bool,
    },
    Leave(u8),
    Send {
        which: u8,
        size: u16,
        key: Option<u8>,
    },
    Show {
        which: u8,
        size: u8,
    },
    Ping,
    Drain(u8),
    Close,
    /// Takes so many events.
    Take(u8),
    Dial {
        works: bool,
    },
    /// The server's session decides about the HELLO.
    Welcome {
        resume: bool,
        named: bool,
    },
    Refuse(u8),
    Server(Say<'a>),
    Raw(&'a [u8]),
    Frame {
        octet: u8,
        body: &'a [u8],
    },
    Corrupt {
        from_end: u8,
        byte: u8,
    },
    Up(u16),
    Down(u16),
    Run,
    Eof,
    Gone,
    Pass(u16),
}

/// What the server's session says.
#[derive(Arbitrary, Debug)]
pub(super) enum Say<'a> {
    Message { id: u8, size: u16, reliable: bool },
    Publish { reliable: bool },
    Result { kind: u8, id: u8, status: u8 },
    Answer { which: u8, status: u8, more: bool, size: u8 },
    Request { id: u8, subscription: u8, millis: u16, payload: &'a [u8] },
    Cancel(u8),
    Subscribe(u8),
    Recorded { id: u8, offset: u8, size: u8, key: Option<u8> },
    Joined { id: u8, epoch: u8, offset: u8, recovered: bool },
    Presence { id: u8, member: bool, gone: bool, data: &'a [u8] },
    Drain { seconds: u8, retry: u8, endpoint: bool },
    Ping,
    Close(u8),
}

pub(super) fn limits(in_flight: u8, credit: u8, keepalive: Option<u8>) -> Limits {
    Limits {
        max_frame: 4096,
        in_flight: u16::from(in_flight).max(1),
        credit: u64::from(credit).max(1) << 4,
        keepalive: keepalive.map(|k| Duration::from_millis(u64::from(k) << 6)),
    }
}

pub(super) fn config(plan: &Plan<'_>) -> ClientConfig {
    let queue = |(messages, bytes): (u8, u16)| QueueLimits {
        max_messages: usize::from(messages % 16) + 1,
        max_bytes: usize::from(bytes) + 1,
    };
    let credentials = match plan.credentials >> 5 {
        0 => Credentials::password("user", b"word"),
        1 => Credentials::token("x".repeat(usize::from(plan.credentials & 31) * 120)),
        _ => Credentials::None,
    };
    ClientConfig {
        session: Config { limits: limits(8, plan.credit, plan.keepalive), ..Config::default() },
        credentials,
        name: "client".into(),
        expiry: EXPIRY,
        backoff: backoff::Policy { max_attempts: plan.attempts.map(u32::from), ..Default::default() },
        endpoints: 2,
        outgoing: queue(plan.outgoing),
        when_full: if plan.drop_oldest { WhenFull::DropOldest } else { WhenFull::Refuse },
        keep_unreliable: plan.keep_unreliable,
        incoming: queue(plan.incoming),
        requests: REQUESTS,
        reconnect: plan.reconnect,
        ..ClientConfig::default()
    }
}

/// One of `all`, if there is any.
pub(super) fn pick<T: Copy>(all: &[T], which: u8) -> Option<T> {
    all.get(usize::from(which) % all.len().max(1)).copied()
}
