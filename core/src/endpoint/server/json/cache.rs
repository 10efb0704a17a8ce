//! Each message that goes to many is encoded once: what it was encoded as is kept for a while.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::sink::Sink;
use crate::hub::{Message, Place, PresenceKey};
use crate::json::Kind;
use crate::websocket::Frame;

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
    /// For whom: with which window it is compressed, if it is.
    window_bits: Option<u8>,
    frame: Frame,
}

/// What was encoded lately.
#[derive(Debug, Default)]
pub(in super::super) struct Shared {
    slots: Option<Box<[Option<Entry>; SLOTS]>>,
    octets: usize,
    presence: Vec<((PresenceKey, Option<u8>), Frame)>,
    next_presence: usize,
    /// Text is written here before it is known how long it gets.
    scratch: String,
    /// How many messages were encoded, for each window, for tests.
    encoded: u64,
}

impl Shared {
    /// The frame of a message: made by `write`, where it is not known.
    pub(super) fn message(
        &mut self,
        message: &Message,
        form: Form,
        out: &mut impl Sink,
        write: impl FnOnce(&mut String),
    ) -> Frame {
        let (body, window_bits) = (message.body(), out.window_bits());
        let slot = slot(body, form, window_bits);
        if let Some(Some(entry)) = self.slots.as_ref().map(|slots| &slots[slot])
            && (entry.form, entry.window_bits) == (form, window_bits)
            && (entry.body.as_ptr(), entry.body.len()) == (body.as_ptr(), body.len())
        {
            return entry.frame.clone();
        }
        let frame = self.encode(out, write);
        let octets = frame.size() + body.len();
        if self.octets + octets > MAX_OCTETS {
            (self.slots, self.octets) = (None, 0);
        }
        if octets <= MAX_OCTETS {
            let slots = self.slots.get_or_insert_with(|| Box::new([const { None }; SLOTS]));
            let entry = Entry { body: body.clone(), form, window_bits, frame: frame.clone() };
            let old = slots[slot].replace(entry);
            self.octets += octets;
            self.octets -= old.map_or(0, |old| old.frame.size() + old.body.len());
        }
        frame
    }

    /// The frame of a change of presence, which all who know the same are told.
    pub(super) fn presence(
        &mut self,
        key: PresenceKey,
        out: &mut impl Sink,
        write: impl FnOnce(&mut String),
    ) -> Frame {
        let key = (key, out.window_bits());
        if let Some((_, frame)) = self.presence.iter().find(|(known, _)| *known == key) {
            return frame.clone();
        }
        let frame = self.encode(out, write);
        let entry = (key, frame.clone());
        match self.presence.get_mut(self.next_presence) {
            Some(slot) => *slot = entry,
            None => self.presence.push(entry),
        }
        self.next_presence = (self.next_presence + 1) % 4;
        frame
    }

    fn encode(&mut self, out: &mut impl Sink, write: impl FnOnce(&mut String)) -> Frame {
        let mut text = self.lend();
        write(&mut text);
        let frame = out.encode(&text);
        self.encoded += 1;
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
fn slot(body: &Bytes, form: Form, window_bits: Option<u8>) -> usize {
    let place = body.as_ptr() as usize as u64;
    let offset = match form {
        Form::Room(kind, place) => place.map_or(0, |place| place.offset) << 2 | kind as u64,
        Form::Topic(retain) => 1 << 62 | u64::from(retain),
    };
    let window = u64::from(window_bits.unwrap_or(0)) << 48;
    let mixed = (place ^ offset.rotate_left(32) ^ window).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 58) as usize
}

const _: () = assert!(SLOTS == 1 << (64 - 58), "the highest bits are the slot");
