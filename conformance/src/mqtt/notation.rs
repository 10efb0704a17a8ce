//! Packets from the words of a vector.

use super::property::{self, Form, Property, Value};
use super::{Aliases, Id, Kind, NAMES, Packet};

pub(super) fn parse(text: &str, version: u8) -> Result<Packet, String> {
    let all = words(text)?;
    let (name, words) = all.split_first().ok_or("nothing stands between the braces")?;
    let (name, maybe) = name.strip_suffix('?').map_or((*name, false), |name| (name, true));
    let (_, kind) = NAMES.iter().find(|(n, _)| *n == name).ok_or("no packet has this name")?;
    let mut packet = Packet { maybe, ..Packet::new(*kind, version) };
    let mut places = 0;
    for word in words {
        one(&mut packet, word, &mut places).map_err(|e| format!("`{word}`: {e}"))?;
    }
    Ok(packet)
}

/// Words between spaces; quotes keep spaces together.
pub(crate) fn words(text: &str) -> Result<Vec<&str>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut quoted = false;
        let end = rest.find(|c: char| {
            quoted ^= c == '\'';
            !quoted && c.is_whitespace()
        });
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if word.matches('\'').count() % 2 != 0 {
            return Err(format!("`{word}`: the second quote is missing"));
        }
        all.push(word);
        rest = behind.trim_start();
    }
    Ok(all)
}

fn one(packet: &mut Packet, word: &str, places: &mut usize) -> Result<(), String> {
    if let Some(id) = word.strip_prefix('#').filter(|_| packet.id.is_none() && has_id(packet.kind)) {
        packet.id = Some(match id.parse() {
            Ok(n) => Id::Is(n),
            Err(_) => Id::Named(id.to_owned()),
        });
        return Ok(());
    }
    if let Some(name) = word.strip_prefix('!') {
        packet.none.push(property_named(name)?.id);
        return Ok(());
    }
    let literal = word.starts_with('\'');
    match (packet.kind, word) {
        (_, "long") => packet.long = true,
        (Kind::Publish, "q0" | "q1" | "q2") => packet.qos = word.as_bytes()[1] - b'0',
        (Kind::Publish, "dup") => packet.dup = true,
        (Kind::Publish, "retain") => packet.retain = true,
        (Kind::Connect, "keep") => packet.connect.keep = true,
        (Kind::Connect, "will.retain") => packet.connect.will_retain = true,
        (Kind::Connack, "present") => packet.present = true,
        (Kind::Subscribe, _) if word.contains('@') => packet.filters.push(filter(word)?),
        (Kind::Unsubscribe, _) if !word.contains('=') => packet.filters.push((value(word)?, 0)),
        (_, _) if !literal && word.contains('=') => {
            let (name, given) = word.split_once('=').unwrap_or((word, ""));
            named(packet, name, given)?;
        }
        (Kind::Publish | Kind::Connect, _) if !is_property(packet.kind, word, *places) => {
            place(packet, word, places)?;
        }
        (_, _) if word.starts_with("0x") || word.starts_with(|c: char| c.is_ascii_digit()) => {
            packet.codes.push(word.split('|').map(code).collect::<Result<_, _>>()?);
        }
        _ => packet.some.push(property_named(word)?.id),
    }
    Ok(())
}

/// Whether a bare word is a property: behind all places, so that topics may have any name.
fn is_property(kind: Kind, word: &str, places: usize) -> bool {
    places >= if kind == Kind::Publish { 2 } else { 1 } && property::by_name(word).is_some()
}

fn place(packet: &mut Packet, word: &str, places: &mut usize) -> Result<(), String> {
    match (packet.kind, *places) {
        (_, 0) => packet.topic = value(word)?,
        (Kind::Publish, 1) => packet.payload = value(word)?,
        _ => return Err("one word too many".into()),
    }
    *places += 1;
    Ok(())
}

const fn has_id(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Connect | Kind::Connack | Kind::Pingreq | Kind::Pingresp | Kind::Disconnect | Kind::Auth
    )
}

fn code(text: &str) -> Result<u8, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "a code is a number of one octet".into())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}

fn property_named(name: &str) -> Result<&'static Property, String> {
    property::by_name(name).ok_or_else(|| "no property has this name".to_owned())
}

fn named(packet: &mut Packet, name: &str, given: &str) -> Result<(), String> {
    let connect = &mut packet.connect;
    match (packet.kind, name) {
        (_, "v") => packet.version = number(given)?,
        (Kind::Publish, "aliases") => {
            let (of, most) = given.split_once(':').ok_or("a name and the largest are divided by `:`")?;
            packet.aliases = Some(Aliases { of: of.to_owned(), most: number(most)? });
        }
        (Kind::Connect, "keepalive") => connect.keepalive = number(given)?,
        (Kind::Connect, "login") => connect.login = Some(value(given)?),
        (Kind::Connect, "password") => connect.password = Some(value(given)?),
        (Kind::Connect, "will") => connect.will = Some(value(given)?),
        (Kind::Connect, "will.payload") => connect.will_payload = value(given)?,
        (Kind::Connect, "will.q") => connect.will_qos = number(given)?,
        (Kind::Connect, _) if name.starts_with("will.") => {
            connect.will_properties.push(with_value(&name[5..], given)?);
        }
        _ => packet.properties.push(with_value(name, given)?),
    }
    Ok(())
}

fn with_value(name: &str, given: &str) -> Result<(u8, Value), String> {
    let property = property_named(name)?;
    let value = match property.form {
        Form::Text | Form::Binary => Value::Octets(value(given)?),
        Form::Pair => {
            let (name, of) = given.split_once(':').ok_or("a name and a value are divided by `:`")?;
            Value::Pair(value(name)?, value(of)?)
        }
        _ => Value::Number(number(given)?),
    };
    Ok((property.id, value))
}

/// `FILTER@QOS,nl,rap,rh2`; the number may be the whole octet of options.
fn filter(word: &str) -> Result<(Vec<u8>, u8), String> {
    let (text, options) = word.rsplit_once('@').ok_or("`@` is missing")?;
    let mut bits = 0;
    for option in options.split(',') {
        bits |= match option {
            "nl" => 4,
            "rap" => 8,
            "rh1" => 0x10,
            "rh2" => 0x20,
            qos => code(qos)?,
        };
    }
    Ok((value(text)?, bits))
}

/// Text: as it stands, quoted, as octets, repeated.
pub(crate) fn value(word: &str) -> Result<Vec<u8>, String> {
    let repeated =
        |w: &str| Some((w.rsplit_once('*')?.0.to_owned(), w.rsplit_once('*')?.1.parse::<usize>().ok()?));
    if let Some(text) =
        word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')).filter(|t| !t.contains('\''))
    {
        return Ok(text.into());
    }
    if let Some((unit, times)) = repeated(word) {
        return Ok(value(&unit)?.repeat(times));
    }
    match word.strip_prefix("x:") {
        Some(digits) => crate::pattern::unhex(digits),
        None => Ok(word.into()),
    }
}
