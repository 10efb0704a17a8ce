//! What is kept of a session while no connection serves it.

use alloc::format;
use alloc::string::String;

use crate::entropy::Entropy;
use crate::session::{ResumeKey, SessionId};

/// A session that may outlive its connection.
#[derive(Debug)]
pub(in super::super) struct Held {
    pub(in super::super) id: SessionId,
    pub(super) key: ResumeKey,
    /// Up to when its last connection ended.
    pub(super) progress: Progress,
    /// It comes from a store, which keeps no counts.
    pub(super) is_restored: bool,
}

/// How far a client's reliable frames have come.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Progress {
    /// How many were received.
    pub(super) received: u64,
    /// What the store must have committed for them.
    pub(super) commit: u64,
}

impl Held {
    /// A new session. Its id may be seen, its key not.
    pub(in super::super) fn draw(entropy: &mut dyn Entropy) -> Self {
        let (mut id, mut secret) = ([0; 16], [0; 16]);
        entropy.wire(&mut id);
        entropy.secret(&mut secret);
        let (id, key) = (SessionId(id), ResumeKey(secret));
        Self { id, key, progress: Progress::default(), is_restored: false }
    }

    /// As a store kept it.
    pub(in super::super) fn parse(id: &str, key: &str) -> Option<Self> {
        let (id, key) = (SessionId(parse_hex(id)?), ResumeKey(parse_hex(key)?));
        Some(Self { id, key, progress: Progress::default(), is_restored: true })
    }

    /// Whether this is the key.
    pub(in super::super) fn opens(&self, key: &ResumeKey) -> bool {
        self.key == *key
    }

    /// The secret, for a store, or for whose session it is.
    pub(in super::super) fn key_text(&self) -> String {
        self.key.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

/// The octets that 32 digits are.
pub(in super::super) fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let mut octets = [0; 16];
    if text.len() != 2 * octets.len() || !text.is_ascii() {
        return None;
    }
    for (i, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(octets)
}
