//! The texts of SCRAM: attributes between commas, names with two escapes, nonces, base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{HASH, HASH_TEXT, MAX_MESSAGE, MAX_NONCE, MAX_USER, NONCE_OCTETS, ScramError, check_length};
use crate::entropy::Entropy;

pub(super) const fn malformed(what: &'static str) -> ScramError {
    ScramError::Malformed { what }
}

/// A message as text, if its length is within bounds.
pub(super) fn message(data: &[u8]) -> Result<&str, ScramError> {
    check_length("message", data.len(), MAX_MESSAGE)?;
    core::str::from_utf8(data).map_err(|_| malformed("it is not UTF-8"))
}

/// The attributes of a message, in their order.
pub(super) struct Attributes<'a>(Option<&'a str>);

impl<'a> Attributes<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self(Some(text))
    }

    /// The value of the next attribute, which must be `name`.
    pub(super) fn take(&mut self, name: char, missing: &'static str) -> Result<&'a str, ScramError> {
        let (found, value) = self.any()?.ok_or(malformed(missing))?;
        if found == name { Ok(value) } else { Err(malformed(missing)) }
    }

    /// Whether the next attribute is `name`.
    pub(super) fn is_next(&self, name: &str) -> bool {
        self.0.is_some_and(|rest| rest.starts_with(name))
    }

    /// Checks that the rest are extensions of the right form, and ignores them.
    pub(super) fn end(mut self) -> Result<(), ScramError> {
        while self.any()?.is_some() {}
        Ok(())
    }

    fn any(&mut self) -> Result<Option<(char, &'a str)>, ScramError> {
        let Some(rest) = self.0 else { return Ok(None) };
        let (attribute, tail) = rest.split_once(',').map_or((rest, None), |(a, tail)| (a, Some(tail)));
        self.0 = tail;
        let mut chars = attribute.chars();
        match (chars.next(), chars.next(), chars.as_str()) {
            (Some(name), Some('='), value) if name.is_ascii_alphabetic() && !value.is_empty() => {
                if name == 'm' {
                    return Err(ScramError::Extension);
                }
                if value.contains('\0') {
                    return Err(malformed("an attribute holds U+0000"));
                }
                Ok(Some((name, value)))
            }
            _ => Err(malformed("an attribute is not of the form letter=value")),
        }
    }
}

/// Text of at most `N` octets, kept in place.
#[derive(Clone)]
pub(super) struct Text<const N: usize> {
    octets: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub(super) const fn new() -> Self {
        Self { octets: [0; N], len: 0 }
    }

    /// Appends `text`, or says that it does not fit.
    pub(super) fn push(&mut self, what: &'static str, text: &str) -> Result<(), ScramError> {
        let end = self.len + text.len();
        let room = self.octets.get_mut(self.len..end).ok_or(ScramError::Length { what, limit: N })?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }

    pub(super) fn as_str(&self) -> &str {
        // Only whole strings are ever appended, so this never falls back.
        core::str::from_utf8(&self.octets[..self.len]).unwrap_or_default()
    }
}

pub(super) type User = Text<MAX_USER>;
/// The client's part and the server's. As a client, the server's part is what the peer chose; as
/// a server, the client's is: either is at most `MAX_NONCE`, and ours is shorter.
pub(super) type Nonce = Text<{ MAX_NONCE + NONCE_TEXT }>;
/// Characters of one of our nonces.
pub(super) const NONCE_TEXT: usize = NONCE_OCTETS / 3 * 4;

/// A nonce of ours, in printable ASCII without commas.
pub(super) fn draw_nonce(entropy: &mut impl Entropy) -> Text<NONCE_TEXT> {
    let mut octets = [0; NONCE_OCTETS];
    entropy.wire(&mut octets);
    let mut nonce = Text::new();
    // It fits, since NONCE_TEXT says how long it is.
    nonce.len = STANDARD.encode_slice(octets, &mut nonce.octets).unwrap_or_default();
    nonce
}

/// What a peer chose as its part of the nonce.
pub(super) fn check_nonce(nonce: &str) -> Result<(), ScramError> {
    check_length("nonce", nonce.len(), MAX_NONCE)?;
    let printable = nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if printable { Ok(()) } else { Err(malformed("the nonce holds other than printable ASCII")) }
}

/// A name that a message may carry: not empty, not too long, without U+0000.
pub(super) fn name(plain: &str) -> Result<User, ScramError> {
    check_length("user name", plain.len(), MAX_USER)?;
    if plain.contains('\0') {
        return Err(malformed("the user name holds U+0000"));
    }
    let mut user = User::new();
    user.push("user name", plain)?;
    Ok(user)
}

/// A name as a message carries it: `,` and `=` are escaped.
pub(super) fn unescape(escaped: &str) -> Result<User, ScramError> {
    let mut user = User::new();
    let mut rest = escaped;
    while let Some((plain, tail)) = rest.split_once('=') {
        user.push("user name", plain)?;
        let (code, tail) = tail.split_at_checked(2).ok_or(malformed("the user name ends in an escape"))?;
        user.push(
            "user name",
            match code {
                "2C" => ",",
                "3D" => "=",
                _ => return Err(malformed("the user name has an escape other than =2C and =3D")),
            },
        )?;
        rest = tail;
    }
    user.push("user name", rest)?;
    check_length("user name", user.len, MAX_USER)?;
    Ok(user)
}

/// Hands `plain` to `put` in pieces, escaped.
pub(super) fn escape(plain: &str, put: &mut impl FnMut(&[u8])) {
    let mut rest = plain;
    while let Some(at) = rest.find([',', '=']) {
        put(&rest.as_bytes()[..at]);
        put(if rest.as_bytes()[at] == b',' { b"=2C" } else { b"=3D" });
        rest = &rest[at + 1..];
    }
    put(rest.as_bytes());
}

/// A number as RFC 5802 writes it: digits, not beginning with 0.
pub(super) fn number(text: &str) -> Result<u32, ScramError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| digits).ok_or(malformed("the iterations are not a number below 2^32"))
}

/// Decodes base64 into `out`: how many octets it has.
pub(super) fn decode(text: &str, out: &mut [u8]) -> Result<usize, ScramError> {
    STANDARD.decode_slice(text, out).map_err(|_| malformed("base64 is wrong or too long"))
}

/// Decodes a hash.
pub(super) fn decode_hash(text: &str) -> Result<[u8; HASH], ScramError> {
    let mut octets = [0; HASH + 1]; // the decoder counts in threes
    let n = decode(text, &mut octets)?;
    match octets.first_chunk() {
        Some(hash) if n == HASH => Ok(*hash),
        _ => Err(malformed("a proof or signature does not have 32 octets")),
    }
}

/// Output into a slice that also counts what does not fit.
pub(super) struct Out<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Out<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    pub(super) fn put(&mut self, octets: &[u8]) {
        let end = self.len + octets.len();
        if let Some(room) = self.out.get_mut(self.len..end) {
            room.copy_from_slice(octets);
        }
        self.len = end;
    }

    /// Appends `octets` in base64, in groups that need no padding but for the last.
    pub(super) fn put_base64(&mut self, octets: &[u8]) {
        let mut text = [0; HASH_TEXT];
        for group in octets.chunks(HASH_TEXT / 4 * 3) {
            let n = STANDARD.encode_slice(group, &mut text).unwrap_or_default(); // it always fits
            self.put(&text[..n]);
        }
    }

    /// How long the output is, if it fits.
    pub(super) fn finish(self) -> Result<usize, ScramError> {
        if self.len <= self.out.len() { Ok(self.len) } else { Err(ScramError::NoRoom { needed: self.len }) }
    }
}
