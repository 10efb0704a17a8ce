//! Payloads compressed on their way out, and inflated on their way in (SPEC §5.8).

use alloc::vec::Vec;

use bytes::Bytes;

use super::config::Compression;
use crate::compression::{Codec, Codecs, Encoding};
use crate::session::{Block, Properties, Property, Session};

/// What was tried with one payload that waits to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    /// Never compress it.
    pub(super) secret: bool,
    by: Option<Codec>,
}

impl Tried {
    pub(super) const fn new(secret: bool) -> Self {
        Self { secret, by: None }
    }
}

/// A payload in another form, and its properties without their length.
pub(super) type Recoded = (Bytes, Vec<u8>);

#[derive(Debug)]
pub(super) struct Compressing {
    codecs: Codecs,
    config: Compression,
}

/// The properties with this encoding in place of their own.
fn with_encoding(properties: Properties<'_>, encoding: Option<Encoding>) -> Vec<u8> {
    let encoding = encoding.map(Property::Encoding);
    let id = Property::Encoding(Encoding { codec: Codec::Lz4, length: 0 }).id();
    let before = properties.iter().filter(move |p| p.id() < id);
    let behind = properties.iter().filter(move |p| p.id() > id);
    let mut block = Vec::with_capacity(properties.as_bytes().len() + 16);
    Block(before.chain(encoding).chain(behind)).put(&mut block);
    block
}

impl Compressing {
    pub(super) fn new(config: Compression) -> Self {
        Self { codecs: Codecs::default(), config }
    }

    /// By what to compress over this session.
    pub(super) fn codec(&self, session: &Session) -> Option<Codec> {
        session.features().codec(&self.config.codecs)
    }

    /// A payload that waits, as it is to be sent: compressed by `codec`, once, where that is worth it; or as it
    /// was, where an earlier connection agreed to another. Nothing where it stays as it is.
    pub(super) fn recode(
        &mut self,
        tried: &mut Tried,
        codec: Option<Codec>,
        limit: u32,
        payload: &Bytes,
        properties: Properties<'_>,
    ) -> Option<Recoded> {
        if let Some(encoding) = properties.encoding() {
            if codec == Some(encoding.codec) {
                return None;
            }
            // It is our own, so it inflates to what it was.
            let plain = self.codecs.inflate(encoding, payload, encoding.length).ok()?;
            tried.by = None;
            return Some((plain.into(), with_encoding(properties, None)));
        }
        let codec = codec.filter(|codec| !tried.secret && tried.by != Some(*codec))?;
        if payload.len() < self.config.threshold.max(1) || payload.len() > limit as usize {
            return None;
        }
        tried.by = Some(codec);
        let mut packed = self.codecs.compress(codec, payload)?;
        packed.shrink_to_fit();
        let encoding = Encoding { codec, length: payload.len() as u64 };
        let block = with_encoding(properties, Some(encoding));
        // What the property takes has to be won as well.
        (packed.len() + block.len() < payload.len() + properties.as_bytes().len())
            .then(|| (packed.into(), block))
    }

    /// What came, as it was. Nothing where it does not inflate to what it says; its length and ratio were
    /// checked by the session.
    pub(super) fn inflate(
        &mut self,
        encoding: Encoding,
        payload: &[u8],
        properties: Properties<'_>,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        let plain = self.codecs.inflate(encoding, payload, encoding.length).ok()?;
        Some((plain, with_encoding(properties, None)))
    }
}
