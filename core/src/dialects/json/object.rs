//! Reading JSON: the members of an object as the text that they are. Nothing is built, nothing
//! recurses.

use alloc::borrow::Cow;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::MAX_DEPTH;
use super::fault::{Fault, What};

/// One text, and where in it things are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a>(pub(super) &'a str);

impl<'a> Source<'a> {
    /// Where a part of the text is; 0 for what is not of it.
    pub(super) fn position(self, part: &str) -> usize {
        let at = (part.as_ptr() as usize).wrapping_sub(self.0.as_ptr() as usize);
        if at <= self.0.len() { at } else { 0 }
    }

    pub(super) fn fault(self, what: What, member: &'static str, part: &str) -> Fault {
        Fault::new(what, member, self.position(part))
    }

    /// A member that is text.
    pub(super) fn text(self, member: &'static str, raw: &'a str) -> Result<Cow<'a, str>, Fault> {
        if !raw.starts_with('"') {
            return Err(self.fault(What::MustBe("a string"), member, raw));
        }
        // What can fail now is an escape that is no character.
        read(raw, Text).map_err(|_| self.fault(What::MustBe("a string of Unicode characters"), member, raw))
    }

    /// A member that is text of a limited length.
    pub(super) fn name(self, member: &'static str, raw: &'a str, max: usize) -> Result<Cow<'a, str>, Fault> {
        let text = self.text(member, raw)?;
        if text.len() > max { Err(self.fault(What::TooLong, member, raw)) } else { Ok(text) }
    }

    pub(super) fn boolean(self, member: &'static str, raw: &str) -> Result<bool, Fault> {
        match raw {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.fault(What::MustBe("true or false"), member, raw)),
        }
    }

    pub(super) fn number(self, member: &'static str, raw: &str) -> Result<u64, Fault> {
        raw.parse().map_err(|_| self.fault(What::MustBe("a whole number, not negative"), member, raw))
    }

    pub(super) fn object(self, member: &'static str, raw: &'a str) -> Result<&'a str, Fault> {
        if raw.starts_with('{') { Ok(raw) } else { Err(self.fault(What::MustBe("an object"), member, raw)) }
    }

    /// Calls `each` with every member of the object that `part` of this text is, in order.
    pub(super) fn members(self, part: &'a str, each: impl FnMut(&str, &'a str)) -> Result<(), Fault> {
        read(part, Members(each)).map_err(|error| self.syntax(part, &error))
    }

    /// Calls `each` with every element of the array that `part` of this text is, in order.
    pub(super) fn elements(self, part: &'a str, each: impl FnMut(&'a str)) -> Result<(), Fault> {
        read(part, Elements(each)).map_err(|error| self.syntax(part, &error))
    }

    fn syntax(self, part: &str, error: &serde_json::Error) -> Fault {
        let what = if error.is_eof() { What::Truncated } else { What::Syntax };
        let line = error.line().saturating_sub(1);
        let lines = part.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        let begin = core::iter::once(0).chain(lines).nth(line).unwrap_or_default();
        let at = self.position(part) + begin + error.column().saturating_sub(1);
        Fault::new(what, "", at.min(self.0.len()))
    }

    /// Refuses what nests too deep, before anybody follows it down.
    pub(super) fn check_depth(self, max: usize) -> Result<(), Fault> {
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        for (at, b) in self.0.bytes().enumerate() {
            if in_string {
                match b {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    _ => {}
                }
                continue;
            }
            match b {
                b'"' => in_string = true,
                b'{' | b'[' if depth == max => return Err(Fault::new(What::TooDeep, "", at)),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether octets are a JSON value that members can be handed.
pub(super) fn as_json(octets: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(octets).ok()?;
    // One level is for the envelope, one for its payload.
    let depth = Source(text).check_depth(MAX_DEPTH - 2);
    let value: &RawValue = serde_json::from_str(text).ok().filter(|_| depth.is_ok())?;
    Some(value.get())
}

fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Result<S::Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Text: borrowed where nothing in it is escaped.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.into()))
    }
}

struct Members<F>(F);

impl<'de, F: FnMut(&str, &'de str)> DeserializeSeed<'de> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, &'de str)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Text)? {
            let value: &'de RawValue = map.next_value()?;
            (self.0)(&name, value.get());
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de str)> DeserializeSeed<'de> for Elements<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&'de str)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(value) = elements.next_element::<&'de RawValue>()? {
            (self.0)(value.get());
        }
        Ok(())
    }
}
