//! Which connection serves which session of the hub, and what dialects know sessions by.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};

use super::ConnectionKey;
use super::bowline::Held;
use super::event::SessionName;
use crate::entropy::{Entropy, Seeded};
use crate::hub::{SessionKey, reserve};
use crate::session::SessionId;

/// What a session is found by when its client comes back. Each dialect has names of its own.
#[derive(Debug)]
pub(super) enum Name {
    /// Our own protocol: an id, with the key to it.
    Bowline(Box<Held>),
    /// Typed JSON: the same.
    Json(Box<Held>),
    /// MQTT: the client identifier.
    Mqtt(Box<str>),
    /// PRX1: the user.
    Prx1(Box<str>),
}

/// A name to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sought<'a> {
    Bowline(SessionId),
    Json(SessionId),
    Mqtt(&'a str),
    Prx1(&'a str),
}

/// What begins the names that a store keeps; each dialect's own.
const MQTT: &str = "mqtt:";
const PRX1: &str = "prx1:";
const BOWLINE: &str = "bowline:";
const JSON: &str = "json:";

impl Name {
    fn sought(&self) -> Sought<'_> {
        match self {
            Self::Bowline(held) => Sought::Bowline(held.id),
            Self::Json(held) => Sought::Json(held.id),
            Self::Mqtt(client_id) => Sought::Mqtt(client_id),
            Self::Prx1(user) => Sought::Prx1(user),
        }
    }

    /// As a store keeps it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Bowline(held) => format!("{BOWLINE}{}:{}", held.id, held.key_text()),
            Self::Json(held) => format!("{JSON}{}:{}", held.id, held.key_text()),
            Self::Mqtt(client_id) => format!("{MQTT}{client_id}"),
            Self::Prx1(user) => format!("{PRX1}{user}"),
        }
    }

    /// From what a store kept.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(client_id) = text.strip_prefix(MQTT) {
            return Some(Self::Mqtt(client_id.into()));
        }
        if let Some(user) = text.strip_prefix(PRX1) {
            return Some(Self::Prx1(user.into()));
        }
        let (text, make): (_, fn(Box<Held>) -> Self) = match text.strip_prefix(JSON) {
            Some(text) => (text, Self::Json),
            None => (text.strip_prefix(BOWLINE)?, Self::Bowline),
        };
        let (id, key) = text.split_once(':')?;
        Some(make(Box::new(Held::parse(id, key)?)))
    }

    /// Whether sessions with this name, as a store keeps it, acknowledge by ids.
    pub(super) fn is_by_id(text: &str) -> bool {
        !text.starts_with(BOWLINE)
    }

    /// For people.
    fn told(&self) -> SessionName {
        match self {
            Self::Bowline(held) => SessionName::Bowline(held.id),
            Self::Json(held) => SessionName::Json(held.id),
            Self::Mqtt(client_id) => SessionName::Mqtt((**client_id).into()),
            Self::Prx1(user) => SessionName::Prx1((**user).into()),
        }
    }
}

/// What the endpoint knows of one session of the hub.
#[derive(Debug, Default)]
struct Slot {
    session: Option<SessionKey>,
    connection: Option<ConnectionKey>,
    name: Option<Name>,
}

/// All sessions of the hub that connections began. By the places of their keys: finding who serves
/// a session, which is done for each that has something to send, costs no hashing.
#[derive(Debug)]
pub(super) struct Registry {
    slots: Vec<Slot>,
    /// Places of the sessions that have names.
    names: HashTable<u32>,
    hasher: RandomState,
    /// Of sessions that have ended, by the hashes of their names: when the store knows it.
    ended: HashMap<u64, u64>,
}

impl Registry {
    /// `seed` keys its table: draw it from a secret source of randomness.
    pub(super) fn new(seed: u64) -> Self {
        let mut keys = Seeded::new(seed);
        let mut key = || keys.wire_u64();
        let hasher = RandomState::with_seeds(key(), key(), key(), key());
        Self { slots: Vec::new(), names: HashTable::new(), hasher, ended: HashMap::new() }
    }

    /// Whether a connection began the session.
    pub(super) fn knows(&self, session: SessionKey) -> bool {
        self.slot(session).is_some()
    }

    fn slot(&self, session: SessionKey) -> Option<&Slot> {
        self.slots.get(session.index()).filter(|slot| slot.session == Some(session))
    }

    fn slot_mut(&mut self, session: SessionKey) -> Option<&mut Slot> {
        self.slots.get_mut(session.index()).filter(|slot| slot.session == Some(session))
    }

    /// `connection` serves `session` from now on; gives who served it before.
    pub(super) fn serve(&mut self, session: SessionKey, connection: ConnectionKey) -> Option<ConnectionKey> {
        let slot = self.begin(session);
        slot.connection.replace(connection)
    }

    /// The session's slot, which is new where the session is.
    fn begin(&mut self, session: SessionKey) -> &mut Slot {
        let index = session.index();
        if self.slots.get(index).is_some_and(|slot| slot.session.is_some_and(|old| old != session)) {
            self.vacate(index);
        }
        if self.slots.len() <= index {
            let more = index + 1 - self.slots.len();
            reserve(&mut self.slots, more);
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.slots[index].session = Some(session);
        &mut self.slots[index]
    }

    /// No connection serves the session any more.
    pub(super) fn leave(&mut self, session: SessionKey) {
        if let Some(slot) = self.slot_mut(session) {
            slot.connection = None;
        }
    }

    /// Who serves the session.
    #[inline]
    pub(super) fn connection(&self, session: SessionKey) -> Option<ConnectionKey> {
        self.slot(session)?.connection
    }

    /// From now on the session is found by `name`, which no other has.
    pub(super) fn name(&mut self, session: SessionKey, name: Name) {
        let hash = self.hasher.hash_one(name.sought());
        self.begin(session).name = Some(name);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.names.insert_unique(hash, session.index() as u32, |at| hash_of(slots, hasher, *at));
    }

    pub(super) fn find(&self, sought: Sought<'_>) -> Option<SessionKey> {
        let is = |at: &u32| named(&self.slots, *at) == Some(sought);
        let at = self.names.find(self.hasher.hash_one(sought), is)?;
        self.slots[*at as usize].session
    }

    /// What the session is called, for people.
    pub(super) fn told(&self, session: SessionKey) -> Option<SessionName> {
        self.slot(session)?.name.as_ref().map(Name::told)
    }

    /// The id and the key of a session of our own protocol, or of typed JSON.
    pub(super) fn held(&mut self, session: SessionKey) -> Option<&mut Held> {
        match &mut self.slot_mut(session)?.name {
            Some(Name::Bowline(held) | Name::Json(held)) => Some(held),
            _ => None,
        }
    }

    /// The sessions that connections serve.
    pub(super) fn served(&self) -> impl Iterator<Item = (SessionKey, ConnectionKey)> {
        self.slots.iter().filter_map(|slot| slot.session.zip(slot.connection))
    }

    /// The session has ended.
    pub(super) fn forget(&mut self, session: SessionKey) {
        if self.slot(session).is_some() {
            self.vacate(session.index());
        }
    }

    /// The session has ended, and a store knows it once so many operations are committed: a crash before
    /// that would bring it back.
    pub(super) fn end(&mut self, session: SessionKey, commit: Option<u64>) {
        let name = self.slot(session).and_then(|slot| slot.name.as_ref());
        if let Some((name, commit)) = name.zip(commit) {
            self.ended.insert(self.hasher.hash_one(name.sought()), commit);
        }
        self.forget(session);
    }

    /// What must be committed before a session with this name may be said to be new.
    pub(super) fn ended(&self, sought: Sought<'_>) -> Option<u64> {
        if self.ended.is_empty() {
            return None;
        }
        self.ended.get(&self.hasher.hash_one(sought)).copied()
    }

    /// The store has committed so many operations.
    pub(super) fn committed(&mut self, count: u64) {
        self.ended.retain(|_, commit| *commit > count);
        if self.ended.is_empty() {
            self.ended = HashMap::new();
        }
    }

    fn vacate(&mut self, index: usize) {
        if let Some(name) = &self.slots[index].name {
            let hash = self.hasher.hash_one(name.sought());
            if let Ok(entry) = self.names.find_entry(hash, |at| *at as usize == index) {
                entry.remove();
            }
        }
        self.slots[index] = Slot::default();
    }
}

fn named(slots: &[Slot], at: u32) -> Option<Sought<'_>> {
    slots[at as usize].name.as_ref().map(Name::sought)
}

fn hash_of(slots: &[Slot], hasher: &RandomState, at: u32) -> u64 {
    named(slots, at).map_or(0, |sought| hasher.hash_one(sought))
}
