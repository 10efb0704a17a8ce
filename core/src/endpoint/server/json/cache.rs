//! Each message that goes to many is encoded once: what it was encoded as is kept for a while.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::hub::{Message, Place, PresenceKey};
use crate::json::Kind;
use crate::websocket::{self, Frame};

/// So many are kept: more than what is handed out to one member after the other at once.
const SLOTS: usize = 64;

/// Octets of what is kept, at most: of frames, and of the messages that they were made of.
const MAX_OCTETS: usize = 4 << 20;

/// Room for so much text is kept.
const KEEP: usize = 64 << 10;

/// What a message is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For members of its room.
    Room(Kind, Option<Place>),
    /// For who subscribed to its topic; whether as a retained one.
    Topic(bool),
}

#[derive(Debug)]
struct Entry {
    /// Keeps the message's place in memory from being used again, so that the place is its name.
    body: Bytes,
    form: Form,
    frame: Frame,
}

/// What was encoded lately.
#[derive(Debug, Default)]
pub(in super::super) struct Shared {
    slots: Option<Box<[Option<Entry>; SLOTS]>>,
    octets: usize,
    presence: Vec<(PresenceKey, Frame)>,
    next_presence: usize,
    /// Text is written here before it is known how long it gets.
    scratch: String,
    /// How many messages were encoded, for tests.
    encoded: u64,
}

impl Shared {
    /// The frame of a message: made by `write`, where it is not known.
    pub(super) fn message(
        &mut self,
        message: &Message,
        form: Form,
        write: impl FnOnce(&mut String),
    ) -> Frame {
        let body = message.body();
        let slot = slot(body, form);
        if let Some(Some(entry)) = self.slots.as_ref().map(|slots| &slots[slot])
            && entry.form == form
            && (entry.body.as_ptr(), entry.body.len()) == (body.as_ptr(), body.len())
        {
            return entry.frame.clone();
        }
        let frame = self.encode(write);
        self.encoded += 1;
        let octets = frame.size() + body.len();
        if self.octets + octets > MAX_OCTETS {
            (self.slots, self.octets) = (None, 0);
        }
        if octets <= MAX_OCTETS {
            let slots = self.slots.get_or_insert_with(|| Box::new([const { None }; SLOTS]));
            let entry = Entry { body: body.clone(), form, frame: frame.clone() };
            let old = slots[slot].replace(entry);
            self.octets += octets;
            self.octets -= old.map_or(0, |old| old.frame.size() + old.body.len());
        }
        frame
    }

    /// The frame of a change of presence, which all who know the same are told.
    pub(super) fn presence(&mut self, key: PresenceKey, write: impl FnOnce(&mut String)) -> Frame {
        if let Some((_, frame)) = self.presence.iter().find(|(known, _)| *known == key) {
            return frame.clone();
        }
        let frame = self.encode(write);
        self.encoded += 1;
        let entry = (key, frame.clone());
        match self.presence.get_mut(self.next_presence) {
            Some(slot) => *slot = entry,
            None => self.presence.push(entry),
        }
        self.next_presence = (self.next_presence + 1) % 4;
        frame
    }

    fn encode(&mut self, write: impl FnOnce(&mut String)) -> Frame {
        let mut text = self.lend();
        write(&mut text);
        let frame = Frame::new(websocket::Kind::Text, text.as_bytes());
        self.give_back(text);
        frame
    }

    /// A text to write to, empty. [Give it back](Self::give_back).
    pub(super) fn lend(&mut self) -> String {
        let mut text = core::mem::take(&mut self.scratch);
        text.clear();
        text
    }

    pub(super) fn give_back(&mut self, text: String) {
        if text.capacity() <= KEEP {
            self.scratch = text;
        }
    }

    #[cfg(test)]
    pub(in super::super) const fn encoded(&self) -> u64 {
        self.encoded
    }
}

/// Messages that are published one after the other are next to each other neither in memory nor here.
fn slot(body: &Bytes, form: Form) -> usize {
    let place = body.as_ptr() as usize as u64;
    let offset = match form {
        Form::Room(kind, place) => place.map_or(0, |place| place.offset) << 2 | kind as u64,
        Form::Topic(retain) => 1 << 62 | u64::from(retain),
    };
    let mixed = (place ^ offset.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 58) as usize
}

const _: () = assert!(SLOTS == 1 << (64 - 58), "the highest bits are the slot");
