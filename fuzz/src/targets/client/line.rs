//! The server's end.

use std::time::Duration;

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::http::{self, RequestHead};
use bowline_core::session::{
    self, Code, Drain, Event, Message, Outcome, Properties, ResumeKey, Session, SessionId, Transport,
};
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bowline_core::websocket::{self, Carries, CloseCode, WebSocket, handshake::Offer};

use super::plan::{Say, pick};

/// The server's end of the transport.
pub(super) struct Line {
    /// Where all goes through a WebSocket.
    pub(super) gate: Option<Gate>,
    pub(super) session: Session,
    pub(super) honest: bool,
    /// What waits for the decision about a HELLO.
    pub(super) asked: Option<Option<(SessionId, ResumeKey, u64)>>,
    pub(super) requests: Vec<u64>,
    pub(super) down: SharedSendBuf,
    pub(super) wire: Vec<u8>,
    pub(super) at_client: GrowingRecvBuf,
    pub(super) up: SharedSendBuf,
    pub(super) at_server: GrowingRecvBuf,
}

/// The server's side of a WebSocket.
pub(super) struct Gate {
    /// Once it is open.
    pub(super) layer: Option<WebSocket<websocket::Server>>,
    pub(super) received: GrowingRecvBuf,
    pub(super) to_send: SharedSendBuf,
}

impl Gate {
    /// What the session says becomes messages.
    fn encode(&mut self, now: Instant, owed: Transport, down: &mut SharedSendBuf, wire: &mut Vec<u8>) {
        if let Some(layer) = &mut self.layer {
            let octets: Vec<u8> = down.slices().flatten().copied().collect();
            down.sent(octets.len());
            layer.framed(&mut self.to_send).put(&octets);
            if owed != Transport::Open {
                layer.close(now, CloseCode::NORMAL, "");
            }
            let _ = layer.poll_transmit(now, &mut self.to_send);
        }
        wire.extend(self.to_send.slices().flatten());
        self.to_send.sent(usize::MAX);
    }

    /// What the client says is what the session hears, and without a fault.
    fn decode(&mut self, now: Instant, bytes: &[u8], at_server: &mut GrowingRecvBuf) {
        assert_eq!(self.received.push(bytes), bytes.len());
        if self.layer.is_none() {
            let Some(n) = http::HeadScanner::new().find(self.received.filled()).expect("a good head") else {
                return;
            };
            let head = RequestHead::parse(self.received.take(n)).expect("a good head");
            let offer = Offer::read(&head).expect("a good request");
            self.to_send.put(b"HTTP/1.1 101 Switching Protocols\r\n");
            for (name, value) in offer.accept(offer.choose(&["bowline"]), None).as_slice() {
                self.to_send.put(format!("{name}: {value}\r\n").as_bytes());
            }
            self.to_send.put(b"\r\n");
            let config = websocket::Config { ping_interval: None, ..websocket::Config::default() };
            self.layer = Some(WebSocket::new(now, websocket::Server, Carries::Stream, &config));
        }
        let Some(layer) = &mut self.layer else { return };
        while let Some(event) = layer.recv(now, &mut self.received, &mut self.to_send) {
            if let websocket::Event::Closed(closed) = event {
                assert_eq!(closed.fault, None, "the client broke a rule");
            }
        }
        let mut decoded = layer.decoded(&mut self.received);
        let n = decoded.filled().len();
        assert_eq!(at_server.push(decoded.take(n)), n);
    }
}

impl Line {
    pub(super) fn flush(&mut self, now: Instant) {
        let owed = self.session.poll_transmit(now, &mut self.down);
        if let Some(gate) = &mut self.gate {
            return gate.encode(now, owed, &mut self.down, &mut self.wire);
        }
        self.wire.extend(self.down.slices().flatten());
        self.down.sent(usize::MAX);
    }

    /// The server gets octets: it must agree with them.
    pub(super) fn hear(&mut self, now: Instant, bytes: &[u8]) {
        match &mut self.gate {
            None => assert_eq!(self.at_server.push(bytes), bytes.len()),
            Some(gate) => gate.decode(now, bytes, &mut self.at_server),
        }
        while let Some(event) = self.session.recv(now, &mut self.at_server) {
            match event {
                Event::Hello(hello) => self.asked = Some(hello.resume),
                Event::Request(r) => self.requests.push(r.id),
                Event::Closed(closed) => {
                    assert!(!self.honest || closed.fault.is_none(), "{:?}", closed.fault);
                }
                _ => {}
            }
        }
    }

    pub(super) fn say(&mut self, now: Instant, say: &Say<'_>) {
        let (s, out) = (&mut self.session, &mut self.down);
        let properties = Properties::NONE;
        let _ = match *say {
            Say::Message { id, size, reliable } => {
                let payload = vec![1; usize::from(size & 0x0fff)];
                let retain = size & 0x1000 > 0;
                let message = Message { topic: "a", payload: &payload, properties, reliable, retain };
                s.message(now, out, u64::from(id % 8), &message)
            }
            Say::Publish { reliable } => s.publish(
                now,
                out,
                &Message { topic: "a", payload: b"direct", properties, reliable, retain: false },
            ),
            Say::Result { kind, id, status } => {
                let number = [12, 13, 14, 20, 21, 22][usize::from(kind % 6)];
                let (kind, id) = (session::Kind::from_number(number), u64::from(id % 8));
                let status = Status::from_code(u64::from(status >> 4));
                s.result(now, out, &Outcome { kind, id, status, reason: "so" })
            }
            Say::Answer { which, status, more, size } => {
                let Some(id) = pick(&self.requests, which) else { return };
                let (status, payload) = (Status::from_code(status.into()), vec![2; size.into()]);
                s.respond(now, out, &session::Response { id, status, more, payload: &payload, properties })
            }
            Say::Request { id, subscription, millis, payload } => {
                let request = session::Request {
                    id: id.into(),
                    subscription: u64::from(subscription % 8),
                    timeout: Duration::from_millis(millis.into()),
                    many: false,
                    topic: "a",
                    payload,
                    properties,
                };
                s.request(now, out, &request)
            }
            Say::Cancel(id) => s.cancel(now, out, id.into()),
            Say::Subscribe(id) => {
                let id = u64::from(id % 8);
                s.subscribe(
                    now,
                    out,
                    &session::Subscribe { id, filter: "a", ..session::Subscribe::default() },
                )
            }
            Say::Recorded { id, offset, size, key } => {
                let (key, mut memory) = (key.map(|key| [key]), [0; 64]);
                let mut list = Vec::new();
                list.extend(key.as_ref().map(|key| session::Property::Deduplication(key)));
                list.push(session::Property::Recorded(offset.into(), 1));
                let properties = Properties::write(&list, &mut memory).expect("valid");
                let payload = vec![1; size.into()];
                let (reliable, retain) = (size & 7 == 7, false);
                let message = Message { topic: "$room/a", payload: &payload, properties, reliable, retain };
                s.message(now, out, u64::from(id % 8), &message)
            }
            Say::Joined { id, epoch, offset, recovered } => {
                let (id, epoch, offset) = (u64::from(id % 8), u64::from(epoch % 3), u64::from(offset));
                let joined =
                    session::Joined { id, epoch, offset, count: 3, member: "0123456789abcdef", recovered };
                s.joined(now, out, &joined)
            }
            Say::Presence { id, member, gone, data } => {
                let member = if member { "0123456789abcdef:ann" } else { "" };
                s.presence(now, out, u64::from(id % 8), member, data, gone)
            }
            Say::Drain { seconds, retry, endpoint } => {
                let (deadline, retry_after) =
                    (Duration::from_secs(seconds.into()), Duration::from_secs(retry.into()));
                let endpoint = if endpoint { "elsewhere" } else { "" };
                s.drain(now, out, &Drain { deadline, retry_after, endpoint })
            }
            Say::Ping => {
                s.ping(now);
                Ok(())
            }
            Say::Close(code) => {
                s.close(now, Code::from_number(code.into()), "enough");
                Ok(())
            }
        };
    }
}
