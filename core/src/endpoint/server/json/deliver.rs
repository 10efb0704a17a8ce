//! What the hub has for a client.

use alloc::vec::Vec;

use super::super::connection::Turn;
use super::super::event::Dialect;
use super::super::inflating::Accepted;
use super::super::tracing::{self, Lent};
use super::cache::{Form, Shared};
use super::commands::place_of;
use super::rooms::{MAX_ROOM_ID, put_members};
use super::sink::Sink;
use super::talk::Talk;
use crate::hub::{Delivery, Joined, Members, Message, PresenceChange, PresenceMode, Quality, Take};
use crate::json::server::{self, About};
use crate::json::{ErrorCode, Kind, ROOM_PREFIX, Trace};
use crate::session::Properties;
use crate::status::Status;
use crate::time::Instant;
use crate::websocket::Frame;

/// What a delivery is answered with, by the hub's numbers.
type References = Vec<(u64, alloc::boxed::Box<str>)>;

impl Talk {
    /// Hands out what waits, as far as there is room.
    pub(super) fn deliver(&mut self, turn: &mut Turn<'_>, out: &mut impl Sink) {
        let Some(hub) = self.hub.filter(|_| self.is_open()) else { return };
        let (now, server) = (turn.now, &mut *turn.server);
        let mut teller =
            Teller { now, shared: &mut server.json, joins: &mut self.joins, asked: &mut self.asked };
        let mut taken = 0;
        loop {
            let mut settled = [0; 64];
            let mut count = 0;
            let lent = Lent {
                hub: &mut server.hub,
                tracing: &mut server.tracing,
                inflating: &mut server.inflating,
                accepted: Accepted::NOTHING,
            };
            let drained = tracing::drain(lent, now, (turn.key, hub), Dialect::Json, |delivery| {
                let Delivery::Message { id, quality, .. } = *delivery else {
                    return teller.tell(delivery, out);
                };
                // What is handed out is settled; this is not done while it is handed out.
                if count == settled.len() {
                    return Take::Blocked;
                }
                let taken = teller.tell(delivery, out);
                if taken.is_taken() && quality != Quality::AtMostOnce {
                    settled[count] = id;
                    count += 1;
                }
                taken
            });
            debug_assert!(drained.is_ok(), "an attached session can be drained");
            for id in &settled[..count] {
                let _ = server.hub.settle(now, hub, *id);
            }
            taken += drained.map_or(0, |d| d.taken);
            if count < settled.len() {
                break;
            }
        }
        turn.server.delivered(hub, Dialect::Json, taken);
    }
}

/// The trace that a message belongs to.
pub(super) fn trace_of(message: &Message) -> Option<Trace<'_>> {
    Trace::of(Properties::of_body(message.props()))
}

/// Writes deliveries.
struct Teller<'a> {
    now: Instant,
    shared: &'a mut Shared,
    joins: &'a mut References,
    asked: &'a mut References,
}

impl Teller<'_> {
    fn tell(&mut self, delivery: &Delivery<'_>, out: &mut impl Sink) -> Take {
        match *delivery {
            Delivery::Message { sid, message, retain, place, historic, .. } => {
                let place = place.copied();
                let room = message.topic().strip_prefix(ROOM_PREFIX).filter(|_| sid < MAX_ROOM_ID);
                let frame = match room {
                    Some(room) => {
                        let kind = match (historic, place) {
                            (true, _) => Kind::History,
                            (false, Some(_)) => Kind::Event,
                            (false, None) => Kind::Ephemeral,
                        };
                        self.shared.message(message, Form::Room(kind, place), out, |text| {
                            let place = place.map(place_of);
                            server::room_message(
                                text,
                                kind,
                                room,
                                place,
                                trace_of(message),
                                message.payload(),
                            );
                        })
                    }
                    None => self.of_topic(message, retain, out),
                };
                out.put_frame(self.now, &frame).into()
            }
            Delivery::Joined { sid, room, joined, members, presence } => {
                // JSN-27: who did not ask who is there is not told.
                let members = (presence == PresenceMode::Full).then_some(members);
                self.joined(sid, room, &joined, members.as_ref(), out)
            }
            Delivery::Presence { change, .. } => {
                let frame = self.shared.presence(change.key(), out, |text| put_change(text, &change));
                out.put_frame(self.now, &frame).into()
            }
            Delivery::Response { id, status, more, message } => {
                self.responded(id, status, more, message, out)
            }
            // A page neither answers requests nor takes anything exactly once.
            Delivery::Request { .. } => Take::Never,
            Delivery::Release { .. } | Delivery::Cancel { .. } => Take::Taken,
        }
    }

    fn of_topic(&mut self, message: &Message, retain: bool, out: &mut impl Sink) -> Frame {
        self.shared.message(message, Form::Topic(retain), out, |text| {
            server::topic_message(text, message.topic(), retain, trace_of(message), message.payload());
        })
    }

    /// JSN-19, JSN-27
    fn joined(
        &mut self,
        sid: u64,
        room: &str,
        joined: &Joined,
        members: Option<&Members<'_>>,
        out: &mut impl Sink,
    ) -> Take {
        // Who gave no id wants no answer.
        let Some(at) = self.joins.iter().position(|(of, _)| *of == sid) else { return Take::Taken };
        let mut text = self.shared.lend();
        let about = About { reference: Some(&self.joins[at].1), room: Some(room) };
        server::system(&mut text, "$joined", about, |payload| {
            payload.hex("epoch", joined.epoch).number("offset", joined.offset);
            payload.boolean("recovered", joined.recovered).hex("member", joined.member);
            payload.number("count", joined.count.into());
            if let Some(members) = members {
                put_members(payload, "members", members.is_listed(), members.iter());
            }
        });
        let taken = out.put_text(self.now, &text);
        self.shared.give_back(text);
        if taken {
            self.joins.swap_remove(at);
        }
        taken.into()
    }

    fn responded(
        &mut self,
        id: u64,
        status: Status,
        more: bool,
        message: &Message,
        out: &mut impl Sink,
    ) -> Take {
        let Some(at) = self.asked.iter().position(|(of, _)| *of == id) else { return Take::Taken };
        let mut text = self.shared.lend();
        let about = About { reference: Some(&self.asked[at].1), room: None };
        if status.is_ok() {
            server::response(&mut text, about, message.payload());
        } else {
            let code = ErrorCode::of_status(status);
            let why = match status {
                Status::NoResponder => "nobody answers requests on this topic",
                Status::Timeout => "the answer did not come in time",
                Status::ResponderGone => "who was to answer has gone",
                Status::NotAuthorized => "the access rules do not allow it",
                Status::Busy => "who was to answer has no room for it at present",
                _ => "the request was refused",
            };
            server::error(&mut text, about, code, why, code.retry_after());
        }
        let taken = out.put_text(self.now, &text);
        self.shared.give_back(text);
        if taken && !more {
            self.asked.swap_remove(at);
        }
        taken.into()
    }
}

/// JSN-25
fn put_change(text: &mut alloc::string::String, change: &PresenceChange<'_>) {
    let about = About { reference: None, room: Some(change.room()) };
    server::system(text, "$presence", about, |payload| {
        if change.is_listed() && change.is_snapshot() {
            put_members(payload, "members", true, change.joined());
        } else if change.is_listed() {
            put_members(payload, "joined", true, change.joined());
            put_members(payload, "changed", true, change.changed());
            payload.array("left", |list| change.left().for_each(|member| list.hex(member)));
        }
        payload.number("count", change.count().into());
    });
}
