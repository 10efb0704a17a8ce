//! The application's side: joining, leaving, sending.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::super::calls::{ClientError, Publish};
use super::super::event::{ClientEvent, PublishId};
use super::super::subscriptions::{MAX_SUBSCRIPTIONS, SubState};
use super::super::{Client, Command};
use super::Room;
use super::event::{RoomEvent, RoomId, RoomMessage, RoomPlace};
use crate::buf::SendBuf;
use crate::hub::{MAX_MEMBER_DATA, MAX_ROOM_NAME, PresenceMode};
use crate::session::{DEDUPLICATION_MAX, Features, Join, Properties, Property, SendError};
use crate::status::Status;
use crate::time::Instant;
use crate::topic;

/// What topics of rooms begin with (ROO-5).
const PREFIX: &str = "$room/";

/// What being in a room is like.
///
/// ```
/// use bowline_core::endpoint::client::{JoinOptions, PresenceMode};
/// let chat = JoinOptions { history: 50, presence: PresenceMode::Full, ..JoinOptions::default() };
/// assert!(chat.echo);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinOptions<'a> {
    /// The last message that the application has, of an earlier time: what came after it is wanted.
    /// Over later connections the client sees to that itself.
    pub since: Option<RoomPlace>,
    /// How many of the newest messages are wanted without `since`, or where not all behind it can be
    /// had any more, also when the client joins again.
    pub history: u64,
    /// What to tell of who is there.
    pub presence: PresenceMode,
    /// What others see of this client, at most 4,096 octets.
    pub data: &'a [u8],
    /// Whether what this client [sends](Client::send) comes back as a message, which is the default;
    /// otherwise only its place does, by [`RoomEvent::Sent`].
    pub echo: bool,
    /// A window of its own, in octets, as
    /// [`SubscribeOptions::credit`](super::super::SubscribeOptions::credit).
    pub credit: Option<u64>,
    /// Whether taking an event grants its octets again (default); otherwise
    /// [`Client::grant_room`] does.
    pub auto_grant: bool,
}

impl Default for JoinOptions<'_> {
    fn default() -> Self {
        Self {
            since: None,
            history: 0,
            presence: PresenceMode::None,
            data: &[],
            echo: true,
            credit: None,
            auto_grant: true,
        }
    }
}

/// What to send to a room.
///
/// ```
/// use bowline_core::endpoint::client::RoomPublish;
/// let hello = RoomPublish { key: Some(b"draft-7"), ..RoomPublish::new("hello") };
/// assert_eq!(hello.payload, "hello");
/// ```
#[derive(Clone, Debug)]
pub struct RoomPublish<'a> {
    /// What it says. A large payload is never copied.
    pub payload: Bytes,
    /// What it says beside. A de-duplication id among these is the key.
    pub properties: Properties<'a>,
    /// What tells that it is the same message as an earlier one, 1 to 64 octets: of two with the same
    /// key in one session the room gets the first alone (PRP-6). Nothing: one is made.
    pub key: Option<&'a [u8]>,
}

impl RoomPublish<'_> {
    /// Without properties, under a key of its own.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), properties: Properties::NONE, key: None }
    }
}

impl Client {
    /// Enters the room `name`, and stays in it over all connections to come.
    /// [`ClientEvent::Room`] tells what happens there, first [`RoomEvent::Joined`], or
    /// [`RoomEvent::Ended`] where it is refused.
    ///
    /// When a connection was lost, the client joins again from the last message that came: what was
    /// missed follows without a gap or a duplicate, or `Joined` says that it was not recovered.
    ///
    /// # Errors
    ///
    /// [`ClientError::AlreadyJoined`]; [`ClientError::Topic`] where the name is no topic name or
    /// begins with `$`; see [`ClientError`].
    pub fn join(
        &mut self,
        now: Instant,
        name: &str,
        options: &JoinOptions<'_>,
    ) -> Result<RoomId, ClientError> {
        self.tick(now);
        self.check_call()?;
        topic::validate_topic(name)?;
        if name.len() > MAX_ROOM_NAME {
            return Err(ClientError::Invalid("a room's name has at most 128 octets"));
        }
        if options.credit == Some(0) {
            return Err(ClientError::Invalid("a room's credit begins at 1"));
        }
        if options.data.len() > MAX_MEMBER_DATA {
            return Err(ClientError::Invalid("others see at most 4,096 octets of a member"));
        }
        if self.rooms.all.values().any(|room| *room.name == *name && room.state.is_wanted()) {
            return Err(ClientError::AlreadyJoined);
        }
        let known = self.subscriptions.len() + self.rooms.len();
        if known.max(self.commands.len() / 4) >= MAX_SUBSCRIPTIONS {
            return Err(ClientError::TooManySubscriptions);
        }
        let id = self.next_subscription;
        self.next_subscription += 1;
        self.rooms.all.insert(
            id,
            Room {
                name: name.into(),
                history: options.history,
                presence: options.presence,
                data: options.data.into(),
                echo: options.echo,
                credit: options.credit,
                auto_grant: options.auto_grant,
                state: SubState::Waiting,
                known: false,
                joined: false,
                showing: false,
                place: options.since,
                window: None,
                held: VecDeque::new(),
                overrun: false,
            },
        );
        self.command(Command::Join(id));
        Ok(RoomId(id))
    }

    /// Leaves a room: nothing more comes of it from here on, also of what waits, but
    /// [`RoomEvent::Ended`].
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownRoom`], also if it is being left already.
    pub fn leave(&mut self, now: Instant, id: RoomId) -> Result<(), ClientError> {
        self.tick(now);
        self.check_call()?;
        let room = self.rooms.wanted(id).ok_or(ClientError::UnknownRoom)?;
        if room.known {
            room.state = SubState::Ending;
            self.rooms.release(id.0);
            self.command(Command::Leave(id.0));
        } else {
            self.end_room(id.0, Status::Ok, String::new());
        }
        Ok(())
    }

    /// Sends to a room that was joined, at least once, and under a key so that sending it again over
    /// another connection of the session makes no second.
    ///
    /// [`ClientEvent::Accepted`] follows when the server has it, [`ClientEvent::Refused`] or
    /// [`ClientEvent::Dropped`] when it comes to nothing. Its place comes with
    /// [`RoomEvent::Message`] or [`RoomEvent::Sent`], before or after that, unless the room is lost
    /// sight of meanwhile (`recovered` is `false`), or the key is an earlier message's.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownRoom`]; see [`publish`](Self::publish).
    pub fn send(
        &mut self,
        now: Instant,
        id: RoomId,
        publish: RoomPublish<'_>,
    ) -> Result<PublishId, ClientError> {
        self.tick(now);
        self.check_call()?;
        let room = self.rooms.wanted(id).ok_or(ClientError::UnknownRoom)?;
        let topic = format!("{PREFIX}{}", room.name);
        let RoomPublish { payload, properties, key } = publish;
        if key.is_some_and(|key| key.is_empty() || key.len() > DEDUPLICATION_MAX) {
            return Err(ClientError::Invalid("a key has 1 to 64 octets"));
        }
        let own;
        let key = match key.or_else(|| properties.deduplication()) {
            Some(key) => key,
            None => {
                own = self.make_key();
                &own
            }
        };
        let mut list: Vec<Property<'_>> = Vec::new();
        list.extend(properties.iter().filter(|p| !matches!(p, Property::Deduplication(_))));
        let property = Property::Deduplication(key);
        list.insert(list.partition_point(|p| p.id() < property.id()), property);
        let mut memory = vec![0; properties.as_bytes().len() + key.len() + 8];
        let properties = Properties::write(&list, &mut memory)
            .map_err(|_| ClientError::Invalid("properties that do not go together"))?;
        let id = {
            let publish =
                Publish { payload, properties, reliable: true, ..Publish::new(&topic, Bytes::new()) };
            let sent = self.publish(now, publish)?;
            self.rooms.remember(id.0, sent, key);
            sent
        };
        Ok(id)
    }

    /// A key that no other message has: drawn once for the client, then counted.
    fn make_key(&mut self) -> [u8; 16] {
        let prefix = match self.rooms.prefix {
            Some(prefix) => prefix,
            None => *self.rooms.prefix.insert(self.entropy.wire_u64()),
        };
        let mut key = [0; 16];
        key[..8].copy_from_slice(&prefix.to_be_bytes());
        key[8..].copy_from_slice(&self.next_publish.to_be_bytes());
        key
    }

    /// Sets what others in the room see of this client, over all connections to come.
    /// [`RoomEvent::NotShown`] follows only if it is refused.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownRoom`]; [`ClientError::Invalid`] for more than 4,096 octets.
    pub fn show(&mut self, now: Instant, id: RoomId, data: &[u8]) -> Result<(), ClientError> {
        self.tick(now);
        self.check_call()?;
        if data.len() > MAX_MEMBER_DATA {
            return Err(ClientError::Invalid("others see at most 4,096 octets of a member"));
        }
        let room = self.rooms.wanted(id).ok_or(ClientError::UnknownRoom)?;
        room.data = data.into();
        // Else it goes with JOIN.
        if room.state != SubState::Waiting && !core::mem::replace(&mut room.showing, true) {
            self.command(Command::Show(id.0));
        }
        Ok(())
    }

    /// Lets the server send as much again of a room without `auto_grant` as this message cost, which
    /// was handled. One that came over an earlier connection has cost nothing on this.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownRoom`].
    pub fn grant_room(&mut self, now: Instant, id: RoomId, message: &RoomMessage) -> Result<(), ClientError> {
        self.tick(now);
        let room = self.rooms.all.get_mut(&id.0).ok_or(ClientError::UnknownRoom)?;
        if message.message.connection == self.connection
            && room.window.as_mut().is_some_and(|w| w.take(message.message.credit()))
        {
            self.command(Command::Grant(id.0));
        }
        Ok(())
    }

    /// The last message of a room that came, whether it was taken or not: to join with `since` after
    /// the program was started again, if all was taken.
    #[must_use]
    pub fn room_place(&self, id: RoomId) -> Option<RoomPlace> {
        self.rooms.all.get(&id.0)?.place
    }

    /// Counts an event of a room as taken; says whether the application still wants it.
    pub(in super::super) fn take_of_room(&mut self, id: RoomId, event: &RoomEvent) -> bool {
        if matches!(event, RoomEvent::Ended { .. }) {
            return true;
        }
        let Some(room) = self.rooms.all.get(&id.0) else { return false };
        let wanted = room.state.is_wanted();
        if let RoomEvent::Message(message) = event
            && (room.auto_grant || !wanted)
        {
            let _ = self.grant_room(self.now, id, message);
        }
        wanted
    }

    /// It is over with a room.
    pub(super) fn end_room(&mut self, id: u64, status: Status, reason: String) {
        self.rooms.remove(id);
        let event = RoomEvent::Ended { status, reason };
        self.inbox.push(ClientEvent::Room { room: RoomId(id), event });
    }

    /// Sends JOIN.
    pub(in super::super) fn send_join(&mut self, id: u64, out: &mut impl SendBuf) -> Result<(), SendError> {
        let (Some(session), Some(room)) = (&mut self.session, self.rooms.all.get_mut(&id)) else {
            return Ok(());
        };
        if room.state != SubState::Waiting {
            return Ok(());
        }
        let join = Join {
            id,
            room: &room.name,
            credit: room.credit,
            since: room.place.map(|place| (place.epoch, place.offset)),
            history: room.history,
            data: &room.data,
            presence: room.presence != PresenceMode::None,
            count_only: room.presence == PresenceMode::Count,
        };
        match session.join(self.now, out, &join) {
            Ok(()) => {
                room.state = SubState::Asked;
                room.known = true;
                room.showing = false;
                Ok(())
            }
            Err(SendError::TooLarge { .. }) => {
                self.end_room(id, Status::Invalid, "what it shows is larger than the server takes".into());
                Ok(())
            }
            Err(SendError::Unsupported) => {
                let rooms = session.features().contains(Features::ROOMS);
                let why =
                    if rooms { "the server does not tell who is there" } else { "the server has no rooms" };
                self.end_room(id, Status::Unsupported, why.into());
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Sends LEAVE.
    pub(in super::super) fn send_leave(&mut self, id: u64, out: &mut impl SendBuf) -> Result<(), SendError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.leave(self.now, out, id)?;
        if let Some(room) = self.rooms.all.get_mut(&id) {
            room.state = SubState::Left;
        }
        Ok(())
    }

    /// Sends what others are to see.
    pub(in super::super) fn send_show(&mut self, id: u64, out: &mut impl SendBuf) -> Result<(), SendError> {
        let (Some(session), Some(room)) = (&mut self.session, self.rooms.all.get_mut(&id)) else {
            return Ok(());
        };
        if !room.showing || !room.state.is_wanted() {
            return Ok(());
        }
        let sent = session.presence(self.now, out, id, "", &room.data, false);
        if matches!(sent, Err(SendError::Blocked(_))) {
            return sent;
        }
        room.showing = false;
        if let Err(e) = sent {
            let event = RoomEvent::NotShown { status: Status::Unsupported, reason: format!("{e}") };
            self.inbox.push(ClientEvent::Room { room: RoomId(id), event });
        }
        Ok(())
    }

    /// Lets the server send more of a room; `false` where there is no such room.
    pub(in super::super) fn send_room_grant(
        &mut self,
        id: u64,
        out: &mut impl SendBuf,
    ) -> Result<(), SendError> {
        let window = self.rooms.all.get_mut(&id).and_then(|room| room.window.as_mut());
        let (Some(session), Some(window)) = (&mut self.session, window) else { return Ok(()) };
        let limit = window.next_limit();
        session.grant(self.now, out, id, limit)?;
        window.granted(limit);
        Ok(())
    }
}
