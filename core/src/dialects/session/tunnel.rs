//! The frames of tunnels (SPEC §5.9).

use super::event::ResetCode;
use super::frame::{self, Kind};
use super::hello::Features;
use super::send::check_string;
#[cfg(feature = "alloc")]
use super::wire::HeadBytes;
use super::wire::Sink;
use super::{SendError, Session};
use crate::buf::SendBuf;
#[cfg(feature = "alloc")]
use crate::error::Blocked;
use crate::time::Instant;
#[cfg(feature = "alloc")]
use crate::varint::leb128;

/// The longest target, in octets (TUN-1).
pub const TARGET_MAX: usize = 512;

impl Session {
    /// Asks for a tunnel to `target`, of which this side takes `window` octets at first.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn open_tunnel(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        window: u64,
        target: &str,
    ) -> Result<(), SendError> {
        self.needs(Features::RELAY)?;
        check_string(target)?;
        if id == 0 || window == 0 || target.is_empty() || target.len() > TARGET_MAX {
            let what = "a tunnel's id and window begin at 1, its target has 1 to 512 octets";
            return Err(SendError::Invalid(what));
        }
        self.put(now, out, Kind::Tunnel, 0, &|to: &mut dyn Sink| {
            to.varint(id);
            to.varint(window);
            to.bytes(target.as_bytes());
        })
    }

    /// Sends octets through a tunnel, the last ones with `end`. That its window allows them is for the
    /// caller to see to ([`Tunnels`](super::Tunnels) does).
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn tunnel_data(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        payload: &[u8],
        end: bool,
    ) -> Result<(), SendError> {
        self.needs(Features::RELAY)?;
        let flags = if end { frame::END } else { 0 };
        self.put(now, out, Kind::Data, flags, &|to: &mut dyn Sink| {
            to.varint(id);
            to.put(payload);
        })
    }

    /// The same of octets that go by reference.
    #[cfg(feature = "alloc")]
    pub(super) fn tunnel_data_shared(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        payload: &bytes::Bytes,
        end: bool,
    ) -> Result<(), SendError> {
        self.tick(now);
        let (mut memory, flags) = ([0; leb128::MAX_LEN], if end { frame::END } else { 0 });
        let id = leb128::encode(id, &mut memory);
        let size = id.len() + payload.len();
        self.may_send(size)?;
        let head = HeadBytes::new(Kind::Data, flags, size);
        let whole = head.as_slice().len() + size;
        if out.room() < whole {
            return Err(SendError::Blocked(Blocked));
        }
        out.begin(whole);
        out.put(head.as_slice());
        out.put(id);
        out.put_shared(payload);
        self.keepalive.on_sent(self.now);
        Ok(())
    }

    /// Lets the peer send up to `limit` octets in all through a tunnel.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn tunnel_window(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        limit: u64,
    ) -> Result<(), SendError> {
        self.needs(Features::RELAY)?;
        self.put(now, out, Kind::Window, 0, &|to: &mut dyn Sink| {
            to.varint(id);
            to.varint(limit);
        })
    }

    /// Breaks a tunnel off, both ways.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn reset_tunnel(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        code: ResetCode,
    ) -> Result<(), SendError> {
        self.needs(Features::RELAY)?;
        self.put(now, out, Kind::Reset, 0, &|to: &mut dyn Sink| {
            to.varint(id);
            to.varint(code.number());
        })
    }
}
