//! Rooms: joining, leaving, reading back, who is there (JSON.md §4, §5).

use alloc::format;

use super::super::connection::Turn;
use super::commands::place_of;
use super::deliver::trace_of;
use super::sink::Sink;
use super::talk::Talk;
use crate::hub::{
    HistoryMark, HistoryQuery, HistoryRecord, JoinOptions, MAX_ROOM_NAME, Place, PresenceMode, Refusal,
    SessionKey,
};
use crate::json::server::{self, About};
use crate::json::{self, Array, Command, ErrorCode, Kind, Mark, Object, ROOM_PREFIX};
use crate::topic::validate_topic;

/// What is read back where the client has lost its place and does not say how much it wants.
const LOST: u64 = 50;

/// Octets of an answer, at most one message above: what is left out is told as `more`.
pub(super) const MAX_PAGE: usize = 256 << 10;

/// Subscriptions by filters have greater ids.
pub(super) const MAX_ROOM_ID: u64 = 1 << 28;

/// Whether a room can be called so.
pub(super) fn check_name(room: &str) -> Result<(), Refusal> {
    if room.len() > MAX_ROOM_NAME {
        return Err(Refusal::Invalid("a room's name has at most 128 octets"));
    }
    Ok(validate_topic(room)?)
}

impl Talk {
    pub(super) fn of_room(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        about: About<'_>,
        command: &Command<'_>,
        out: &mut impl Sink,
    ) {
        let room = about.room.unwrap_or_default();
        if let Err(why) = check_name(room) {
            return self.refuse(turn, about, ErrorCode::BadRoom, why, out);
        }
        match *command {
            Command::Join { since, history, presence, data, .. } => {
                let options = JoinOptions {
                    // No epoch is 0.
                    since: since.map(|since| (since.epoch.unwrap_or(0), since.offset)),
                    history: history.unwrap_or(if since.is_some() { LOST } else { 0 }),
                    presence: match presence {
                        json::Presence::None => PresenceMode::None,
                        json::Presence::Count => PresenceMode::Count,
                        json::Presence::Full => PresenceMode::Full,
                    },
                    data: data.unwrap_or_default().as_bytes(),
                    ..JoinOptions::default()
                };
                // `$joined` comes behind what is read back.
                if let Err(refusal) = self.enter(turn, hub, about.reference, room, &options) {
                    self.refused_in_room(turn, about, refusal, out);
                }
            }
            Command::Leave { .. } => {
                self.leave(turn, hub, room);
                self.done(turn, "$ok", about, None, out);
            }
            Command::History { limit, mark, .. } => self.history(turn, hub, about, (limit, mark), out),
            Command::Members { .. } => self.members(turn, hub, about, out),
            Command::Presence { data, .. } => {
                let data = data.unwrap_or_default().as_bytes();
                match turn.server.hub.set_member_data(turn.now, hub, room, data) {
                    Ok(()) => self.done(turn, "$ok", about, None, out),
                    Err(refusal) => self.refused(turn, about, refusal, out),
                }
            }
            _ => {}
        }
    }

    /// Has the session be in a room.
    pub(super) fn enter(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        reference: Option<&str>,
        room: &str,
        options: &JoinOptions<'_>,
    ) -> Result<(), Refusal> {
        let server = &mut *turn.server;
        let (mut own, mut greatest) = (None, 0);
        for (name, sid) in server.hub.joined(hub) {
            greatest = greatest.max(sid);
            own = own.or((name == room).then_some(sid));
        }
        let sid = own.unwrap_or(greatest + 1);
        // After 2^28 joins one number is used again, which only one that was left can have.
        let sid = if sid < MAX_ROOM_ID { sid } else { self.free_room_id(turn, hub) };
        turn.server.hub.join(turn.now, hub, sid, room, options)?;
        self.joins.retain(|(of, _)| *of != sid);
        self.joins.extend(reference.map(|reference| (sid, reference.into())));
        Ok(())
    }

    /// The least id that no room of the session has.
    fn free_room_id(&self, turn: &Turn<'_>, hub: SessionKey) -> u64 {
        let is_free = |id: &u64| turn.server.hub.joined_as(hub, *id).is_none();
        (1..MAX_ROOM_ID).find(is_free).unwrap_or(1)
    }

    pub(super) fn leave(&mut self, turn: &mut Turn<'_>, hub: SessionKey, room: &str) {
        if let Some((_, sid)) = turn.server.hub.joined(hub).find(|(name, _)| *name == room) {
            self.joins.retain(|(of, _)| *of != sid);
        }
        let _ = turn.server.hub.leave(turn.now, hub, room);
    }

    /// JSN-22
    fn history(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        about: About<'_>,
        (limit, mark): (u64, Option<Mark>),
        out: &mut impl Sink,
    ) {
        let room = about.room.unwrap_or_default();
        let topic = format!("{ROOM_PREFIX}{room}");
        let query = match mark {
            None => HistoryQuery::last(limit),
            Some(Mark::Before(id)) => {
                HistoryQuery { before: Some(HistoryMark::Stamp(id)), ..HistoryQuery::last(limit) }
            }
            Some(Mark::After(id)) => {
                let from = HistoryMark::Stamp(id.saturating_add(1));
                HistoryQuery { limit: Some(limit), ..HistoryQuery::from(from) }
            }
        };
        let mut text = turn.server.json.lend();
        let refusal = match turn.server.hub.history(hub, &topic, &query) {
            Ok(page) => {
                let (kept, range, epoch) = (page.kept(), page.range(), page.epoch());
                let forward = matches!(mark, Some(Mark::After(_)));
                server::system(&mut text, "$history", about, |payload| {
                    let mut last = None;
                    payload.hex("epoch", epoch).array("messages", |list| {
                        let records = |list: &mut Array<'_>, record: HistoryRecord<'_>| {
                            last = Some(record.offset);
                            put_record(list, room, epoch, &record);
                            list.len() < MAX_PAGE
                        };
                        put_all(list, page, forward, records);
                    });
                    // Behind the last one, or behind all that has expired.
                    let more = match last {
                        Some(last) if forward => last + 1 < kept.end,
                        Some(last) => last > kept.start,
                        None if forward => range.end < kept.end,
                        None => range.start > kept.start,
                    };
                    payload.boolean("more", more);
                });
                None
            }
            // Nothing was ever said there.
            Err(Refusal::NotFound) => {
                server::system(&mut text, "$history", about, |payload| {
                    payload.raw("messages", "[]").boolean("more", false);
                });
                None
            }
            Err(refusal) => Some(refusal),
        };
        match refusal {
            None if about.reference.is_some() => self.say(turn, None, out, &text),
            None => {}
            Some(refusal) => self.refused_in_room(turn, about, refusal, out),
        }
        turn.server.json.give_back(text);
    }

    fn members(&mut self, turn: &mut Turn<'_>, hub: SessionKey, about: About<'_>, out: &mut impl Sink) {
        let mut text = turn.server.json.lend();
        let refusal = match turn.server.hub.members(hub, about.room.unwrap_or_default()) {
            Ok(members) => {
                server::system(&mut text, "$members", about, |payload| {
                    payload.number("count", members.count().into());
                    put_members(payload, "members", members.is_listed(), members.iter());
                });
                None
            }
            Err(Refusal::NotFound) => {
                server::system(&mut text, "$members", about, |payload| {
                    payload.number("count", 0).raw("members", "[]");
                });
                None
            }
            Err(refusal) => Some(refusal),
        };
        match refusal {
            None if about.reference.is_some() => self.say(turn, None, out, &text),
            None => {}
            Some(refusal) => self.refused_in_room(turn, about, refusal, out),
        }
        turn.server.json.give_back(text);
    }
}

fn put_all<'a>(
    list: &mut Array<'_>,
    page: impl DoubleEndedIterator<Item = HistoryRecord<'a>>,
    forward: bool,
    mut put: impl FnMut(&mut Array<'_>, HistoryRecord<'a>) -> bool,
) {
    if forward {
        let _ = { page }.all(|record| put(list, record));
    } else {
        let _ = page.rev().all(|record| put(list, record));
    }
}

fn put_record(list: &mut Array<'_>, room: &str, epoch: u64, record: &HistoryRecord<'_>) {
    let place = Place { epoch, offset: record.offset, stamp: record.stamp };
    list.element(|text| {
        let (place, trace) = (Some(place_of(place)), trace_of(record.message));
        server::room_message(text, Kind::History, room, place, trace, record.message.payload());
    });
}

/// Members of a room; `null` where there are too many to be listed (JSN-27).
pub(super) fn put_members<'a>(
    payload: &mut Object<'_>,
    name: &'static str,
    listed: bool,
    members: impl Iterator<Item = crate::hub::Member<'a>>,
) {
    if !listed {
        payload.raw(name, "null");
        return;
    }
    payload.array(name, |list| {
        for m in members {
            list.object(|object| server::member(object, m.member, m.user, m.data));
        }
    });
}
