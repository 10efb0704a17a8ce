//! The secure mode below a session, from either side.

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf};
use bowline_core::entropy::Scripted;
use bowline_core::secure::{
    Fault, Keys, Opened, Opening, PublicKey, Records, Rekey, SecretKey, ServerKeys, SharedKey, Step,
};
use bowline_core::time::{Deadline, Instant};
use serde_json::{Map, Value, json};

use super::{Machine, Output};
use crate::pattern::{hex, unhex};
use crate::runner::Trouble;
use crate::vector::{Fin, NoiseKeys, Role, Vector};

/// A session machine in records. A client's opening goes out with its call `connect`.
#[derive(Debug)]
struct Secure {
    inner: Box<dyn Machine>,
    /// What the session puts, before it is sealed.
    plain: Output,
    keys: ServerKeys,
    client: Option<Client>,
    secret: Vec<u8>,
    layer: Layer,
    rekey: Rekey,
    /// The peer broke a rule: nothing more is read.
    failed: bool,
}

#[derive(Debug)]
enum Layer {
    /// A client before `connect`.
    Idle,
    Opening(Opening),
    Open(Records),
}

/// A client's keys, and what it calls once it is open.
#[derive(Debug)]
struct Client {
    own: SecretKey,
    server: Vec<PublicKey>,
    shared: Option<SharedKey>,
    connect: Map<String, Value>,
}

fn octets(text: &str) -> Result<[u8; 32], Trouble> {
    let octets = unhex(text).map_err(Trouble::Broken)?;
    octets.try_into().map_err(|_| Trouble::Broken(format!("{text} is not 32 octets")))
}

/// `inner` in the secure mode with these keys.
pub(super) fn machine(
    vector: &Vector,
    keys: &NoiseKeys,
    inner: Box<dyn Machine>,
) -> Result<Box<dyn Machine>, Trouble> {
    let own = keys.key.as_deref().map(octets).transpose()?.map(SecretKey::from_octets);
    let shared = keys.shared.as_deref().map(octets).transpose()?.map(SharedKey::from_octets);
    let server =
        keys.server.iter().map(|key| octets(key).map(PublicKey::from_octets)).collect::<Result<_, _>>()?;
    let secret = unhex(&vector.entropy.secret).map_err(Trouble::Broken)?;
    let (mut offered, mut client, mut layer) = (ServerKeys::default(), None, Layer::Idle);
    if vector.role == Role::Server {
        layer = Layer::Opening(Opening::accept());
        offered.own = own;
        shared.into_iter().for_each(|key| offered.add_shared(key));
    } else {
        let own = own.unwrap_or_else(|| SecretKey::from_octets([0; 32]));
        client = Some(Client { own, server, shared, connect: Map::new() });
    }
    let mut rekey = Rekey::default();
    rekey.octets = keys.rekey_octets.unwrap_or(rekey.octets);
    let plain = Output::default();
    Ok(Box::new(Secure { inner, plain, keys: offered, client, secret, layer, rekey, failed: false }))
}

impl Secure {
    /// What the session told becomes what is told, and what it put is sealed.
    fn settle(&mut self, now: Instant, output: &mut Output) {
        output.events.append(&mut self.plain.events);
        let octets = std::mem::take(&mut self.plain.octets);
        if let Layer::Open(records) = &mut self.layer {
            records.seal(now, output, |sealing| {
                if !octets.is_empty() {
                    sealing.put(&octets);
                }
            });
        }
    }

    fn opened(&mut self, now: Instant, opened: Opened, output: &mut Output) {
        let key = opened.remote.map(|key| *key.as_octets()).or(opened.shared).unwrap_or_default();
        output.events.push(json!({ "secured": {
            "pattern": opened.pattern.to_string(),
            "key": hex(&key),
            "hash": hex(&opened.hash),
        } }));
        self.layer = Layer::Open(Records::new(opened, self.rekey));
        if let Some(client) = &self.client {
            // What does not let it connect shows in the vector.
            let _ = self.inner.call(now, "connect", &client.connect, &mut self.plain);
        }
    }

    fn failed(&mut self, now: Instant, fault: Fault, output: &mut Output) {
        self.failed = true;
        output
            .events
            .push(json!({ "failed": { "reason": fault.reason().trim_start_matches("secure mode: ") } }));
        match &mut self.layer {
            Layer::Opening(opening) if self.client.is_none() => opening.refuse(fault.refusal()),
            Layer::Open(_) => {
                let mut close = Map::new();
                close.insert("code".into(), "MALFORMED".into());
                let _ = self.inner.call(now, "close", &close, &mut self.plain);
            }
            _ => {}
        }
    }

    fn step(
        &mut self,
        now: Instant,
        received: &mut GrowingRecvBuf,
        output: &mut Output,
    ) -> Result<bool, Fault> {
        match &mut self.layer {
            Layer::Idle => Ok(false),
            Layer::Opening(opening) => {
                let keys = self.client.is_none().then_some(&self.keys);
                match opening.recv(received, keys, &mut Scripted::new(&[], &self.secret))? {
                    Step::Wait => Ok(false),
                    Step::Judge(key) if self.client.as_ref().is_some_and(|c| c.server.contains(&key)) => {
                        opening.trust();
                        Ok(true)
                    }
                    Step::Judge(key) => Err(Fault::ServerKey(key)),
                    Step::Done(opened) => {
                        self.opened(now, opened, output);
                        Ok(true)
                    }
                }
            }
            Layer::Open(records) => {
                let any = records.recv(received)?;
                Ok(self.inner.recv(now, records.opened(), &mut self.plain) || any)
            }
        }
    }
}

impl Machine for Secure {
    fn recv(&mut self, now: Instant, received: &mut GrowingRecvBuf, output: &mut Output) -> bool {
        if self.failed {
            received.take(usize::MAX);
            return false;
        }
        let went_on = self.step(now, received, output).unwrap_or_else(|fault| {
            self.failed(now, fault, output);
            false
        });
        output.events.append(&mut self.plain.events);
        went_on
    }

    fn handle_eof(&mut self, now: Instant) {
        self.inner.handle_eof(now);
    }

    fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        self.inner.handle_timeout(now, &mut self.plain);
        output.events.append(&mut self.plain.events);
    }

    fn call(
        &mut self,
        now: Instant,
        name: &str,
        arguments: &Map<String, Value>,
        output: &mut Output,
    ) -> Result<(), Trouble> {
        let (Layer::Idle, Some(client)) = (&self.layer, &mut self.client) else {
            self.inner.call(now, name, arguments, &mut self.plain)?;
            self.settle(now, output);
            return Ok(());
        };
        client.connect = arguments.clone();
        let keys = match (&client.shared, &client.server[..]) {
            (Some(shared), _) => Keys::NnPsk0 { shared },
            (None, [one]) => Keys::Ik { own: &client.own, remote: Some(*one) },
            (None, _) => Keys::Xx { own: &client.own },
        };
        let opening = Opening::connect(&keys, &mut Scripted::new(&[], &self.secret));
        match opening {
            Ok(opening) => self.layer = Layer::Opening(opening),
            Err(error) => self.failed(now, Fault::Handshake(error), output),
        }
        Ok(())
    }

    fn poll_transmit(&mut self, now: Instant, output: &mut Output) -> Fin {
        let fin = self.inner.poll_transmit(now, &mut self.plain);
        match &mut self.layer {
            Layer::Idle | Layer::Opening(_) if self.failed && self.client.is_some() => return Fin::Drop,
            Layer::Idle => return fin,
            Layer::Opening(opening) => {
                self.plain.octets.clear();
                opening.poll_transmit(output);
                output.events.append(&mut self.plain.events);
                return if self.failed { Fin::Shut } else { fin };
            }
            Layer::Open(_) => {}
        }
        self.settle(now, output);
        fin
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.inner.poll_timeout()
    }
}
