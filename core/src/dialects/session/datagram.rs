//! Messages that go in datagrams beside the stream: whole frames, which cost no credit (SPEC "Datagrams").

use alloc::vec::Vec;

use super::frame::{self, Kind};
use super::wire::HeadBytes;
use super::{Forward, Message, SendError, Session, VARINT_MAX};
use crate::topic;
use crate::varint::leb128;

impl Session {
    /// Writes a message to the peer as the frame that one datagram is (PUBLISH). Whether it was to be reliable
    /// or retained is not said.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; nothing was written then.
    pub fn publish_datagram(&self, out: &mut Vec<u8>, message: &Message<'_>) -> Result<(), SendError> {
        topic::validate_topic(message.topic)?;
        if !self.is_open() {
            return Err(SendError::State);
        }
        if self.is_peer_draining() {
            return Err(SendError::Draining);
        }
        let block = message.properties.as_bytes();
        let mut body = Vec::with_capacity(message.topic.len() + message.payload.len() + block.len() + 8);
        let mut bytes = |bytes: &[u8]| {
            body.extend_from_slice(leb128::encode(bytes.len() as u64, &mut [0; leb128::MAX_LEN]));
            body.extend_from_slice(bytes);
        };
        if !block.is_empty() {
            bytes(block);
        }
        bytes(message.topic.as_bytes());
        let flags = if block.is_empty() { 0 } else { frame::PROPS };
        self.put_datagram(out, Kind::Publish, flags, &[&body, message.payload])
    }

    /// Writes a message because of a subscription in the same way (MESSAGE), as it came in.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; nothing was written then.
    pub fn forward_datagram(&self, out: &mut Vec<u8>, message: &Forward<'_, [u8]>) -> Result<(), SendError> {
        let mut number = [0; leb128::MAX_LEN];
        let id = leb128::encode(message.subscription.min(VARINT_MAX), &mut number);
        let flags = if message.has_properties { frame::PROPS } else { 0 };
        self.put_datagram(out, Kind::Message, flags, &[id, message.body])
    }

    fn put_datagram(
        &self,
        out: &mut Vec<u8>,
        kind: Kind,
        flags: u8,
        body: &[&[u8]],
    ) -> Result<(), SendError> {
        let size = body.iter().map(|piece| piece.len()).sum();
        if !self.is_open() {
            return Err(SendError::State);
        }
        if size > self.max_send_frame() as usize {
            return Err(SendError::TooLarge { size, limit: self.max_send_frame() });
        }
        out.extend_from_slice(HeadBytes::new(kind, flags, size).as_slice());
        body.iter().for_each(|piece| out.extend_from_slice(piece));
        Ok(())
    }
}
