//! Writing JSON.

use alloc::string::String;
use core::fmt::{self, Display, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Writes `text` as a JSON string.
pub(super) fn put_text(out: &mut String, text: &str) {
    out.push('"');
    let mut begin = 0;
    for (at, b) in text.bytes().enumerate() {
        // All that is to be escaped is one octet, so a character is never cut.
        let short = match b {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[begin..at]);
        if short.is_empty() {
            put(out, format_args!("\\u{b:04x}"));
        } else {
            out.push_str(short);
        }
        begin = at + 1;
    }
    out.push_str(&text[begin..]);
    out.push('"');
}

/// Writing to a `String` does not fail.
pub(super) fn put(out: &mut String, what: fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

/// Writes one object, member by member.
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut String,
    any: bool,
}

impl<'o> Object<'o> {
    /// Begins an object behind what is in `out`. It is whole after [`end`](Self::end).
    pub fn begin(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, any: false }
    }

    /// Ends it.
    pub fn end(self) {
        self.out.push('}');
    }

    fn name(&mut self, name: &'static str) -> &mut String {
        if core::mem::replace(&mut self.any, true) {
            self.out.push(',');
        }
        // Names are this crate's own, and have nothing to escape.
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    /// A string.
    pub fn text(&mut self, name: &'static str, text: &str) -> &mut Self {
        put_text(self.name(name), text);
        self
    }

    /// A string, if there is one.
    pub fn maybe_text(&mut self, name: &'static str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(name, text);
        }
        self
    }

    /// What writes itself without anything to escape, as a string.
    pub fn plain(&mut self, name: &'static str, what: impl Display) -> &mut Self {
        put(self.name(name), format_args!("\"{what}\""));
        self
    }

    /// 64 bits as 16 digits: an epoch, the name of a member.
    pub fn hex(&mut self, name: &'static str, number: u64) -> &mut Self {
        self.plain(name, format_args!("{number:016x}"))
    }

    /// The id of a message: 20 digits.
    pub fn id(&mut self, name: &'static str, id: u64) -> &mut Self {
        self.plain(name, format_args!("{id:020}"))
    }

    /// A number.
    pub fn number(&mut self, name: &'static str, number: u64) -> &mut Self {
        put(self.name(name), format_args!("{number}"));
        self
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &'static str, value: bool) -> &mut Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// What is JSON already.
    pub fn raw(&mut self, name: &'static str, json: &str) -> &mut Self {
        self.name(name).push_str(json);
        self
    }

    /// Octets, as base64 (RFC 4648 §4).
    pub fn base64(&mut self, name: &'static str, octets: &[u8]) -> &mut Self {
        let out = self.name(name);
        out.push('"');
        STANDARD.encode_string(octets, out);
        out.push('"');
        self
    }

    /// An object in this one.
    pub fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        let mut object = Object::begin(self.name(name));
        write(&mut object);
        object.end();
        self
    }

    /// An array in this one.
    pub fn array(&mut self, name: &'static str, write: impl FnOnce(&mut Array<'_>)) -> &mut Self {
        let mut array = Array { out: self.name(name), any: false };
        array.out.push('[');
        write(&mut array);
        array.out.push(']');
        self
    }
}

/// Writes one array, element by element.
#[derive(Debug)]
pub struct Array<'o> {
    out: &'o mut String,
    any: bool,
}

impl Array<'_> {
    /// The next element, which `write` writes.
    pub fn element(&mut self, write: impl FnOnce(&mut String)) {
        if core::mem::replace(&mut self.any, true) {
            self.out.push(',');
        }
        write(self.out);
    }

    /// An object.
    pub fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        self.element(|out| {
            let mut object = Object::begin(out);
            write(&mut object);
            object.end();
        });
    }

    /// 64 bits as 16 digits.
    pub fn hex(&mut self, number: u64) {
        self.element(|out| put(out, format_args!("\"{number:016x}\"")));
    }

    /// How long the text is by now: what is written, with all that was before it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether it has no element yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.any
    }
}
