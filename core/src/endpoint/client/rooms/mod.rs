//! Rooms, kept over connections: joined again by themselves, from the last message that came.
//!
//! What comes between RESULT and JOINED is of an epoch that only JOINED names, so it is held until
//! then, within the limits of what comes in: the application learns first whether anything is lost,
//! then the messages.

mod calls;
mod event;
mod recv;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

pub use calls::{JoinOptions, RoomPublish};
pub use event::{Presence, RoomEvent, RoomId, RoomMessage, RoomPlace};

use super::config::QueueLimits;
use super::event::PublishId;
use super::subscriptions::{SubState, Window};
use crate::hub::PresenceMode;

/// So many messages sent to rooms are known as one's own when they come back: as many as a hub knows
/// the ids of at least (PRP-6).
const KNOWN_SENT: usize = 1024;

/// One room that the application wants to be in, or leaves.
#[derive(Debug)]
struct Room {
    name: Box<str>,
    history: u64,
    presence: PresenceMode,
    data: Box<[u8]>,
    echo: bool,
    credit: Option<u64>,
    auto_grant: bool,
    state: SubState,
    /// The server may know it: it was sent in this session.
    known: bool,
    /// JOINED has come on this connection.
    joined: bool,
    /// What others are to see of this client is to be sent.
    showing: bool,
    /// The last message that came, or that the application had before.
    place: Option<RoomPlace>,
    window: Option<Window>,
    /// What came before JOINED.
    held: VecDeque<RoomMessage>,
    /// More came than can be held.
    overrun: bool,
}

impl Room {
    /// There is no connection, or JOIN was answered: what was held will come again.
    fn begin_anew(&mut self) {
        self.joined = false;
        self.overrun = false;
        self.held = VecDeque::new();
    }
}

/// All rooms of a client.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    all: BTreeMap<u64, Room>,
    /// What is held of all of them.
    held: Held,
    /// Messages sent to rooms that have not come back: to which room, which, and with what key.
    sent: VecDeque<(u64, PublishId, Box<[u8]>)>,
    /// What the keys made here begin with.
    prefix: Option<u64>,
}

/// Messages before JOINED.
#[derive(Debug, Default)]
struct Held {
    messages: usize,
    bytes: usize,
}

impl Held {
    fn exceeds(&self, limits: QueueLimits) -> bool {
        self.messages > limits.max_messages || self.bytes > limits.max_bytes
    }

    fn add(&mut self, message: &RoomMessage) {
        self.messages += 1;
        self.bytes += message.message.len();
    }

    fn remove(&mut self, message: &RoomMessage) {
        self.messages -= 1;
        self.bytes -= message.message.len();
    }
}

impl Rooms {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The room that the application is in, or is about to be.
    fn wanted(&mut self, id: RoomId) -> Option<&mut Room> {
        self.all.get_mut(&id.0).filter(|room| room.state.is_wanted())
    }

    /// Forgets what was held of a room; it has come to an end, or begins anew.
    fn release(&mut self, id: u64) {
        if let Some(room) = self.all.get_mut(&id) {
            room.held.iter().for_each(|message| self.held.remove(message));
            room.begin_anew();
        }
    }

    fn remove(&mut self, id: u64) {
        self.release(id);
        self.all.remove(&id);
        self.sent.retain(|(room, ..)| *room != id);
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.all.values_mut().for_each(Room::begin_anew);
        self.held = Held::default();
    }

    /// Which publish this message is, where it is one of ours that comes back for the first time.
    fn came_back(&mut self, room: u64, key: &[u8]) -> Option<PublishId> {
        let is = |(of, _, sent): &(u64, PublishId, Box<[u8]>)| *of == room && **sent == *key;
        let at = self.sent.iter().position(is)?;
        self.sent.remove(at).map(|(_, publish, _)| publish)
    }

    fn remember(&mut self, room: u64, publish: PublishId, key: &[u8]) {
        if self.sent.len() >= KNOWN_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((room, publish, key.into()));
    }

    /// What is to be sent on a connection that has opened; tells of each whose end needs no answer.
    pub(super) fn renew(&mut self, resumed: bool, mut ended: impl FnMut(RoomId)) -> Vec<super::Command> {
        let mut commands = Vec::new();
        self.all.retain(|id, room| {
            room.begin_anew();
            room.showing = false;
            room.known &= resumed;
            if room.state.is_wanted() {
                room.state = SubState::Waiting;
                commands.push(super::Command::Join(*id));
                return true;
            }
            room.state = SubState::Ending;
            if room.known {
                commands.push(super::Command::Leave(*id));
            } else {
                ended(RoomId(*id));
            }
            room.known
        });
        self.held = Held::default();
        commands
    }
}
