//! What comes in of rooms.

use alloc::string::String;

use bytes::Bytes;

use super::super::event::{ClientEvent, Message};
use super::super::subscriptions::{SubState, Window};
use super::super::{Client, Command};
use super::event::{Presence, RoomEvent, RoomId, RoomMessage, RoomPlace};
use crate::session::{Fault, Joined, Kind, Outcome, Property, Received};
use crate::status::Status;
use crate::varint::leb128;

impl Client {
    /// A message because of a room; or of nothing that is known (MSG-3).
    pub(in super::super) fn on_room_message(&mut self, id: u64, received: &Received<'_>, size: u32) {
        // Those of a room are not reliable (ROO-5). If one is, it is accepted in its turn all the same.
        self.skip(received.reliable);
        let Some(room) = self.rooms.all.get_mut(&id) else { return };
        // What comes before the answer to JOIN is what the session was sent before; it comes again.
        if room.state != SubState::Active {
            return;
        }
        if room.window.as_mut().is_some_and(|w| !w.receive(u64::from(size))) {
            return self.break_off(Fault::CreditExceeded { kind: Kind::Message });
        }
        let recorded = received.properties.iter().find_map(|p| match p {
            Property::Recorded(offset, stamp) => Some((offset, stamp)),
            _ => None,
        });
        let (offset, stamp) = recorded.unwrap_or_default();
        let epoch = room.place.map_or(0, |place| place.epoch);
        let held = !room.joined;
        let message = RoomMessage {
            message: Message::copy(received, if held { 0 } else { size }, self.connection),
            place: RoomPlace { epoch, offset },
            stamp,
            missed: 0,
            publish: None,
        };
        if !held {
            return self.hand_out(id, message);
        }
        let grant = room.window.as_mut().is_some_and(|w| w.take(u64::from(size)));
        self.rooms.held.add(&message);
        room.held.push_back(message);
        // What is held is bounded: the oldest goes, and is lost.
        while self.rooms.held.exceeds(self.config.incoming)
            && let Some(oldest) = room.held.pop_front()
        {
            self.rooms.held.remove(&oldest);
            room.overrun = true;
        }
        if grant {
            self.command(Command::Grant(id));
        }
    }

    /// Gives a message to the application: with its place, once, and known as its own.
    fn hand_out(&mut self, id: u64, mut message: RoomMessage) {
        let Some(room) = self.rooms.all.get_mut(&id) else { return };
        let (echo, offset) = (room.echo, message.place.offset);
        if offset > 0 {
            let Some(place) = room.place.as_mut().filter(|place| offset > place.offset) else {
                // It came before. What is not handed out is not taken either.
                let _ = self.grant_room(self.now, RoomId(id), &message);
                return;
            };
            message.place.epoch = place.epoch;
            message.missed = offset - place.offset - 1;
            place.offset = offset;
        }
        if let Some(key) = message.message.properties().deduplication() {
            message.publish = self.rooms.came_back(id, key);
        }
        let event = match message {
            RoomMessage { publish: Some(publish), place, stamp, missed, .. } if !echo => {
                let _ = self.grant_room(self.now, RoomId(id), &message);
                RoomEvent::Sent { publish, place, stamp, missed }
            }
            _ => RoomEvent::Message(message),
        };
        self.inbox.push(ClientEvent::Room { room: RoomId(id), event });
        self.slow_down();
    }

    /// ROO-4: the client is in the room; what was held is of this epoch.
    pub(in super::super) fn on_joined(&mut self, joined: &Joined<'_>) {
        let Some(room) = self.rooms.all.get_mut(&joined.id) else { return };
        if room.state != SubState::Active || room.joined {
            return;
        }
        room.joined = true;
        let Joined { id, epoch, offset, .. } = *joined;
        // Behind a restart the epoch is another, and who has seen nothing that was lost is recovered all
        // the same: the offsets go on.
        let had = room.place.filter(|place| joined.recovered || place.epoch == epoch);
        let recovered = joined.recovered && had.is_some() && !room.overrun;
        let held = core::mem::take(&mut room.held);
        held.iter().for_each(|message| self.rooms.held.remove(message));
        let had = had.map_or(0, |place| place.offset);
        // Where something is lost, what was before the first that came is not counted.
        let first = held.iter().map(|m| m.place.offset).find(|offset| *offset > had);
        let begin = match recovered {
            true => had,
            false => first.map_or(had.max(offset), |first| first - 1),
        };
        room.place = Some(RoomPlace { epoch, offset: begin });
        let event = RoomEvent::Joined {
            place: RoomPlace { epoch, offset },
            recovered,
            members: joined.count,
            member: joined.member.into(),
        };
        self.inbox.push(ClientEvent::Room { room: RoomId(id), event });
        for mut message in held {
            message.place.epoch = epoch;
            self.hand_out(id, message);
        }
        self.slow_down();
    }

    /// PSC-1 to PSC-4: who is there.
    pub(in super::super) fn on_presence(&mut self, id: u64, member: &str, data: &[u8], gone: bool) {
        let Some(room) = self.rooms.all.get(&id) else { return };
        // What came before JOINED is told anew.
        if room.state != SubState::Active || !room.joined {
            return;
        }
        let presence = match (member, gone) {
            ("", true) => Presence::Anew,
            ("", false) => match leb128::decode(data) {
                Ok(Some((count, len))) if len == data.len() => Presence::Count(count),
                _ => {
                    let what = "how many there are is no number";
                    return self.break_off(Fault::Malformed { kind: Kind::Presence, what });
                }
            },
            (member, true) => Presence::Gone { member: member.into() },
            (member, false) => {
                let (member, user) = member.split_once(':').unwrap_or((member, ""));
                let data = Bytes::copy_from_slice(data);
                Presence::Here { member: member.into(), user: user.into(), data }
            }
        };
        self.inbox.push(ClientEvent::Room { room: RoomId(id), event: RoomEvent::Presence(presence) });
        self.slow_down();
    }

    /// The answer to JOIN, LEAVE or PRESENCE.
    pub(in super::super) fn on_room_result(&mut self, kind: Kind, outcome: &Outcome<'_>) {
        let (id, status) = (outcome.id, outcome.status);
        let Some(room) = self.rooms.all.get_mut(&id) else { return };
        let reason = || String::from(outcome.reason);
        match (kind, room.state) {
            // The server goes away: the next one is asked.
            (Kind::Join, SubState::Asked) if status == Status::Draining => room.state = SubState::Waiting,
            (Kind::Join, SubState::Asked) if status.is_ok() => {
                room.state = SubState::Active;
                // SUB-1: the window begins here, on both sides.
                room.window = room.credit.map(|credit| Window::new(credit, true));
            }
            (Kind::Join, SubState::Asked) => {
                // ROO-6: what was before stands; but nobody wants it here.
                self.command(Command::Leave(id));
                self.end_room(id, status, reason());
            }
            (Kind::Leave, SubState::Left) => self.end_room(id, Status::Ok, String::new()),
            (Kind::Presence, state) if state.is_wanted() => {
                let event = RoomEvent::NotShown { status, reason: reason() };
                self.inbox.push(ClientEvent::Room { room: RoomId(id), event });
            }
            _ => {}
        }
    }
}
