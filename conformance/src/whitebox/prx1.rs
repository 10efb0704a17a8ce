//! PRX1, from either side.

use std::collections::BTreeMap;

use bowline_core::buf::GrowingRecvBuf;
use bowline_core::lifecycle::Transport;
use bowline_core::prx1::{
    Answer, Client, Config, Connect, MAX_BODY, Message, PacketId, Publish, Queue, QueueAction, QueueOptions,
    QueueStatus, SendError, Server, Slot, Success,
};
use bowline_core::time::{Deadline, Instant};
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::{Machine, Output, blocked};
use crate::call::prx1::{self as call, Call};
use crate::pattern::unhex;
use crate::runner::Trouble;
use crate::vector::{Fin, Role, Vector};

mod events;

/// So many messages of a client wait for their PUBACK, where a vector does not say.
const SLOTS: u16 = 16;

/// The machine that `vector` is about, and the largest packet that it takes, with its header.
pub(super) fn machine(vector: &Vector) -> (Box<dyn Machine>, usize) {
    let (given, mut config) = (&vector.config, Config::default());
    config.max_packet = given.max_frame.unwrap_or(config.max_packet);
    config.handshake_deadline = given.handshake_ms.map_or(config.handshake_deadline, Duration::from_millis);
    if given.success == Some(2) {
        config.success = Success::Published;
    }
    let machine: Box<dyn Machine> = if vector.role == Role::Server {
        Box::new(ServerSide(Server::accept(Instant::ZERO, &config)))
    } else {
        // A vector's few slots live as long as the program.
        let idle = vec![Slot::EMPTY; usize::from(given.in_flight.unwrap_or(SLOTS))].leak();
        Box::new(ClientSide { config, idle: Some(idle), client: None, messages: BTreeMap::new() })
    };
    (machine, MAX_BODY as usize + 5)
}

const fn fin(transport: Transport) -> Fin {
    match transport {
        Transport::Open => Fin::Open,
        Transport::Shut => Fin::Shut,
        Transport::Drop | Transport::Abort => Fin::Drop,
    }
}

/// A server's connection.
#[derive(Debug)]
struct ServerSide(Server);

impl Machine for ServerSide {
    fn recv(&mut self, now: Instant, received: &mut GrowingRecvBuf, output: &mut Output) -> bool {
        let event = self.0.recv(now, received);
        output.events.extend(event.as_ref().map(events::of_server));
        event.is_some()
    }

    fn handle_eof(&mut self, now: Instant) {
        self.0.handle_eof(now);
    }

    fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        let event = self.0.handle_timeout(now);
        output.events.extend(event.as_ref().map(events::of_server));
    }

    fn call(
        &mut self,
        now: Instant,
        name: &str,
        arguments: &Map<String, Value>,
        output: &mut Output,
    ) -> Result<(), Trouble> {
        let server = &mut self.0;
        let result = match Call::read(name, arguments).map_err(Trouble::Broken)? {
            Call::Connack { result, session } => {
                let answer = match result {
                    call::Result::Accepted => Answer::Accepted { session: session.as_deref() },
                    call::Result::Failed => Answer::Failed,
                    call::Result::Refused => Answer::Refused,
                    call::Result::Error => Answer::Error,
                };
                server.connack(now, output, answer)
            }
            Call::Publish(p) => {
                let (payload, id) = (octets(&p.payload)?, p.id.map(packet_id).transpose()?);
                let (topic, payload) = (p.topic.as_str(), payload.as_slice());
                let publish = Publish { topic, payload, id, retain: p.retain, dup: p.dup };
                server.publish(now, output, &publish)
            }
            Call::Puback { id } => server.puback(now, output, packet_id(id)?),
            Call::Suback { id } => server.suback(now, output, packet_id(id)?),
            Call::Unsuback { id } => server.unsuback(now, output, packet_id(id)?),
            Call::Queue(q) => with_queue(&q, |queue| server.queue(now, output, queue))?,
            Call::QueueAck { status } => server.queue_ack(now, output, status_of(status)),
            Call::Close {} => {
                server.close(now);
                Ok(())
            }
            other => return Err(Trouble::Broken(format!("no call of a server: {other:?}"))),
        };
        output.events.extend(result.err().map(refusal));
        Ok(())
    }

    fn poll_transmit(&mut self, now: Instant, output: &mut Output) -> Fin {
        fin(self.0.poll_transmit(now, output))
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}

/// A message as its publisher keeps it: topic, payload, whether it is retained.
type Kept = (String, Vec<u8>, bool);

/// A client's connections, one after the other, and the messages that it keeps.
#[derive(Debug)]
struct ClientSide {
    config: Config,
    /// The slots, before the first connection.
    idle: Option<&'static mut [Slot]>,
    client: Option<Client<'static>>,
    messages: BTreeMap<u64, Kept>,
}

impl Machine for ClientSide {
    fn recv(&mut self, now: Instant, received: &mut GrowingRecvBuf, output: &mut Output) -> bool {
        let event = self.client.as_mut().and_then(|c| c.recv(now, received));
        output.events.extend(event.as_ref().map(events::of_client));
        event.is_some()
    }

    fn handle_eof(&mut self, now: Instant) {
        if let Some(client) = &mut self.client {
            client.handle_eof(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        let event = self.client.as_mut().and_then(|c| c.handle_timeout(now));
        output.events.extend(event.as_ref().map(events::of_client));
    }

    fn call(
        &mut self,
        now: Instant,
        name: &str,
        arguments: &Map<String, Value>,
        output: &mut Output,
    ) -> Result<(), Trouble> {
        let call = Call::read(name, arguments).map_err(Trouble::Broken)?;
        let result = match call {
            Call::Connect(c) => self.connect(now, &c, output),
            other => match &mut self.client {
                Some(client) => client_call(client, now, &other, &mut self.messages, output)?,
                None => Err(SendError::State),
            },
        };
        output.events.extend(result.err().map(refusal));
        Ok(())
    }

    fn poll_transmit(&mut self, now: Instant, output: &mut Output) -> Fin {
        self.client.as_mut().map_or(Fin::Open, |c| fin(c.poll_transmit(now, output)))
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.client.as_ref().and_then(Client::poll_timeout)
    }
}

impl ClientSide {
    fn connect(&mut self, now: Instant, c: &call::Connect, output: &mut Output) -> Result<(), SendError> {
        let slots = self.client.take().map(Client::into_slots).or(self.idle.take()).unwrap_or_default();
        let connect = Connect {
            user: c.user.as_deref(),
            password: c.password.as_deref().map(str::as_bytes),
            client_id: c.client_id.as_deref(),
            keepalive: c.keepalive,
            clean: c.clean,
        };
        self.client = Some(Client::connect(now, &self.config, &connect, slots, output)?);
        Ok(())
    }
}

type Sent = Result<Result<(), SendError>, Trouble>;

fn client_call(
    client: &mut Client<'static>,
    now: Instant,
    call: &Call,
    messages: &mut BTreeMap<u64, Kept>,
    output: &mut Output,
) -> Sent {
    Ok(match call {
        Call::Publish(p) => {
            let payload = octets(&p.payload)?;
            let message = Message { topic: &p.topic, payload: &payload, retain: p.retain };
            match p.key {
                None => client.publish(now, output, &message),
                Some(key) => {
                    let sent = client.publish_tracked(now, output, &message, key).map(drop);
                    messages.insert(key, (p.topic.clone(), payload, p.retain));
                    sent
                }
            }
        }
        Call::Resend {} => {
            let kept = client.poll_resend().and_then(|(_, key)| messages.get(&key));
            let Some((topic, payload, retain)) = kept else { return Ok(Err(SendError::State)) };
            client.resend(now, output, &Message { topic, payload, retain: *retain })
        }
        Call::Puback { id } => client.puback(now, output, packet_id(*id)?),
        Call::Subscribe(s) => client.subscribe(now, output, &s.filter, s.reliable).map(drop),
        Call::Unsubscribe(s) => client.unsubscribe(now, output, &s.filter, s.reliable).map(drop),
        Call::Queue(q) => with_queue(q, |queue| client.queue(now, output, queue))?,
        Call::QueueAck { status } => client.queue_ack(now, output, status_of(*status)),
        Call::Ping {} => {
            client.ping(now);
            Ok(())
        }
        Call::Disconnect {} => {
            client.disconnect(now);
            Ok(())
        }
        other => return Err(Trouble::Broken(format!("no call of a client: {other:?}"))),
    })
}

fn octets(text: &str) -> Result<Vec<u8>, Trouble> {
    unhex(text).map_err(Trouble::Broken)
}

fn packet_id(id: u16) -> Result<PacketId, Trouble> {
    PacketId::new(id).ok_or_else(|| Trouble::Broken(format!("{id} is no id")))
}

const fn status_of(status: call::Status) -> QueueStatus {
    match status {
        call::Status::None => QueueStatus::None,
        call::Status::Ok => QueueStatus::Ok,
        call::Status::Error => QueueStatus::Error,
    }
}

fn with_queue(q: &call::Queue, send: impl FnOnce(&Queue<'_>) -> Result<(), SendError>) -> Sent {
    let (mark, payload) =
        (q.mark.as_deref().map(octets).transpose()?, q.payload.as_deref().map(octets).transpose()?);
    let id = q.id.map(packet_id).transpose()?;
    let options = q.action.map(|action| QueueOptions {
        action: match action {
            call::Action::Initialize => QueueAction::Initialize,
            call::Action::Destroy => QueueAction::Destroy,
            call::Action::Drain => QueueAction::Drain,
        },
        id,
        address: q.address.as_deref(),
        return_path: q.return_path.as_deref(),
        mark: mark.as_deref(),
    });
    Ok(send(&Queue { options, payload: payload.as_deref(), dup: q.dup }))
}

/// The event that says why a call did not happen.
fn refusal(error: SendError) -> Value {
    match error {
        SendError::Blocked(_) => blocked("room"),
        SendError::State => blocked("state"),
        SendError::InFlight => blocked("in_flight"),
        SendError::ResendFirst => blocked("resend_first"),
        SendError::TooLong { .. } => json!({ "misuse": { "what": "too_large" } }),
        SendError::Topic(_) => json!({ "misuse": { "what": "topic" } }),
        other => json!({ "misuse": { "what": "invalid", "text": other.to_string() } }),
    }
}
