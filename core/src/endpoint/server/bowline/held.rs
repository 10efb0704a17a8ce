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

    /// Whether this is the key: that of the counts, or one from before them, which opens the session
    /// all the same (RES-12).
    pub(super) fn opens_once(&self, key: &ResumeKey) -> bool {
        of_counts(self.key, counts_of(*key)) == *key
    }

    /// Whether what a client with this key has received is counted as the session counts.
    pub(super) fn counts_with(&self, key: &ResumeKey) -> bool {
        !self.is_restored && self.key == *key
    }

    /// Begins new counts for a client that comes with `key`, and a key that says so: until the client
    /// has that, it does not know of them.
    pub(super) fn count_anew(&mut self, key: &ResumeKey) {
        let newest = if self.is_restored { *key } else { self.key };
        self.key = of_counts(self.key, counts_of(newest).wrapping_add(1));
        (self.progress, self.is_restored) = (Progress::default(), false);
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

/// Which counts of its session a key belongs to: the last octets are no secret. So it needs no store,
/// which has the first key only.
fn counts_of(key: ResumeKey) -> u32 {
    let [.., a, b, c, d] = key.0;
    u32::from_be_bytes([a, b, c, d])
}

/// The key to the same session and other counts.
fn of_counts(mut key: ResumeKey, counts: u32) -> ResumeKey {
    key.0[12..].copy_from_slice(&counts.to_be_bytes());
    key
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
