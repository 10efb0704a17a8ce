//! What a vector leaves behind on a server that goes on: sessions and retained messages. The next
//! vector must not meet them.

use super::{Id, Kind, Packet};
use crate::pattern::{Captures, Token};
use crate::vector::{Vector, What};

/// Who tidies up; no vector has this client identifier.
const TIDY: &str = "bowline-conformance-tidy";

/// What one connection sends to remove something, packet by packet: each but the last is answered.
pub(crate) type Errand = Vec<Vec<u8>>;

/// What has to be sent so that nothing of `vector` is left.
pub(crate) fn errands(vector: &Vector) -> Vec<Errand> {
    let mut clients: Vec<&[u8]> = Vec::new();
    let mut topics: Vec<&[u8]> = Vec::new();
    let inputs =
        vector.steps.iter().filter_map(|s| if let What::In(p) = &s.what { Some(&p.0) } else { None });
    for token in inputs.flatten() {
        let Token::Packet(packet) = token else { continue };
        match packet.kind {
            Kind::Connect => {
                clients.push(&packet.topic);
                topics.extend(packet.connect.will.as_deref().filter(|_| packet.connect.will_retain));
            }
            Kind::Publish if packet.retain => topics.push(&packet.topic),
            _ => {}
        }
    }
    clients.sort_unstable();
    clients.dedup();
    topics.sort_unstable();
    topics.dedup();
    let ends = |id: &&[u8]| !id.is_empty() && id.len() < 1000;
    let mut all: Vec<Errand> = clients.into_iter().filter(ends).map(|id| errand(id, &[])).collect();
    if !topics.is_empty() {
        all.push(errand(TIDY.as_bytes(), &topics));
    }
    all
}

/// A clean session ends the one before; an empty retained message removes the one before.
fn errand(client: &[u8], topics: &[&[u8]]) -> Errand {
    let connect = Packet { topic: client.into(), ..Packet::new(Kind::Connect, 4) };
    let empty = |topic: &&[u8]| Packet {
        topic: topic.to_vec(),
        retain: true,
        qos: 1,
        id: Some(Id::Is(1)),
        ..Packet::new(Kind::Publish, 4)
    };
    let goodbye = Packet::new(Kind::Disconnect, 4);
    let packets = [connect].into_iter().chain(topics.iter().map(empty)).chain([goodbye]);
    packets.filter_map(|p| p.octets(&Captures::new()).ok()).collect()
}
