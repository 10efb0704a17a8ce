//! Packets that came against packets as they are written.

use super::decode::{self, describe};
use super::property::{self, ALIAS, SUBSCRIPTION, USER, Value};
use super::{Aliases, Id, Kind, Packet};
use crate::pattern::{Captures, Matched};

pub(super) fn packet(wanted: &Packet, bytes: &[u8], captures: &mut Captures) -> Matched {
    match decode::packet(bytes, wanted.version) {
        Ok(None) => Matched::More,
        Err(why) => Matched::Not(format!("{}: {why}", crate::wire::short(bytes))),
        Ok(Some((found, end))) => match compare(wanted, &found, captures) {
            Ok(()) => Matched::All(end),
            Err(why) => Matched::Not(format!("{}: {why}", describe(&bytes[..end], wanted.version))),
        },
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, found: &T) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("{what} {found:?} instead of {wanted:?}")) }
}

fn compare(wanted: &Packet, found: &Packet, captures: &mut Captures) -> Result<(), String> {
    same("packet", &wanted.kind.name(), &found.kind.name())?;
    same("QoS", &wanted.qos, &found.qos)?;
    same("DUP", &wanted.dup, &found.dup)?;
    same("RETAIN", &wanted.retain, &found.retain)?;
    same("session present", &wanted.present, &found.present)?;
    if wanted.kind == Kind::Publish {
        match &wanted.aliases {
            Some(aliases) => same("topic", &wanted.topic, &aliased(aliases, found, captures)?)?,
            None => same("topic", &wanted.topic, &found.topic)?,
        }
        same("payload", &wanted.payload, &found.payload)?;
    }
    codes(wanted, found)?;
    properties(wanted, found)?;
    identifier(wanted, found, captures)
}

/// The topic as a client that knows the connection's aliases reads it; remembers one that is set.
fn aliased(aliases: &Aliases, found: &Packet, captures: &mut Captures) -> Result<Vec<u8>, String> {
    let Some((_, Value::Number(alias))) = found.properties.iter().find(|(id, _)| *id == ALIAS) else {
        return Ok(found.topic.clone());
    };
    if !(1..=aliases.most).contains(alias) {
        return Err(format!("alias {alias}, where 1 to {} are taken", aliases.most));
    }
    let name = format!("alias {alias} of {}", aliases.of);
    if found.topic.is_empty() {
        return captures.get(&name).cloned().ok_or_else(|| format!("alias {alias} was not set"));
    }
    captures.insert(name, found.topic.clone());
    Ok(found.topic.clone())
}

/// A code that is not written is any that says success; in `SUBACK` and `UNSUBACK` each has its place.
fn codes(wanted: &Packet, found: &Packet) -> Result<(), String> {
    let listed = matches!(wanted.kind, Kind::Suback | Kind::Unsuback);
    let fits = match wanted.codes.as_slice() {
        [] if !listed => found.codes.iter().flatten().all(|c| *c < 0x80 && (*c == 0 || wanted.version == 5)),
        all => {
            all.len() == found.codes.len()
                && all.iter().zip(&found.codes).all(|(any, one)| any.contains(&one[0]))
        }
    };
    if fits { Ok(()) } else { Err(format!("codes {:02x?} instead of {:02x?}", found.codes, wanted.codes)) }
}

fn identifier(wanted: &Packet, found: &Packet, captures: &mut Captures) -> Result<(), String> {
    match (&wanted.id, &found.id) {
        (Some(Id::Named(name)), Some(Id::Is(n))) => {
            let octets = n.to_be_bytes().to_vec();
            match captures.get(name) {
                Some(known) => same("packet identifier", known, &octets),
                None => {
                    captures.insert(name.clone(), octets);
                    Ok(())
                }
            }
        }
        (wanted, found) => same("packet identifier", wanted, found),
    }
}

fn properties(wanted: &Packet, found: &Packet) -> Result<(), String> {
    let name = |id: u8| property::by_id(id).map_or("property", |p| p.name);
    let values = |p: &Packet, id: u8| -> Vec<Value> {
        let mut all: Vec<Value> =
            p.properties.iter().filter(|(i, _)| *i == id).map(|(_, v)| v.clone()).collect();
        if id == SUBSCRIPTION {
            all.sort_by_key(|v| if let Value::Number(n) = v { *n } else { 0 });
        }
        all
    };
    for (id, _) in &wanted.properties {
        same(name(*id), &values(wanted, *id), &values(found, *id))?;
    }
    for id in &wanted.some {
        if values(found, *id).is_empty() {
            return Err(format!("it has no {}", name(*id)));
        }
    }
    let alias = |id: u8| id == ALIAS && wanted.aliases.is_some();
    let known =
        |id: u8| alias(id) || wanted.some.contains(&id) || wanted.properties.iter().any(|(i, _)| *i == id);
    for (id, _) in &found.properties {
        if wanted.none.contains(id) || wanted.kind == Kind::Publish && !known(*id) {
            return Err(format!("it has {}", name(*id)));
        }
    }
    Ok(())
}

pub(super) fn changes(packet: &Packet) -> Vec<Packet> {
    let mut all = Vec::new();
    let mut change = |with: &dyn Fn(&mut Packet)| {
        let mut changed = packet.clone();
        with(&mut changed);
        all.push(changed);
    };
    change(&|p| p.kind = if p.kind == Kind::Pingresp { Kind::Suback } else { Kind::Pingresp });
    for (i, any) in packet.codes.iter().enumerate() {
        let other = if any.contains(&0x83) { 0x80 } else { 0x83 };
        change(&|p| p.codes[i] = vec![other]);
    }
    if let Some(Id::Is(n)) = packet.id {
        change(&|p| p.id = Some(Id::Is(n ^ 1)));
    }
    match packet.kind {
        Kind::Publish => {
            change(&|p| p.topic.push(b'x'));
            change(&|p| p.payload.push(b'x'));
            change(&|p| p.qos ^= 1);
            change(&|p| p.dup = !p.dup);
            change(&|p| p.retain = !p.retain);
            if packet.version == 5 && !packet.properties.iter().any(|(id, _)| *id == USER) {
                change(&|p| p.properties.push((USER, Value::Pair(b"k".to_vec(), b"v".to_vec()))));
            }
        }
        Kind::Connack => change(&|p| p.present = !p.present),
        _ => {}
    }
    for (i, (_, value)) in packet.properties.iter().enumerate() {
        let other = match value {
            Value::Number(n) => Value::Number(n ^ 1),
            Value::Octets(octets) => Value::Octets([octets, &b"x"[..]].concat()),
            Value::Pair(name, value) => Value::Pair(name.clone(), [value, &b"x"[..]].concat()),
        };
        change(&|p| p.properties[i].1 = other.clone());
    }
    for i in 0..packet.some.len() {
        change(&|p| {
            let id = p.some.remove(i);
            p.none.push(id);
        });
    }
    for i in 0..packet.none.len() {
        change(&|p| {
            let id = p.none.remove(i);
            p.some.push(id);
        });
    }
    all
}
