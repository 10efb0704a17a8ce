//! Octets to packets, as strict as the specifications: what a server sends is judged here.

use super::property::{self, Form, SUBSCRIPTION, USER, Value};
use super::{Id, Kind, Packet, encode};
use crate::wire::Reader;

/// The largest remaining length (§2.2.3 of 3.1.1, §2.1.4 of 5.0).
const LARGEST: u64 = 268_435_455;

/// The packet at the front, and where it ends; nothing where octets are missing.
pub(super) fn packet(bytes: &[u8], version: u8) -> Result<Option<(Packet, usize)>, String> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let kind = Kind::from_number(first >> 4).ok_or_else(|| format!("{first:02x} begins no packet"))?;
    let mut r = Reader(&bytes[1..]);
    if r.0.iter().take(4).all(|b| b & 0x80 != 0) {
        return if r.0.len() < 4 { Ok(None) } else { Err("a remaining length of more than 4 octets".into()) };
    }
    let size = r.varint()?;
    if size > LARGEST {
        return Err("a remaining length that is too large".into());
    }
    let start = bytes.len() - r.0.len();
    let end = start + size as usize;
    let Some(body) = bytes.get(start..end) else { return Ok(None) };
    let mut packet = Packet::new(kind, version);
    let mut r = Reader(body);
    fields(&mut packet, first & 15, &mut r)?;
    if !r.0.is_empty() {
        return Err(format!("{} octets behind the last field", r.0.len()));
    }
    Ok(Some((packet, end)))
}

fn fields(packet: &mut Packet, flags: u8, r: &mut Reader<'_>) -> Result<(), String> {
    if packet.kind == Kind::Publish {
        return publish(packet, flags, r);
    }
    if flags != encode::flags(packet) {
        return Err(format!("its flags are {flags:04b}"));
    }
    match packet.kind {
        Kind::Connack => connack(packet, r),
        Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp => {
            packet.id = Some(id(r)?);
            reason(packet, r)
        }
        Kind::Suback | Kind::Unsuback => acknowledgement(packet, r),
        Kind::Pingresp => Ok(()),
        Kind::Disconnect | Kind::Auth if packet.version == 5 => reason(packet, r),
        _ => Err("a server does not send it".into()),
    }
}

fn publish(packet: &mut Packet, flags: u8, r: &mut Reader<'_>) -> Result<(), String> {
    (packet.dup, packet.qos, packet.retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
    if packet.qos == 3 || packet.qos == 0 && packet.dup {
        return Err(format!("its flags are {flags:04b}"));
    }
    packet.topic = text(r)?.into();
    if packet.topic.iter().any(|b| b"+#".contains(b)) {
        return Err("its topic has wildcards".into());
    }
    if packet.qos > 0 {
        packet.id = Some(id(r)?);
    }
    if packet.version == 5 {
        packet.properties = properties(packet.kind, r)?;
    }
    let aliased = packet.properties.iter().any(|(id, _)| *id == 35);
    if packet.topic.is_empty() && !aliased {
        return Err("it has no topic".into());
    }
    packet.payload = std::mem::take(&mut r.0).to_vec();
    Ok(())
}

fn connack(packet: &mut Packet, r: &mut Reader<'_>) -> Result<(), String> {
    let (flags, code) = (r.u8()?, r.u8()?);
    if flags > 1 {
        return Err(format!("its flags are {flags:08b}"));
    }
    packet.present = flags == 1;
    if packet.present && code != 0 {
        return Err("a session is present, and refused".into());
    }
    known(packet, code)?;
    packet.codes = vec![vec![code]];
    if packet.version == 5 {
        packet.properties = properties(packet.kind, r)?;
    }
    Ok(())
}

fn acknowledgement(packet: &mut Packet, r: &mut Reader<'_>) -> Result<(), String> {
    packet.id = Some(id(r)?);
    if packet.version == 5 {
        packet.properties = properties(packet.kind, r)?;
    } else if packet.kind == Kind::Unsuback {
        return Ok(());
    }
    for code in std::mem::take(&mut r.0) {
        known(packet, *code)?;
        packet.codes.push(vec![*code]);
    }
    if packet.codes.is_empty() { Err("it has no code".into()) } else { Ok(()) }
}

/// A reason code and properties, where they are not left out.
fn reason(packet: &mut Packet, r: &mut Reader<'_>) -> Result<(), String> {
    if packet.version < 5 || r.0.is_empty() {
        packet.codes = vec![vec![0]];
        return Ok(());
    }
    let code = r.u8()?;
    known(packet, code)?;
    packet.codes = vec![vec![code]];
    if !r.0.is_empty() {
        packet.properties = properties(packet.kind, r)?;
    }
    // §3.14.2.2.2: only a client says when its session ends.
    if packet.kind == Kind::Disconnect && packet.properties.iter().any(|(id, _)| *id == 17) {
        return Err("a server says when the session expires".into());
    }
    Ok(())
}

/// Whether a packet of a server may have this code (the tables of §3 in both specifications).
fn known(packet: &Packet, code: u8) -> Result<(), String> {
    const ACK: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    const CONNACK: &[u8] = &[
        0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
        0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
    ];
    // §2.4 gives DISCONNECT 0x8C, and §3.14.2.1 does not.
    const DISCONNECT: &[u8] = &[
        0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
        0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
    let codes: &[u8] = match (packet.kind, packet.version) {
        (Kind::Connack, 3 | 4) => &[0, 1, 2, 3, 4, 5],
        (Kind::Suback, 3 | 4) => &[0, 1, 2, 0x80],
        (Kind::Connack, _) => CONNACK,
        (Kind::Puback | Kind::Pubrec, _) => ACK,
        (Kind::Pubrel | Kind::Pubcomp, _) => &[0, 0x92],
        (Kind::Suback, _) => &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2],
        (Kind::Unsuback, _) => &[0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
        (Kind::Disconnect, _) => DISCONNECT,
        (Kind::Auth, _) => &[0, 0x18, 0x19],
        _ => &[],
    };
    if codes.contains(&code) { Ok(()) } else { Err(format!("it has no code {code:#04x}")) }
}

fn id(r: &mut Reader<'_>) -> Result<Id, String> {
    match two(r)? {
        0 => Err("its packet identifier is 0".into()),
        n => Ok(Id::Is(n)),
    }
}

fn two(r: &mut Reader<'_>) -> Result<u16, String> {
    Ok(u16::from_be_bytes([r.u8()?, r.u8()?]))
}

fn binary<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], String> {
    let n = two(r)?.into();
    let (field, rest) = r.0.split_at_checked(n).ok_or("a field reaches beyond the packet")?;
    r.0 = rest;
    Ok(field)
}

fn text<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], String> {
    let octets = binary(r)?;
    match std::str::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => Ok(octets),
        _ => Err("a text that is none".into()),
    }
}

fn properties(kind: Kind, r: &mut Reader<'_>) -> Result<Vec<(u8, Value)>, String> {
    let mut block = Reader(r.bytes()?);
    let mut all = Vec::new();
    while !block.0.is_empty() {
        let id = block.u8()?;
        let property = property::by_id(id).filter(|p| p.packets.contains(&kind));
        let property = property.ok_or_else(|| format!("it has no property {id}"))?;
        let repeats = id == USER || id == SUBSCRIPTION && kind == Kind::Publish;
        if !repeats && all.iter().any(|(other, _)| *other == id) {
            return Err(format!("{} comes twice", property.name));
        }
        let value = match property.form {
            Form::Byte => Value::Number(block.u8()?.into()),
            Form::Two => Value::Number(two(&mut block)?.into()),
            Form::Four => Value::Number(u32::from(two(&mut block)?) << 16 | u32::from(two(&mut block)?)),
            Form::Varint => Value::Number(u32::try_from(block.varint()?).map_err(|_| "a number too large")?),
            Form::Text => Value::Octets(text(&mut block)?.into()),
            Form::Binary => Value::Octets(binary(&mut block)?.into()),
            Form::Pair => Value::Pair(text(&mut block)?.into(), text(&mut block)?.into()),
        };
        let fits = |n: u32| n <= property.max && (n > 0 || property.zero);
        if matches!(value, Value::Number(n) if !fits(n)) {
            return Err(format!("{} has a value that it cannot have", property.name));
        }
        all.push((id, value));
    }
    Ok(all)
}

/// Octets for people: whole packets by name, the rest in hexadecimal digits.
pub(crate) fn describe(mut bytes: &[u8], version: u8) -> String {
    let mut parts = Vec::new();
    while !bytes.is_empty() && parts.len() < 8 {
        let Ok(Some((packet, end))) = packet(bytes, version) else { break };
        parts.push(one(&packet));
        bytes = &bytes[end..];
    }
    if !bytes.is_empty() {
        parts.push(crate::wire::short(bytes));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(" ") }
}

/// A packet as vectors write it.
fn one(p: &Packet) -> String {
    let mut words = vec![p.kind.name().to_owned()];
    let lossy = |octets: &[u8]| String::from_utf8_lossy(&octets[..octets.len().min(48)]).into_owned();
    if p.kind == Kind::Publish {
        words.extend([lossy(&p.topic), format!("'{}'", lossy(&p.payload)), format!("q{}", p.qos)]);
        words.extend([(p.dup, "dup"), (p.retain, "retain")].iter().filter(|w| w.0).map(|w| w.1.to_owned()));
    }
    words.extend(p.present.then(|| "present".to_owned()));
    if let Some(Id::Is(n)) = p.id {
        words.push(format!("#{n}"));
    }
    words.extend(p.codes.iter().flatten().map(|c| format!("{c:#04x}")));
    for (id, value) in &p.properties {
        let name = property::by_id(*id).map_or("?", |p| p.name);
        words.push(match value {
            Value::Number(n) => format!("{name}={n}"),
            Value::Octets(octets) => format!("{name}='{}'", lossy(octets)),
            Value::Pair(k, v) => format!("{name}='{}':'{}'", lossy(k), lossy(v)),
        });
    }
    format!("{{{}}}", words.join(" "))
}
