//! Octets as vectors write them: hexadecimal, repetitions, wildcards, whole frames.
//!
//! Tokens stand between spaces:
//!
//! | token | means |
//! |---|---|
//! | `0c05`, `00 02` | these octets |
//! | `61*300` | what stands before `*`, so many times |
//! | `??` | any one octet (may stand among hexadecimal digits) |
//! | `{token:8}` | any 8 octets, remembered as `token`; the same octets if the name came before |
//! | `{token}` | the octets remembered as `token` |
//! | `{PONG}` | one whole frame of this kind, whatever its body |
//! | `{CLOSE MALFORMED}` | CLOSE with this code, any reason |
//! | `{RESULT 12 1 INVALID}` | RESULT with this kind, id and status, any reason |
//! | `{RESPONSE 7 TIMEOUT}` | RESPONSE with this id and status, without MORE, any payload |
//! | `{REQUEST as=r sub=2}` | REQUEST whose id (as it is written) is remembered as `r`, for subscription 2 |
//! | `[ {r} 00 6131 ]` | in `in` alone: the size of what stands between, then that |
//! | `...` | in `out` alone: whatever else there is, or nothing |
//! | `( {SUBACK #1 0} {PUBLISH t x} )` | in `out` alone: these in any order |
//! | `{WELCOME as=s received=3}` | WELCOME whose session (32 octets) is remembered as `s`, its halves as `s.id` and `s.key`, and whose *received* is 3 (or `none`); both are optional |
//!
//! In MQTT braces hold one of its [packets](crate::mqtt), and `'t'` is a text with its two octets of
//! length; what they hold in HTTP and WebSocket is said [there](crate::web).

use std::collections::BTreeMap;

use crate::dialect::Dialect;
use crate::mqtt::{self, Packet};
use crate::web::{self, MessagePattern, ResponsePattern};
use crate::wire::{self, Head};

/// Octets that a name stands for, by name.
pub type Captures = BTreeMap<String, Vec<u8>>;

/// One element of a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// This octet.
    Octet(u8),
    /// Any octet.
    Any,
    /// So many octets, remembered under a name.
    Capture(String, usize),
    /// What was remembered under a name.
    Recall(String),
    /// A whole frame.
    Frame(FramePattern),
    /// The size of what is inside, then that.
    Sized(Pattern),
    /// A packet of MQTT.
    Packet(Box<Packet>),
    /// A response of HTTP.
    Response(ResponsePattern),
    /// A text message of a WebSocket: an envelope of typed JSON.
    Message(MessagePattern),
    /// A Close frame of a WebSocket, with this code.
    WebSocketClose(u16),
    /// Each of these, in any order.
    AnyOrder(Vec<Token>),
    /// Whatever else there is, or nothing.
    Rest,
}

/// A whole frame of which only some fields matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FramePattern {
    /// Of this kind.
    Kind(u8),
    /// CLOSE with this code.
    Close(u64),
    /// RESULT with this kind, id and status.
    Result(u64, u64, u64),
    /// REQUEST for this subscription; a name for its id.
    Request(String, u64),
    /// RESPONSE with this id and status, without MORE.
    Response(u64, u64),
    /// WELCOME: a name for its session; its *received*, where that matters.
    Welcome(Option<String>, Option<Option<u64>>),
}

/// Octets with wildcards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(pub Vec<Token>);

/// How far octets agree with a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The pattern is complete after so many octets.
    All(usize),
    /// What is there agrees; more must follow.
    More,
    /// What does not agree, and where.
    Not(String),
}

/// What is known before a vector begins: the target of tunnels.
pub(crate) fn known(target: &str) -> Captures {
    Captures::from([("target".to_owned(), target.as_bytes().to_vec())])
}

impl Pattern {
    /// Reads a pattern as vectors of our own protocol write it.
    ///
    /// # Errors
    /// A message that names the token that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_in(Dialect::Bowline, text)
    }

    /// Reads a pattern as vectors of `dialect` write it.
    ///
    /// # Errors
    /// A message that names the token that cannot be read.
    pub fn parse_in(dialect: Dialect, text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut outer = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (word, behind) = rest.split_at(word_end(dialect, rest)?);
            let braces = word.strip_prefix('{').and_then(|w| w.strip_suffix('}'));
            match (word, braces) {
                ("...", _) => tokens.push(Token::Rest),
                ("[" | "(", _) => outer.push((word, std::mem::take(&mut tokens))),
                ("]" | ")", _) => {
                    let (opened, around) = outer.pop().ok_or_else(|| format!("`{word}` opens nowhere"))?;
                    let inside = std::mem::replace(&mut tokens, around);
                    tokens.push(match (opened, word) {
                        ("[", "]") => Token::Sized(Pattern(inside)),
                        ("(", ")") => Token::AnyOrder(inside),
                        _ => return Err(format!("`{opened}` is closed by `{word}`")),
                    });
                }
                (_, Some(inner)) => {
                    tokens.push(braced(dialect, inner).map_err(|e| format!("`{word}`: {e}"))?);
                }
                (_, None) => plain(dialect, word, &mut tokens).map_err(|e| format!("`{word}`: {e}"))?,
            }
            rest = behind.trim_start();
        }
        match outer.pop() {
            None => Ok(Pattern(tokens)),
            Some((opened, _)) => Err(format!("`{opened}` is not closed")),
        }
    }

    /// The octets that the pattern stands for, where it has no wildcard.
    ///
    /// # Errors
    /// A message that names the wildcard, or the name that nothing was remembered under.
    pub fn octets(&self, captures: &Captures) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(self.0.len());
        for token in &self.0 {
            match token {
                Token::Octet(b) => out.push(*b),
                Token::Recall(name) => {
                    out.extend(captures.get(name).ok_or_else(|| format!("nothing is known as `{name}`"))?);
                }
                Token::Sized(inside) => {
                    let inside = inside.octets(captures)?;
                    out.extend(wire::varint(inside.len() as u64));
                    out.extend(inside);
                }
                Token::Packet(packet) => out.extend(packet.octets(captures)?),
                Token::Message(message) => out.extend(message.octets(captures)?),
                other => return Err(format!("{other:?} cannot be sent")),
            }
        }
        Ok(out)
    }

    /// Compares from the front of `bytes`, remembering what has a name.
    pub fn matches(&self, bytes: &[u8], captures: &mut Captures) -> Matched {
        let mut at = 0;
        for token in &self.0 {
            match token.matches(&bytes[at..], captures) {
                Matched::All(n) => at += n,
                Matched::More => return Matched::More,
                Matched::Not(why) => return Matched::Not(format!("at octet {at}: {why}")),
            }
        }
        Matched::All(at)
    }
}

impl Token {
    fn matches(&self, bytes: &[u8], captures: &mut Captures) -> Matched {
        match self {
            Token::Octet(wanted) => match bytes.first() {
                None => Matched::More,
                Some(b) if b == wanted => Matched::All(1),
                Some(b) => Matched::Not(format!("{b:02x} instead of {wanted:02x}")),
            },
            Token::Any if bytes.is_empty() => Matched::More,
            Token::Any => Matched::All(1),
            Token::Capture(name, n) => match captures.get(name).cloned() {
                Some(known) => literal(&known, bytes),
                None if bytes.len() < *n => Matched::More,
                None => {
                    captures.insert(name.clone(), bytes[..*n].to_vec());
                    Matched::All(*n)
                }
            },
            Token::Recall(name) => match captures.get(name) {
                Some(known) => literal(known, bytes),
                None => Matched::Not(format!("nothing is known as `{name}`")),
            },
            Token::Frame(frame) => frame.matches(bytes, captures),
            Token::Sized(_) => Matched::Not("`[` stands only in `in`".into()),
            Token::Packet(packet) => packet.matches(bytes, captures),
            Token::Response(response) => response.matches(bytes),
            Token::Message(message) => message.matches(bytes, captures),
            Token::WebSocketClose(code) => web::close_matches(*code, bytes),
            Token::Rest => Matched::All(bytes.len()),
            Token::AnyOrder(all) => any_order(all, bytes, captures),
        }
    }
}

/// Takes, of those that are left, the first that agrees.
fn any_order(all: &[Token], bytes: &[u8], captures: &mut Captures) -> Matched {
    let mut left: Vec<&Token> = all.iter().collect();
    let mut at = 0;
    while !left.is_empty() {
        let (mut more, mut why) = (false, String::new());
        let taken = left.iter().position(|token| {
            let before = captures.clone();
            match token.matches(&bytes[at..], captures) {
                Matched::All(n) => {
                    at += n;
                    return true;
                }
                Matched::More => more = true,
                Matched::Not(not) => why = not,
            }
            *captures = before;
            false
        });
        match taken {
            Some(i) => drop(left.remove(i)),
            None if more => return Matched::More,
            None => return Matched::Not(why),
        }
    }
    Matched::All(at)
}

fn literal(wanted: &[u8], bytes: &[u8]) -> Matched {
    let n = wanted.len().min(bytes.len());
    if wanted[..n] != bytes[..n] {
        return Matched::Not(format!("{} instead of {}", hex(&bytes[..n]), hex(wanted)));
    }
    if n < wanted.len() { Matched::More } else { Matched::All(n) }
}

impl FramePattern {
    fn kind(&self) -> u8 {
        match self {
            FramePattern::Kind(kind) => *kind,
            FramePattern::Close(_) => wire::CLOSE,
            FramePattern::Result(..) => wire::RESULT,
            FramePattern::Request(..) => wire::REQUEST,
            FramePattern::Response(..) => wire::RESPONSE,
            FramePattern::Welcome(..) => wire::WELCOME,
        }
    }

    fn matches(&self, bytes: &[u8], captures: &mut Captures) -> Matched {
        let head = match Head::read(bytes) {
            Ok(Some(head)) => head,
            Ok(None) => return Matched::More,
            Err(why) => return Matched::Not(why),
        };
        if head.kind != self.kind() {
            let found = wire::describe(Dialect::Bowline, bytes);
            return Matched::Not(format!("{found} instead of {}", wire::kind_name(self.kind())));
        }
        let Some(body) = bytes.get(head.len..head.end()) else { return Matched::More };
        match self.fields(head.flags, body, captures) {
            Ok(()) => Matched::All(head.end()),
            Err(why) => Matched::Not(format!("{}: {why}", wire::describe(Dialect::Bowline, bytes))),
        }
    }

    fn fields(&self, flags: u8, body: &[u8], captures: &mut Captures) -> Result<(), String> {
        let mut r = wire::Reader(body);
        let same = |what: &str, found: u64, wanted: u64| match found == wanted {
            true => Ok(()),
            false => Err(format!("{what} {found} instead of {wanted}")),
        };
        match self {
            FramePattern::Kind(_) => Ok(()),
            FramePattern::Close(code) => {
                same("code", r.varint()?, *code)?;
                let reason = r.string()?;
                same("octets behind the reason:", r.0.len() as u64, 0)?;
                if reason.len() > 512 { Err("a reason of more than 512 octets".into()) } else { Ok(()) }
            }
            FramePattern::Result(kind, id, status) => {
                same("kind", u64::from(r.u8()?), *kind)?;
                same("id", r.varint()?, *id)?;
                same("status", r.varint()?, *status)?;
                r.string()?;
                same("octets behind the reason:", r.0.len() as u64, 0)
            }
            FramePattern::Request(name, subscription) => {
                r.varint()?;
                captures.insert(name.clone(), body[..body.len() - r.0.len()].to_vec());
                same("subscription", r.varint()?, *subscription)
            }
            FramePattern::Response(id, status) => {
                same("flags", u64::from(flags), 0)?;
                same("id", r.varint()?, *id)?;
                same("status", r.varint()?, *status)
            }
            FramePattern::Welcome(name, received) => {
                same("version", u64::from(r.u8()?), 1)?;
                let parameters = r.parameters()?;
                if let Some(name) = name {
                    let session = parameters.get(&6).ok_or("it names no session")?;
                    let (id, key) = session.split_at_checked(16).ok_or("its session is too short")?;
                    captures.insert(format!("{name}.id"), id.to_vec());
                    captures.insert(format!("{name}.key"), key.to_vec());
                    captures.insert(name.clone(), session.to_vec());
                }
                let found = parameters.get(&7).map(|v| wire::Reader(v).varint()).transpose()?;
                match received {
                    Some(wanted) if *wanted != found => {
                        Err(format!("received {found:?} instead of {wanted:?}"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Where the first word ends. Quotes and braces keep spaces together.
fn word_end(dialect: Dialect, rest: &str) -> Result<usize, String> {
    let quotes = dialect.mqtt_version().is_some() || dialect.is_web();
    if let Some(end) = ['~', '`'].into_iter().find(|end| dialect.is_web() && rest.starts_with(*end)) {
        return rest[1..].find(end).map(|n| n + 2).ok_or_else(|| format!("{rest}: `{end}` is missing"));
    }
    if rest.starts_with('{') || quotes && rest.starts_with('\'') {
        let end = if rest.starts_with('{') { '}' } else { '\'' };
        return rest[1..].find(end).map(|n| n + 2).ok_or_else(|| format!("`{rest}`: `{end}` is missing"));
    }
    Ok(rest.find(|c: char| c.is_whitespace() || c == '{' || quotes && c == '\'').unwrap_or(rest.len()))
}

/// Hexadecimal digits, `??`, and repetitions; in MQTT quoted text.
fn plain(dialect: Dialect, word: &str, tokens: &mut Vec<Token>) -> Result<(), String> {
    if dialect.mqtt_version().is_some() && word.starts_with('\'') {
        tokens.extend(mqtt::text(word)?.into_iter().map(Token::Octet));
        return Ok(());
    }
    if let Some(text) = word.strip_prefix('`').filter(|_| dialect.is_web()) {
        let text = text.strip_suffix('`').ok_or("it is not closed")?;
        tokens.push(Token::Message(MessagePattern::new(text)));
        return Ok(());
    }
    if dialect.is_web() && word.starts_with(['\'', '~']) {
        tokens.extend(web::text(word).ok_or("it is not closed")?.into_iter().map(Token::Octet));
        return Ok(());
    }
    let (unit, times) = match word.split_once('*') {
        Some((unit, n)) => (unit, n.parse::<usize>().map_err(|_| "a number must follow `*`")?),
        None => (word, 1),
    };
    if !unit.is_ascii() || unit.len() % 2 != 0 || unit.is_empty() {
        return Err("octets have two hexadecimal digits each".into());
    }
    let mut once = Vec::with_capacity(unit.len() / 2);
    for i in (0..unit.len()).step_by(2) {
        once.push(match &unit[i..i + 2] {
            "??" => Token::Any,
            digits => Token::Octet(
                u8::from_str_radix(digits, 16).map_err(|_| format!("`{digits}` is not hexadecimal"))?,
            ),
        });
    }
    for _ in 0..times {
        tokens.extend_from_slice(&once);
    }
    Ok(())
}

/// What stands between braces.
fn braced(dialect: Dialect, inner: &str) -> Result<Token, String> {
    if let Some(version) =
        dialect.mqtt_version().filter(|_| inner.starts_with(|c: char| c.is_ascii_uppercase()))
    {
        return Ok(Token::Packet(Box::new(Packet::parse(inner, version)?)));
    }
    if dialect.is_web()
        && let Some(token) = web::braced(inner)?
    {
        return Ok(token);
    }
    if let Some((name, n)) = inner.split_once(':') {
        let n = n.parse().map_err(|_| "a number of octets must follow `:`")?;
        return Ok(Token::Capture(name.to_owned(), n));
    }
    if inner.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(Token::Recall(inner.to_owned()));
    }
    let mut words = inner.split_whitespace();
    let name = words.next().ok_or("nothing stands between the braces")?;
    let kind = wire::kind_number(name).ok_or("no frame has this name")?;
    let words: Vec<&str> = words.collect();
    let number = |w: &str| w.parse::<u64>().map_err(|_| format!("`{w}` is not a number"));
    Ok(Token::Frame(match (name, words.as_slice()) {
        ("WELCOME", options) => welcome(options)?,
        (_, []) => FramePattern::Kind(kind),
        ("CLOSE", [code]) => {
            FramePattern::Close(wire::code_number(code).ok_or("no close code has this name")?)
        }
        ("RESULT", [kind, id, status]) => {
            let status = wire::status_number(status).ok_or("no status has this name")?;
            FramePattern::Result(number(kind)?, number(id)?, status)
        }
        ("REQUEST", [name, subscription]) => match (name.split_once('='), subscription.split_once('=')) {
            (Some(("as", name)), Some(("sub", n))) => FramePattern::Request(name.to_owned(), number(n)?),
            _ => return Err("as=NAME sub=NUMBER must follow".into()),
        },
        ("RESPONSE", [id, status]) => {
            let status = wire::status_number(status).ok_or("no status has this name")?;
            FramePattern::Response(number(id)?, status)
        }
        _ => return Err("this frame takes other arguments".into()),
    }))
}

fn welcome(options: &[&str]) -> Result<FramePattern, String> {
    let (mut name, mut received) = (None, None);
    for option in options {
        match option.split_once('=') {
            Some(("as", n)) => name = Some(n.to_owned()),
            Some(("received", "none")) => received = Some(None),
            Some(("received", n)) => {
                received = Some(Some(n.parse().map_err(|_| format!("`{n}` is not a number"))?));
            }
            _ => return Err(format!("`{option}` is neither as=NAME nor received=NUMBER")),
        }
    }
    Ok(FramePattern::Welcome(name, received))
}

/// Octets as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut s = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        let _ = write!(s, "{b:02x}");
    }
    s
}

/// Octets from hexadecimal digits, spaces allowed.
///
/// # Errors
/// A message that names what cannot be read.
pub fn unhex(text: &str) -> Result<Vec<u8>, String> {
    Pattern::parse(text)?.octets(&Captures::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(pattern: &str, bytes: &[u8]) -> Matched {
        Pattern::parse(pattern).unwrap().matches(bytes, &mut Captures::new())
    }

    #[test]
    fn literals_repetitions_and_wildcards() {
        assert_eq!(unhex("b057 4c0a 61*3"), Ok(b"\xb0WL\naaa".to_vec()));
        assert_eq!(matched("01??03", &[1, 9, 3]), Matched::All(3));
        assert_eq!(matched("01??03", &[1, 9]), Matched::More);
        assert!(matches!(matched("0103", &[1, 9]), Matched::Not(_)));
        assert!(
            Pattern::parse("0").is_err() && Pattern::parse("zz").is_err() && Pattern::parse("{a").is_err()
        );
    }

    #[test]
    fn names_remember_and_compare() {
        let p = Pattern::parse("{t:2} ff {t:2}").unwrap();
        assert_eq!(p.matches(&[1, 2, 255, 1, 2], &mut Captures::new()), Matched::All(5));
        assert!(matches!(p.matches(&[1, 2, 255, 1, 3], &mut Captures::new()), Matched::Not(_)));
        let known = Captures::from([("t".to_owned(), vec![7, 8])]);
        assert_eq!(Pattern::parse("00{t}").unwrap().octets(&known), Ok(vec![0, 7, 8]));
        assert!(Pattern::parse("{u}").unwrap().octets(&known).is_err());
    }

    #[test]
    fn frames_compare_what_matters() {
        assert_eq!(matched("{CLOSE MALFORMED}", b"\x0c\x04\x03\x02no"), Matched::All(6));
        assert_eq!(matched("{CLOSE MALFORMED}", b"\x0c\x04\x03\x02n"), Matched::More);
        assert!(matches!(matched("{CLOSE NORMAL}", b"\x0c\x04\x03\x02no"), Matched::Not(_)));
        assert_eq!(matched("{RESULT 12 1 INVALID}", &[0x24, 4, 12, 1, 2, 0]), Matched::All(6));
        assert!(matches!(matched("{RESULT 12 2 INVALID}", &[0x24, 4, 12, 1, 2, 0]), Matched::Not(_)));
        assert_eq!(matched("{WELCOME received=3}", &[4, 4, 1, 7, 1, 3]), Matched::All(6));
        assert!(matches!(matched("{WELCOME received=none}", &[4, 4, 1, 7, 1, 3]), Matched::Not(_)));
    }
}
