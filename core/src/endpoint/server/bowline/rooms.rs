//! JOIN, LEAVE and PRESENCE.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::connection::Turn;
use super::Connection;
use super::history::send_placed;
use crate::buf::SendBuf;
use crate::hub::{
    self, JoinOptions, Joined, Member, Members, Message, Place, PresenceChange, PresenceMode, Refusal,
};
use crate::session::{self, Features, Join, Kind, SendError, Session};
use crate::status::Status;
use crate::time::Instant;
use crate::varint::leb128;

/// PRESENCE frames that follow one another, from where there was no more room.
#[derive(Debug, Default)]
pub(super) struct Batch {
    id: u64,
    frames: VecDeque<Presence>,
}

/// What one frame says.
#[derive(Debug)]
struct Presence {
    member: String,
    data: Vec<u8>,
    gone: bool,
}

/// PSC-2: the name in the room, then the user where there is one.
fn name(member: u64, user: &str) -> String {
    if user.is_empty() { format!("{member:016x}") } else { format!("{member:016x}:{user}") }
}

fn is_there(m: &Member<'_>) -> Presence {
    Presence { member: name(m.member, m.user), data: m.data.into(), gone: false }
}

impl Batch {
    /// PSC-3: how many there are.
    fn count(id: u64, count: u32) -> Self {
        let data = leb128::encode(count.into(), &mut [0; leb128::MAX_LEN]).into();
        Self { id, frames: [Presence { member: String::new(), data, gone: false }].into() }
    }

    /// All who are there (PSC-2).
    fn all(id: u64, members: &Members<'_>) -> Self {
        Self { id, frames: members.iter().map(|m| is_there(&m)).collect() }
    }

    /// What has changed.
    fn change(id: u64, change: &PresenceChange<'_>) -> Self {
        if !change.is_listed() {
            return Self::count(id, change.count());
        }
        let gone = |member| Presence { member: name(member, ""), data: Vec::new(), gone: true };
        // PSC-4: what was known is not so any more.
        let nobody = || Presence { member: String::new(), data: Vec::new(), gone: true };
        let anew = change.is_snapshot().then(nobody);
        let there = change.joined().chain(change.changed()).map(|m| is_there(&m));
        Self { id, frames: anew.into_iter().chain(change.left().map(gone)).chain(there).collect() }
    }

    /// Hands out what there is room for; whether that was all.
    pub(super) fn flush(&mut self, now: Instant, session: &mut Session, out: &mut impl SendBuf) -> bool {
        while let Some(Presence { member, data, gone }) = self.frames.front() {
            let sent = session.presence(now, out, self.id, member, data, *gone);
            if sent.is_err_and(|e| e.is_blocked()) {
                return false;
            }
            // One that is larger than the client takes is left out.
            self.frames.pop_front();
        }
        self.frames = VecDeque::new();
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// ROO-4: it has joined; and behind that, who is there.
pub(super) fn send_joined(
    now: Instant,
    session: &mut Session,
    id: u64,
    joined: &Joined,
    members: &Members<'_>,
    presence: PresenceMode,
    out: &mut impl SendBuf,
) -> Result<Batch, SendError> {
    let member = name(joined.member, "");
    let Joined { epoch, offset, recovered, count, .. } = *joined;
    let frame = session::Joined { id, epoch, offset, count: count.into(), member: &member, recovered };
    session.joined(now, out, &frame)?;
    let listed = presence == PresenceMode::Full && members.is_listed();
    Ok(if listed { Batch::all(id, members) } else { Batch::default() })
}

/// A change of who is there.
pub(super) fn batch_of(id: u64, change: &PresenceChange<'_>) -> Batch {
    Batch::change(id, change)
}

/// ROO-5: a message of a room says its place. CRE-4: so it costs more than as it was published.
pub(super) fn send_message(
    now: Instant,
    session: &mut Session,
    id: u64,
    message: &Message,
    place: &Place,
    out: &mut impl SendBuf,
) -> Result<u32, SendError> {
    send_placed(now, session, id, message, place.offset, place.stamp / 1000, out)
}

impl Connection {
    pub(super) fn join(&mut self, turn: &mut Turn<'_>, join: &Join<'_>, out: &mut impl SendBuf) {
        let options = JoinOptions {
            since: join.since,
            history: join.history,
            presence: match (join.presence, join.count_only) {
                (false, _) => PresenceMode::None,
                (true, true) => PresenceMode::Count,
                (true, false) => PresenceMode::Full,
            },
            data: join.data,
            credit: join.credit,
        };
        let done = match self.hub {
            Some(_) if turn.server.draining.is_some() => {
                return self.result(turn, out, Kind::Join, join.id, Status::Draining, "");
            }
            Some(hub) => turn.server.hub.join(turn.now, hub, join.id, join.room, &options),
            None => Err(Refusal::NoSession),
        };
        self.answer(turn, out, Kind::Join, join.id, done.map(drop));
    }

    pub(super) fn leave(&mut self, turn: &mut Turn<'_>, id: u64, out: &mut impl SendBuf) {
        let done = self.with_room(turn, id, |server, now, hub, room| server.leave(now, hub, room).map(drop));
        self.answer(turn, out, Kind::Leave, id, done);
    }

    /// PSC-5: what others see of this client.
    pub(super) fn show(&mut self, turn: &mut Turn<'_>, id: u64, data: &[u8], out: &mut impl SendBuf) {
        let done =
            self.with_room(turn, id, |server, now, hub, room| server.set_member_data(now, hub, room, data));
        if done.is_err() {
            self.answer(turn, out, Kind::Presence, id, done);
        }
    }

    /// Does something with the room that was joined with this id.
    fn with_room(
        &self,
        turn: &mut Turn<'_>,
        id: u64,
        does: impl FnOnce(&mut hub::Hub, Instant, hub::SessionKey, &str) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let hub = self.hub.ok_or(Refusal::NoSession)?;
        let room = String::from(turn.server.hub.joined_as(hub, id).ok_or(Refusal::NotFound)?);
        does(&mut turn.server.hub, turn.now, hub, &room)
    }
}

/// Whether a message is told with its place: of a room, to who knows of rooms.
pub(super) fn has_place(session: &Session, message: &Message) -> bool {
    session.features().contains(Features::ROOMS) && message.topic().starts_with("$room/")
}
