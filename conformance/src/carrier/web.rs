//! A WebSocket's client side (RFC 6455): octets in binary messages.

use std::io::{self, ErrorKind};

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::entropy::Derived;
use bowline_core::websocket::handshake::Opening;
use bowline_core::websocket::{Carries, Client, CloseCode, Closed, Config, Connect, Event, WebSocket};
use bowline_driver::{OsEntropy, clock};

use super::stream::Layer;
use crate::socket::PATIENCE;

/// Octets of one frame, and of what waits to go out: more than any vector has.
const BUFFER: usize = 32 << 20;

pub(super) struct Web {
    host: String,
    target: String,
    protocol: &'static str,
    connect: Connect,
    /// Once it is open.
    layer: Option<WebSocket<Client<Derived>>>,
    received: GrowingRecvBuf,
    out: SharedSendBuf,
}

impl Web {
    pub(super) fn new(host: &str, target: &str, protocol: &'static str) -> Self {
        Self {
            host: host.into(),
            target: target.into(),
            protocol,
            connect: Connect::new(clock::now() + PATIENCE),
            layer: None,
            received: GrowingRecvBuf::new(BUFFER),
            out: SharedSendBuf::new(BUFFER),
        }
    }

    /// The request goes out, and the answer is read as far as it has come.
    fn shake(&mut self) -> io::Result<()> {
        let Self { host, target, protocol, connect, received, out, .. } = self;
        let opening = Opening { host, target, protocols: protocol, ..Opening::default() };
        let refused =
            |why: &dyn std::fmt::Display| io::Error::new(ErrorKind::ConnectionRefused, why.to_string());
        connect.poll_transmit(&opening, &mut OsEntropy, out).map_err(|e| refused(&e))?;
        match connect.recv(&opening, received) {
            None => {}
            Some(Err(why)) => return Err(refused(&why.fault)),
            Some(Ok(())) => {
                let config = Config { ping_interval: None, ..Config::default() };
                let role = Client::new(Derived::from(&mut OsEntropy));
                self.layer = Some(WebSocket::new(clock::now(), role, Carries::Stream, &config));
            }
        }
        Ok(())
    }

    fn owed(&mut self) -> Vec<u8> {
        let owed: Vec<u8> = self.out.slices().flatten().copied().collect();
        self.out.sent(owed.len());
        owed
    }
}

impl Layer for Web {
    fn open(&mut self, octets: &[u8], owed: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        if self.received.push(octets) < octets.len() {
            return Err(io::Error::other("a message is longer than any that a vector expects"));
        }
        if self.layer.is_none() {
            self.shake()?;
        }
        let mut within = Vec::new();
        if let Some(layer) = &mut self.layer {
            let now = clock::now();
            loop {
                let event = layer.recv(now, &mut self.received, &mut self.out);
                let more = event.is_some();
                if let Some(Event::Closed(Closed { fault: Some(fault), .. })) = event {
                    return Err(io::Error::other(format!("the server broke a rule of WebSocket: {fault}")));
                }
                let mut decoded = layer.decoded(&mut self.received);
                let n = decoded.filled().len();
                within.extend_from_slice(decoded.take(n));
                if !more && n == 0 {
                    break;
                }
            }
            let _ = layer.poll_transmit(now, &mut self.out);
        }
        owed.extend(self.owed());
        Ok(within)
    }

    fn wrap(&mut self, octets: &[u8]) -> Vec<u8> {
        if let Some(layer) = &mut self.layer {
            layer.framed(&mut self.out).put(octets);
        }
        self.owed()
    }

    fn end(&mut self) -> Vec<u8> {
        if let Some(layer) = &mut self.layer {
            layer.close(clock::now(), CloseCode::NORMAL, "");
            let _ = layer.poll_transmit(clock::now(), &mut self.out);
        }
        self.owed()
    }

    fn is_open(&self) -> bool {
        self.layer.is_some()
    }
}
