//! Packets to octets.

use super::property::{self, Form, Value};
use super::{Id, Kind, Packet};
use crate::pattern::Captures;
use crate::wire::varint;

pub(super) fn packet(packet: &Packet, captures: &Captures) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let five = packet.version == 5;
    match packet.kind {
        Kind::Connect => connect(packet, &mut body)?,
        Kind::Connack => {
            body.extend([u8::from(packet.present), code(packet).unwrap_or(0)]);
            if five {
                properties(&packet.properties, &mut body)?;
            }
        }
        Kind::Publish => {
            text(&packet.topic, &mut body)?;
            id(packet, captures, &mut body)?;
            if five {
                properties(&packet.properties, &mut body)?;
            }
            body.extend(&packet.payload);
        }
        Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp => {
            id(packet, captures, &mut body)?;
            reason(packet, &mut body)?;
        }
        Kind::Subscribe | Kind::Unsubscribe => {
            id(packet, captures, &mut body)?;
            if five {
                properties(&packet.properties, &mut body)?;
            }
            for (filter, options) in &packet.filters {
                text(filter, &mut body)?;
                body.extend((packet.kind == Kind::Subscribe).then_some(*options));
            }
        }
        Kind::Suback | Kind::Unsuback => {
            id(packet, captures, &mut body)?;
            if five {
                properties(&packet.properties, &mut body)?;
            }
            body.extend(packet.codes.iter().filter_map(|c| c.first()));
        }
        Kind::Disconnect | Kind::Auth => reason(packet, &mut body)?,
        Kind::Pingreq | Kind::Pingresp => {}
        Kind::Will => return Err("a will is no packet".into()),
    }
    let mut out = vec![(packet.kind as u8) << 4 | flags(packet)];
    out.extend(varint(body.len() as u64));
    out.extend(body);
    Ok(out)
}

/// The lower half of the first octet (Table 2.2).
pub(super) fn flags(packet: &Packet) -> u8 {
    match packet.kind {
        Kind::Publish => u8::from(packet.dup) << 3 | packet.qos << 1 | u8::from(packet.retain),
        Kind::Pubrel | Kind::Subscribe | Kind::Unsubscribe => 2,
        _ => 0,
    }
}

fn code(packet: &Packet) -> Option<u8> {
    packet.codes.first().and_then(|c| c.first()).copied()
}

fn connect(packet: &Packet, body: &mut Vec<u8>) -> Result<(), String> {
    let c = &packet.connect;
    text(if packet.version == 3 { b"MQIsdp" } else { b"MQTT" }, body)?;
    let will = c.will.is_some();
    let bits = [
        (7, c.login.is_some()),
        (6, c.password.is_some()),
        (5, will && c.will_retain),
        (2, will),
        (1, !c.keep),
    ];
    let flags = bits.iter().fold(c.will_qos << 3, |all, (bit, on)| all | u8::from(*on) << bit);
    body.extend([packet.version, flags]);
    body.extend(c.keepalive.to_be_bytes());
    if packet.version == 5 {
        properties(&packet.properties, body)?;
    }
    text(&packet.topic, body)?;
    if let Some(topic) = &c.will {
        if packet.version == 5 {
            properties(&c.will_properties, body)?;
        }
        text(topic, body)?;
        text(&c.will_payload, body)?;
    }
    [&c.login, &c.password].into_iter().flatten().try_for_each(|t| text(t, body))
}

/// A reason code and properties, each left out where it can be.
fn reason(packet: &Packet, body: &mut Vec<u8>) -> Result<(), String> {
    if packet.version < 5 {
        return Ok(());
    }
    let all = packet.long || !packet.properties.is_empty();
    if all || code(packet).is_some() {
        body.push(code(packet).unwrap_or(0));
    }
    if all { properties(&packet.properties, body) } else { Ok(()) }
}

fn id(packet: &Packet, captures: &Captures, body: &mut Vec<u8>) -> Result<(), String> {
    match &packet.id {
        None => {}
        Some(Id::Is(n)) => body.extend(n.to_be_bytes()),
        Some(Id::Named(name)) => {
            body.extend(captures.get(name).ok_or_else(|| format!("nothing is known as `{name}`"))?);
        }
    }
    Ok(())
}

/// Two octets of length, then the text.
pub(super) fn text(text: &[u8], body: &mut Vec<u8>) -> Result<(), String> {
    let n = u16::try_from(text.len()).map_err(|_| "a text of more than 65,535 octets")?;
    body.extend(n.to_be_bytes());
    body.extend(text);
    Ok(())
}

fn properties(all: &[(u8, Value)], body: &mut Vec<u8>) -> Result<(), String> {
    let mut block = Vec::new();
    for (id, value) in all {
        let form = property::by_id(*id).map(|p| p.form).ok_or("no such property")?;
        block.push(*id);
        match (form, value) {
            (Form::Byte, Value::Number(n)) => {
                block.push(u8::try_from(*n).map_err(|_| "a property of one octet is larger")?);
            }
            (Form::Two, Value::Number(n)) => {
                block.extend(
                    u16::try_from(*n).map_err(|_| "a property of two octets is larger")?.to_be_bytes(),
                );
            }
            (Form::Four, Value::Number(n)) => block.extend(n.to_be_bytes()),
            (Form::Varint, Value::Number(n)) => block.extend(varint(u64::from(*n))),
            (Form::Text | Form::Binary, Value::Octets(octets)) => text(octets, &mut block)?,
            (Form::Pair, Value::Pair(name, value)) => {
                text(name, &mut block)?;
                text(value, &mut block)?;
            }
            _ => return Err("a property's value has another form".into()),
        }
    }
    body.extend(varint(block.len() as u64));
    body.extend(block);
    Ok(())
}
