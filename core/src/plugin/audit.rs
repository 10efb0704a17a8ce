//! A structured audit log: who did what, from where, when, and what came of it.

use super::client::{Client, Tags};
use super::context::{Record, Report};
use super::verdict::{Ask, Interest, Rejection, Verdict};
use super::{Context, Plugin};
use crate::access::Who;
use crate::hub::Message;

/// What goes into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of its own in a configuration")]
pub struct Audited {
    /// Sessions that open, and connections that end.
    pub sessions: bool,
    /// What the access rules and plugins deny.
    pub denials: bool,
    /// What is subscribed to, served and joined.
    pub subscriptions: bool,
    /// Every message that is published: its topic, never its payload.
    pub publishes: bool,
}

impl Default for Audited {
    /// Sessions and denials.
    fn default() -> Self {
        Self { sessions: true, denials: true, subscriptions: false, publishes: false }
    }
}

/// Writes an audit log: a [`Record`] for each thing that happens, which the adapter writes down. It judges
/// nothing, and sees what the plugins before it let through: put it last. No payload, password or token gets into
/// a record; texts that clients chose are cut at 256 octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audit(Audited);

impl Audit {
    /// Of this.
    #[must_use]
    pub const fn new(audited: Audited) -> Self {
        Self(audited)
    }
}

fn write(
    cx: &mut Context<'_>,
    client: &Client<'_>,
    action: &'static str,
    outcome: &'static str,
    of: [&str; 2],
) {
    let record = Record::of(cx.now(), client, action, outcome).about(of[0]).because(of[1]);
    cx.report(Report::Audit(record));
}

impl Plugin for Audit {
    fn interest(&self) -> Interest {
        let Audited { sessions, denials, subscriptions, publishes } = self.0;
        [
            (sessions, Interest::OPENED | Interest::CLOSED),
            (denials, Interest::DENIED),
            (subscriptions, Interest::ASKED),
            (publishes, Interest::MESSAGE_IN),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .fold(Interest::NONE, |all, (_, one)| all | one)
    }

    fn opened(&mut self, cx: &mut Context<'_>, client: &Client<'_>, resumed: bool) {
        write(cx, client, if resumed { "resume" } else { "open" }, "ok", ["", ""]);
    }

    fn closed(&mut self, cx: &mut Context<'_>, client: &Client<'_>, reason: &str) {
        let outcome = if client.session.is_some() { "ended" } else { "refused" };
        write(cx, client, if client.session.is_some() { "close" } else { "connect" }, outcome, ["", reason]);
    }

    fn denied(&mut self, cx: &mut Context<'_>, client: &Client<'_>, ask: &Ask<'_>, reason: &str) {
        write(cx, client, ask.label(), "denied", [ask.subject(), reason]);
    }

    fn asked(&mut self, cx: &mut Context<'_>, client: &Client<'_>, ask: &Ask<'_>) -> Result<(), Rejection> {
        write(cx, client, ask.label(), "ok", [ask.subject(), ""]);
        Ok(())
    }

    fn message_in(&mut self, cx: &mut Context<'_>, client: &Client<'_>, message: &Message) -> Verdict {
        write(cx, client, "publish", "ok", [message.topic(), ""]);
        Verdict::Pass
    }
}

/// A client of which nothing is known but where it came from.
#[must_use]
pub(crate) const fn stranger<'a>(who: Who<'a>, listener: &'a str, tags: &'a Tags) -> Client<'a> {
    Client { session: None, who, listener, dialect: "", tags }
}
