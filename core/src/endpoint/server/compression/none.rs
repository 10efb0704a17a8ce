//! Where nothing can be compressed, nothing is agreed to.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::buf::SendBuf;
use crate::endpoint::server::HttpConfig;
use crate::time::Instant;
use crate::websocket::extensions::Params;
use crate::websocket::handshake::Offer;
use crate::websocket::{Fault, Frame, Message, SendError, Server as Role, WebSocket as Layer};

/// There are none.
#[derive(Debug)]
pub(in super::super) enum Compressors {}

/// Nobody agreed.
#[derive(Debug)]
pub(in super::super) enum Agreed {}

impl Compressors {
    pub(in super::super) const fn new(_config: &HttpConfig) -> Option<Box<Self>> {
        None
    }

    pub(in super::super) const fn accept(&self, _offer: &Offer<'_>) -> Option<Params> {
        match *self {}
    }

    pub(in super::super) const fn agree(&mut self, _: &Params, _: &mut Layer<Role>) -> Box<Agreed> {
        match *self {}
    }

    pub(in super::super) const fn lend(&mut self) -> Vec<u8> {
        match *self {}
    }

    pub(in super::super) fn give_back(&mut self, _memory: Vec<u8>) {
        match *self {}
    }
}

impl Agreed {
    pub(in super::super) const fn window_bits(&self) -> u8 {
        match *self {}
    }

    pub(in super::super) const fn encode(&self, _: &mut Compressors, _text: &str) -> Frame {
        match *self {}
    }

    pub(in super::super) fn send(
        &mut self,
        _: &mut Compressors,
        _: Instant,
        _: &mut Layer<Role>,
        _: &mut impl SendBuf,
        _text: &str,
    ) -> Result<(), SendError> {
        match *self {}
    }

    pub(in super::super) const fn inflate<'a>(
        &mut self,
        _: &mut Compressors,
        _: Message<'a>,
        _: &'a mut Vec<u8>,
    ) -> Result<Message<'a>, Fault> {
        match *self {}
    }
}
