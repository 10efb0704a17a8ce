//! HTTP and WebSocket as vectors write them.
//!
//! | token | means |
//! |---|---|
//! | `'GET / HTTP/1.1'` | this line, with its CRLF; `''` is the empty line |
//! | `~GET / HTTP/1.1~` | this text, without an end |
//! | `{HTTP 404}` | in `out`: a whole response with this status, whatever its fields and its body |
//! | `{HTTP 426 upgrade=websocket}` | the same, and a field of that name has this value |
//! | `{HTTP 101 x="a; b"}` | the same, and the value has white space |
//! | `{HTTP 101 -x}` | the same, and there is no field of that name |
//! | `{HTTP 404 bodiless}` | the same without its body, as a HEAD is answered |
//! | `` `{"type":"$ping"}` `` | in `in`: this text as a message of a client, whatever it is; `${s}` in it is what was remembered as `s` |
//! | `` `{"type":"$pong","ref":"*"}` `` | in `out`: a message of a server that is JSON, and has these members: others may be there, `null` is none, `"*"` is anything, `"?s"` is remembered as `s`, and the same where it came before |
//! | `{CLOSE 1002}` | in `out`: a Close frame of a server with this code, whatever its reason |

use serde_json::Value;

use crate::pattern::{Captures, Matched, Token};

/// What a response has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponsePattern {
    status: u16,
    fields: Vec<(String, String)>,
    absent: Vec<String>,
    bodiless: bool,
}

impl ResponsePattern {
    /// Whether it opens a WebSocket.
    pub(crate) const fn opens(&self) -> bool {
        self.status == 101
    }
}

/// What stands in quotes or between tildes.
pub(crate) fn text(word: &str) -> Option<Vec<u8>> {
    if let Some(line) = word.strip_prefix('\'') {
        return Some([line.strip_suffix('\'')?.as_bytes(), b"\r\n"].concat());
    }
    Some(word.strip_prefix('~')?.strip_suffix('~')?.as_bytes().to_vec())
}

/// What stands in braces; nothing where it is not of HTTP or WebSocket.
pub(crate) fn braced(inner: &str) -> Result<Option<Token>, String> {
    let mut words = words(inner);
    let (name, mut number) = (words.next(), || -> Result<u16, String> {
        words.next().and_then(|w| w.parse().ok()).ok_or_else(|| "a number must follow".to_owned())
    });
    match name {
        Some("CLOSE") => Ok(Some(Token::WebSocketClose(number()?))),
        Some("HTTP") => {
            let mut pattern = ResponsePattern { status: number()?, ..ResponsePattern::default() };
            for word in words {
                match word.split_once('=') {
                    Some((name, value)) => {
                        let value =
                            value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
                        pattern.fields.push((name.to_lowercase(), value.to_owned()));
                    }
                    None if word == "bodiless" => pattern.bodiless = true,
                    None => match word.strip_prefix('-') {
                        Some(name) => pattern.absent.push(name.to_lowercase()),
                        None => return Err(format!("`{word}` is neither FIELD=VALUE, -FIELD nor bodiless")),
                    },
                }
            }
            Ok(Some(Token::Response(pattern)))
        }
        _ => Ok(None),
    }
}

/// Words with white space between; what is in double quotes is not cut.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let is_end = move |c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    };
    text.split(is_end).filter(|word| !word.is_empty())
}

impl ResponsePattern {
    /// Compares from the front of `bytes`.
    pub(crate) fn matches(&self, bytes: &[u8]) -> Matched {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            let n = bytes.len().min(9);
            return if bytes[..n] == b"HTTP/1.1 "[..n] { Matched::More } else { not("no response") };
        };
        let Ok(head) = std::str::from_utf8(&bytes[..end]) else { return not("a head that is not text") };
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        if !line.starts_with(&format!("HTTP/1.1 {} ", self.status)) {
            return not(&format!("`{line}` instead of status {}", self.status));
        }
        let fields: Vec<(String, &str)> =
            lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_lowercase(), v.trim())).collect();
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
        for (name, value) in &self.fields {
            if field(name) != Some(value) {
                return not(&format!("{name} is {:?} instead of {value:?}", field(name)));
            }
        }
        if let Some(name) = self.absent.iter().find(|name| field(name).is_some()) {
            return not(&format!("there is a field {name}"));
        }
        let never = self.bodiless || matches!(self.status, 100..=199 | 204 | 304);
        let length = match field("content-length").map(str::parse::<usize>) {
            _ if never => 0,
            Some(Ok(length)) => length,
            _ => return not("a response that does not say how long it is"),
        };
        if bytes.len() < end + 4 + length { Matched::More } else { Matched::All(end + 4 + length) }
    }

    /// Others that must not agree.
    pub(crate) fn changes(&self) -> Vec<Self> {
        let mut all = vec![Self { status: self.status ^ 1, ..self.clone() }];
        for i in 0..self.fields.len() {
            let mut changed = self.clone();
            changed.fields[i].1.push('x');
            all.push(changed);
        }
        for name in &self.absent {
            all.push(Self { fields: vec![(name.clone(), String::new())], ..self.clone() });
        }
        all
    }
}

/// A text message of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePattern(String);

impl MessagePattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As a client's frame, whose mask changes nothing.
    pub(crate) fn octets(&self, captures: &Captures) -> Result<Vec<u8>, String> {
        let mut text = self.0.clone();
        for (name, value) in captures {
            text = text.replace(&format!("${{{name}}}"), &String::from_utf8_lossy(value));
        }
        if text.contains("${") {
            return Err(format!("{text}: something in it is not known"));
        }
        let mut frame = vec![0x81];
        match text.len() {
            n @ 0..126 => frame.push(0x80 | n as u8),
            n @ 126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend((n as u16).to_be_bytes());
            }
            n => return Err(format!("a message of {n} octets")),
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        Ok(frame)
    }

    /// Compares from the front of `bytes`.
    pub(crate) fn matches(&self, bytes: &[u8], captures: &mut Captures) -> Matched {
        let (head, size) = match *bytes {
            [] | [0x81] | [0x81, 126] | [0x81, 126, _] => return Matched::More,
            [0x81, n @ 0..126, ..] => (2, usize::from(n)),
            [0x81, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
            _ => return not(&format!("no text message: {}", crate::wire::short(bytes))),
        };
        let Some(text) = bytes.get(head..head + size) else { return Matched::More };
        let Ok(wanted) = serde_json::from_str::<Value>(&self.0) else { return not("the pattern is no JSON") };
        let Ok(found) = serde_json::from_slice::<Value>(text) else { return not("the message is no JSON") };
        let mut learned = captures.clone();
        match compare(&wanted, Some(&found), &mut learned) {
            Ok(()) => {
                *captures = learned;
                Matched::All(head + size)
            }
            Err(why) => not(&format!("{why} in {found}")),
        }
    }

    /// Others that must not agree.
    pub(crate) fn changes(&self) -> Vec<Self> {
        let Ok(value) = serde_json::from_str::<Value>(&self.0) else { return Vec::new() };
        changed(&value).into_iter().map(|value| Self(value.to_string())).collect()
    }
}

/// Whether what was found is what is wanted.
fn compare(wanted: &Value, found: Option<&Value>, captures: &mut Captures) -> Result<(), String> {
    let differs = || Err(format!("{} instead of {wanted}", found.unwrap_or(&Value::Null)));
    match (wanted, found) {
        (Value::Null, None) => Ok(()),
        (_, None) => differs(),
        (Value::String(text), Some(_)) if text == "*" => Ok(()),
        (Value::String(text), Some(found)) if text.starts_with('?') => {
            let text_found = found.as_str().map_or_else(|| found.to_string(), str::to_owned).into_bytes();
            let known = captures.entry(text[1..].to_owned()).or_insert_with(|| text_found.clone());
            if *known == text_found { Ok(()) } else { differs() }
        }
        (Value::Object(wanted), Some(Value::Object(found))) => {
            wanted.iter().try_for_each(|(name, value)| compare(value, found.get(name), captures))
        }
        (Value::Array(wanted), Some(Value::Array(found))) if wanted.len() == found.len() => {
            wanted.iter().zip(found).try_for_each(|(wanted, found)| compare(wanted, Some(found), captures))
        }
        (wanted, Some(found)) if wanted == found => Ok(()),
        _ => differs(),
    }
}

/// The same value with one thing that matters changed, in each way.
fn changed(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) if text == "*" || text.starts_with('?') => Vec::new(),
        Value::String(text) => vec![Value::String(format!("{text}x"))],
        Value::Bool(value) => vec![Value::Bool(!value)],
        Value::Number(_) => vec![Value::String("not a number".into())],
        Value::Null => vec![Value::String("*".into())],
        Value::Array(all) => {
            let each = all.iter().enumerate().flat_map(|(i, element)| {
                changed(element).into_iter().map(move |new| (i, new)).collect::<Vec<_>>()
            });
            let mut out: Vec<Value> = each
                .map(|(i, new)| {
                    let mut all = all.clone();
                    all[i] = new;
                    Value::Array(all)
                })
                .collect();
            out.push(Value::Array([&all[..], &[Value::Bool(true)]].concat()));
            out
        }
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, member)| {
                changed(member).into_iter().map(|new| {
                    let mut members = members.clone();
                    members.insert(name.clone(), new);
                    Value::Object(members)
                })
            })
            .collect(),
    }
}

/// A Close frame of a server (RFC 6455 §5.5.1).
pub(crate) fn close_matches(code: u16, bytes: &[u8]) -> Matched {
    match *bytes {
        [] | [0x88] => Matched::More,
        [0x88, size @ 2..=125, ref rest @ ..] => {
            let Some(payload) = rest.get(..usize::from(size)) else { return Matched::More };
            let found = u16::from_be_bytes([payload[0], payload[1]]);
            match std::str::from_utf8(&payload[2..]) {
                Ok(_) if found == code => Matched::All(2 + usize::from(size)),
                Ok(reason) => not(&format!("Close {found} ({reason}) instead of {code}")),
                Err(_) => not("a Close frame whose reason is not UTF-8"),
            }
        }
        _ => not("no Close frame"),
    }
}

fn not(why: &str) -> Matched {
    Matched::Not(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::pattern::{Captures, Pattern};

    fn matched(pattern: &str, bytes: &[u8]) -> Matched {
        Pattern::parse_in(Dialect::Http, pattern).unwrap().matches(bytes, &mut Captures::new())
    }

    #[test]
    fn lines_and_texts_are_octets() {
        let pattern = Pattern::parse_in(Dialect::Http, "'GET / HTTP/1.1' ~a: b~ 0a ''").unwrap();
        assert_eq!(pattern.octets(&Captures::new()).unwrap(), b"GET / HTTP/1.1\r\na: b\n\r\n");
        assert!(Pattern::parse_in(Dialect::Http, "'GET").is_err());
    }

    #[test]
    fn responses_are_compared_in_what_matters() {
        let response = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(matched("{HTTP 426 upgrade=websocket}", response), Matched::All(response.len()));
        assert_eq!(matched("{HTTP 426}", &response[..40]), Matched::More);
        assert_eq!(matched("{HTTP 426}", &response[..response.len() - 1]), Matched::More);
        assert_eq!(matched("{HTTP 426 bodiless}", response), Matched::All(response.len() - 2));
        assert_eq!(matched("{HTTP 426 -allow}", response), Matched::All(response.len()));
        let spaced = b"HTTP/1.1 101 Go\r\nx: a; b\r\n\r\n";
        assert_eq!(matched("{HTTP 101 x=\"a; b\" -y}", spaced), Matched::All(spaced.len()));
        assert!(matches!(matched("{HTTP 101 x=\"a;  b\"}", spaced), Matched::Not(_)));
        for wrong in ["{HTTP 426 -upgrade}", "{HTTP 400}", "{HTTP 426 upgrade=h2c}", "{HTTP 426 allow=GET}"] {
            assert!(matches!(matched(wrong, response), Matched::Not(_)), "{wrong}");
        }
        assert!(matches!(matched("{HTTP 200}", b"\x20\x02"), Matched::Not(_)));
    }

    #[test]
    fn close_frames_are_compared_by_their_code() {
        assert_eq!(matched("{CLOSE 1002}", b"\x88\x04\x03\xeahi"), Matched::All(6));
        assert_eq!(matched("{CLOSE 1002}", b"\x88\x04\x03\xeah"), Matched::More);
        assert!(matches!(matched("{CLOSE 1003}", b"\x88\x04\x03\xeahi"), Matched::Not(_)));
        assert!(matches!(matched("{CLOSE 1002}", b"\x82\x00"), Matched::Not(_)));
    }
}
