//! Negotiating permessage-deflate (RFC 7692, section 7.1) in `Sec-WebSocket-Extensions` (RFC 6455,
//! section 9.1).
//!
//! ```
//! use bowline_core::websocket::extensions::{Offer, Wanted, accept};
//! let header = "x-unknown, permessage-deflate; server_max_window_bits=10; client_max_window_bits";
//! let params = accept([header], &Wanted::default()).expect("an offer that can be met");
//! assert_eq!(params.to_string(), "permessage-deflate; server_max_window_bits=10; client_max_window_bits=13");
//!
//! let offer = Offer { client_max_window_bits: Some(None), ..Offer::default() };
//! assert_eq!(offer.to_string(), "permessage-deflate; client_max_window_bits");
//! assert!(offer.agreed(["permessage-deflate; server_no_context_takeover"]).unwrap().is_some());
//! ```

use core::fmt;

/// The extension's name.
pub const PERMESSAGE_DEFLATE: &str = "permessage-deflate";

/// The smallest window, as a power of 2, that is spoken here. RFC 7692 knows 8 too, for which no compressor
/// is at hand: an offer that insists on it is declined.
pub const MIN_WINDOW_BITS: u8 = 9;

/// The largest window, and what counts where none was named.
pub const MAX_WINDOW_BITS: u8 = 15;

/// What a client offers (section 7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The server shall compress each message by itself (section 7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client compresses each message by itself (section 7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The largest window that the server may use, 8 to 15 (section 7.1.2.1).
    pub server_max_window_bits: Option<u8>,
    /// The server may limit the client's window, which is not larger than the value, 8 to 15, where there
    /// is one (section 7.1.2.2).
    pub client_max_window_bits: Option<Option<u8>>,
}

/// What both sides have agreed to: the response of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// The server compresses each message by itself.
    pub server_no_context_takeover: bool,
    /// The client compresses each message by itself.
    pub client_no_context_takeover: bool,
    /// The largest window that the server uses; 15 where nothing is said.
    pub server_max_window_bits: Option<u8>,
    /// The largest window that the client uses; 15 where nothing is said.
    pub client_max_window_bits: Option<u8>,
}

/// What a server wants of the extension, as far as offers allow.
///
/// By default contexts are taken over, with windows of 8 KiB: what a connection remembers is that, both ways,
/// and a larger window makes little of messages smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whether to refer to earlier messages when compressing: smaller messages for a window of memory.
    pub server_context_takeover: bool,
    /// Whether clients may refer to earlier messages.
    pub client_context_takeover: bool,
    /// The largest window to compress with, 9 to 15.
    pub server_max_window_bits: u8,
    /// The largest window that clients are asked to compress with, 9 to 15. A client that does not say that it
    /// can be asked takes no context over where less than 15 is wanted: its window would have to be remembered
    /// whole.
    pub client_max_window_bits: u8,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            server_context_takeover: true,
            client_context_takeover: true,
            server_max_window_bits: 13,
            client_max_window_bits: 13,
        }
    }
}

/// Why an element of the header, or a server's choice, is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Declined {
    /// Not an element as the header's grammar has it.
    #[error("not a name with parameters")]
    Malformed,
    /// Another extension than permessage-deflate.
    #[error("an extension that is not known here")]
    UnknownExtension,
    /// A parameter that permessage-deflate does not have.
    #[error("permessage-deflate: a parameter that is not known")]
    UnknownParameter,
    /// A parameter that is there twice.
    #[error("permessage-deflate: {0} is there twice")]
    Duplicate(&'static str),
    /// A value that the parameter cannot have, or none where there has to be one.
    #[error("permessage-deflate: the value of {0} is not as it has to be")]
    Value(&'static str),
    /// A window of 8 bits, which is not supported here.
    #[error("permessage-deflate: {0} of 8 is not supported; 9 to 15 are")]
    Window(&'static str),
    /// A server's choice that was not offered, or that leaves out what the offer insists on.
    #[error("permessage-deflate: {0} is not as it was offered")]
    NotOffered(&'static str),
    /// A server chose the extension twice.
    #[error("permessage-deflate was chosen twice")]
    Twice,
}

const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// Chooses the first offer that can be met, from the values of all the request's
/// `Sec-WebSocket-Extensions` in order; what it returns is the response, as text by its `Display`.
///
/// An offer that is unknown, malformed, or more than can be done is passed over (section 7.1); see
/// [`offers`] for why.
#[must_use]
pub fn accept<'a>(values: impl IntoIterator<Item = &'a str>, wanted: &Wanted) -> Option<Params> {
    offers(values).find_map(|offer| offer.ok()?.accept(wanted).ok())
}

/// All that a header offers, in order, or why it is none for us.
pub fn offers<'a>(
    values: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = Result<Offer, Declined>> {
    values.into_iter().flat_map(|value| Split(Some(value), b',')).filter(|e| !e.is_empty()).map(Offer::read)
}

impl Offer {
    /// Reads one element of the header.
    fn read(element: &str) -> Result<Self, Declined> {
        let mut parts = Split(Some(element), b';');
        let name = parts.next().unwrap_or_default();
        if !is_token(name) {
            return Err(Declined::Malformed);
        }
        if !name.eq_ignore_ascii_case(PERMESSAGE_DEFLATE) {
            return Err(Declined::UnknownExtension);
        }
        let mut offer = Self::default();
        for part in parts {
            let (name, value) = parameter(part)?;
            match name {
                SERVER_NO_CONTEXT => flag(&mut offer.server_no_context_takeover, value, SERVER_NO_CONTEXT)?,
                CLIENT_NO_CONTEXT => flag(&mut offer.client_no_context_takeover, value, CLIENT_NO_CONTEXT)?,
                SERVER_BITS => {
                    let bits = value.ok_or(Declined::Value(SERVER_BITS))?;
                    once(&mut offer.server_max_window_bits, bits.bits(SERVER_BITS)?, SERVER_BITS)?;
                }
                CLIENT_BITS => {
                    let bits = value.map(|value| value.bits(CLIENT_BITS)).transpose()?;
                    once(&mut offer.client_max_window_bits, bits, CLIENT_BITS)?;
                }
                _ => return Err(Declined::UnknownParameter),
            }
        }
        Ok(offer)
    }

    /// What a server that wants this agrees to.
    ///
    /// # Errors
    ///
    /// [`Declined::Window`] where the client insists on a window of 8 bits.
    pub fn accept(&self, wanted: &Wanted) -> Result<Params, Declined> {
        if self.server_max_window_bits.is_some_and(|bits| bits < MIN_WINDOW_BITS) {
            return Err(Declined::Window(SERVER_BITS));
        }
        let valid = |bits: u8| bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
        let (server, client) = (valid(wanted.server_max_window_bits), valid(wanted.client_max_window_bits));
        let is_bounded = match self.client_max_window_bits {
            Some(bits) => bits.is_none_or(|bits| bits >= MIN_WINDOW_BITS),
            None => client == MAX_WINDOW_BITS,
        };
        Ok(Params {
            server_no_context_takeover: self.server_no_context_takeover || !wanted.server_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || !wanted.client_context_takeover
                || !is_bounded,
            server_max_window_bits: match self.server_max_window_bits {
                Some(bits) => Some(bits.min(server)),
                None => (server < MAX_WINDOW_BITS).then_some(server),
            },
            // A client that limits itself to less than can be asked for is not asked (section 7.1.2.2).
            client_max_window_bits: match self.client_max_window_bits {
                Some(Some(bits)) if bits < MIN_WINDOW_BITS => None,
                Some(bits) => Some(bits.unwrap_or(MAX_WINDOW_BITS).min(client)),
                None => None,
            },
        })
    }

    /// What a server agreed to, from the values of all the response's `Sec-WebSocket-Extensions`; nothing
    /// where it chose no extension.
    ///
    /// # Errors
    ///
    /// Why the connection has to fail (RFC 6455, section 4.1, and RFC 7692, section 5.1): the server chose
    /// what was not offered.
    pub fn agreed<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Result<Option<Params>, Declined> {
        let mut found = None;
        for answer in offers(values) {
            let params = self.check(&answer?)?;
            if found.replace(params).is_some() {
                return Err(Declined::Twice);
            }
        }
        Ok(found)
    }

    /// Holds an answer against the offer.
    fn check(&self, answer: &Offer) -> Result<Params, Declined> {
        if self.server_no_context_takeover && !answer.server_no_context_takeover {
            return Err(Declined::NotOffered(SERVER_NO_CONTEXT));
        }
        if self
            .server_max_window_bits
            .is_some_and(|most| answer.server_max_window_bits.is_none_or(|b| b > most))
        {
            return Err(Declined::NotOffered(SERVER_BITS));
        }
        let client_max_window_bits = match (self.client_max_window_bits, answer.client_max_window_bits) {
            (_, None) => self.client_max_window_bits.flatten(),
            (None, Some(_)) => return Err(Declined::NotOffered(CLIENT_BITS)),
            (Some(_), Some(None)) => return Err(Declined::Value(CLIENT_BITS)),
            (Some(most), Some(Some(bits))) if bits > most.unwrap_or(MAX_WINDOW_BITS) => {
                return Err(Declined::NotOffered(CLIENT_BITS));
            }
            (Some(_), Some(Some(bits))) if bits < MIN_WINDOW_BITS => {
                return Err(Declined::Window(CLIENT_BITS));
            }
            (Some(_), Some(bits)) => bits,
        };
        Ok(Params {
            server_no_context_takeover: answer.server_no_context_takeover,
            client_no_context_takeover: answer.client_no_context_takeover || self.client_no_context_takeover,
            server_max_window_bits: answer.server_max_window_bits,
            client_max_window_bits,
        })
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let common = Params {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: self.client_max_window_bits.flatten(),
        };
        common.fmt(f)?;
        if self.client_max_window_bits == Some(None) {
            write!(f, "; {CLIENT_BITS}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PERMESSAGE_DEFLATE)?;
        for (set, name) in [
            (self.server_no_context_takeover, SERVER_NO_CONTEXT),
            (self.client_no_context_takeover, CLIENT_NO_CONTEXT),
        ] {
            if set {
                write!(f, "; {name}")?;
            }
        }
        for (bits, name) in
            [(self.server_max_window_bits, SERVER_BITS), (self.client_max_window_bits, CLIENT_BITS)]
        {
            if let Some(bits) = bits {
                write!(f, "; {name}={bits}")?;
            }
        }
        Ok(())
    }
}

/// A parameter's value: a token, in quotes or not.
#[derive(Clone, Copy)]
struct Value<'a>(&'a str);

impl Value<'_> {
    /// A decimal number from 8 to 15 without leading zeros.
    fn bits(self, name: &'static str) -> Result<u8, Declined> {
        match self.0.as_bytes() {
            [octet @ b'8'..=b'9'] => Ok(octet - b'0'),
            [b'1', octet @ b'0'..=b'5'] => Ok(10 + octet - b'0'),
            _ => Err(Declined::Value(name)),
        }
    }
}

fn parameter(part: &str) -> Result<(&str, Option<Value<'_>>), Declined> {
    let (name, value) = match part.split_once('=') {
        Some((name, value)) => (trim(name), Some(trim(value))),
        None => (part, None),
    };
    let value = value.map(|v| v.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(v));
    if !is_token(name) || !value.is_none_or(is_token) {
        return Err(Declined::Malformed);
    }
    Ok((name, value.map(Value)))
}

fn flag(to: &mut bool, value: Option<Value<'_>>, name: &'static str) -> Result<(), Declined> {
    if value.is_some() {
        return Err(Declined::Value(name));
    }
    if core::mem::replace(to, true) { Err(Declined::Duplicate(name)) } else { Ok(()) }
}

fn once<T>(to: &mut Option<T>, value: T, name: &'static str) -> Result<(), Declined> {
    if to.replace(value).is_some() { Err(Declined::Duplicate(name)) } else { Ok(()) }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet))
}

/// The parts between separators that are not in quotes, trimmed.
struct Split<'a>(Option<&'a str>, u8);

impl<'a> Iterator for Split<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.bytes().position(|octet| {
            let ends = octet == self.1 && !quoted;
            quoted ^= octet == b'"' && !escaped;
            escaped = octet == b'\\' && quoted && !escaped;
            ends
        });
        let (part, rest) = match end {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        self.0 = rest;
        Some(trim(part))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;
    use proptest::prelude::*;

    /// As much as can be.
    const MOST: Wanted = Wanted {
        server_context_takeover: true,
        client_context_takeover: true,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };

    fn chosen(header: &str, wanted: &Wanted) -> Option<std::string::String> {
        accept([header], wanted).map(|params| params.to_string())
    }

    /// Sections 7.1.1.1 to 7.1.2.2, and the examples of 7.1.3.
    #[test]
    fn a_server_answers_each_parameter() {
        for (offer, answer) in [
            ("permessage-deflate", "permessage-deflate"),
            ("Permessage-Deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=15"),
            (
                "permessage-deflate; client_max_window_bits=10",
                "permessage-deflate; client_max_window_bits=10",
            ),
            (
                "permessage-deflate; client_max_window_bits=8",
                "permessage-deflate; client_no_context_takeover",
            ),
            (
                "permessage-deflate; server_max_window_bits=\"10\"",
                "permessage-deflate; server_max_window_bits=10",
            ),
            (
                "permessage-deflate;server_max_window_bits = 15",
                "permessage-deflate; server_max_window_bits=15",
            ),
            (
                "permessage-deflate ; server_no_context_takeover;\tclient_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ),
        ] {
            assert_eq!(chosen(offer, &MOST).as_deref(), Some(answer), "{offer}");
        }
        let little = Wanted {
            server_context_takeover: false,
            client_context_takeover: false,
            server_max_window_bits: 11,
            client_max_window_bits: 12,
        };
        for (offer, answer) in [
            ("", "; server_max_window_bits=11"),
            ("; client_max_window_bits", "; server_max_window_bits=11; client_max_window_bits=12"),
            ("; client_max_window_bits=9", "; server_max_window_bits=11; client_max_window_bits=9"),
            ("; server_max_window_bits=14", "; server_max_window_bits=11"),
            ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        ] {
            let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
            let want = [both, answer].concat();
            assert_eq!(chosen(&[PERMESSAGE_DEFLATE, offer].concat(), &little), Some(want), "{offer}");
        }
        // Who cannot be asked for the window that is wanted takes no context over.
        let narrow = Wanted { client_max_window_bits: 13, ..MOST };
        for (offer, answer) in [
            ("", "; client_no_context_takeover"),
            ("; client_max_window_bits", "; client_max_window_bits=13"),
            ("; client_max_window_bits=10", "; client_max_window_bits=10"),
            ("; client_max_window_bits=8", "; client_no_context_takeover"),
        ] {
            let want = [PERMESSAGE_DEFLATE, answer].concat();
            assert_eq!(chosen(&[PERMESSAGE_DEFLATE, offer].concat(), &narrow), Some(want), "{offer}");
        }
    }

    /// Section 7.1: what cannot be met is declined, and the next offer tried.
    #[test]
    fn what_is_wrong_is_declined_and_the_next_offer_tried() {
        for (offer, why) in [
            ("x-webkit-deflate-frame", Declined::UnknownExtension),
            ("permessage-deflate; foo", Declined::UnknownParameter),
            ("permessage-deflate; foo=\"a,b;c\\\",\"", Declined::Malformed),
            ("permessage-deflate; SERVER_MAX_WINDOW_BITS=9", Declined::UnknownParameter),
            ("permessage-deflate; server_max_window_bits", Declined::Value(SERVER_BITS)),
            ("permessage-deflate; server_max_window_bits=", Declined::Malformed),
            ("permessage-deflate; server_max_window_bits=7", Declined::Value(SERVER_BITS)),
            ("permessage-deflate; server_max_window_bits=16", Declined::Value(SERVER_BITS)),
            ("permessage-deflate; server_max_window_bits=010", Declined::Value(SERVER_BITS)),
            ("permessage-deflate; server_max_window_bits=+9", Declined::Value(SERVER_BITS)),
            ("permessage-deflate; client_max_window_bits=0", Declined::Value(CLIENT_BITS)),
            ("permessage-deflate; server_no_context_takeover=1", Declined::Value(SERVER_NO_CONTEXT)),
            ("permessage-deflate; client_no_context_takeover=\"\"", Declined::Malformed),
            (
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                Declined::Duplicate(SERVER_NO_CONTEXT),
            ),
            (
                "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
                Declined::Duplicate(CLIENT_BITS),
            ),
            (
                "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
                Declined::Duplicate(SERVER_BITS),
            ),
            ("permessage-deflate;", Declined::Malformed),
            ("permessage deflate", Declined::Malformed),
            ("; server_no_context_takeover", Declined::Malformed),
            ("permessage-deflate; =9", Declined::Malformed),
            ("permessage-deflate; server_max_window_bits=\"9", Declined::Malformed),
        ] {
            assert_eq!(offers([offer]).collect::<Vec<_>>(), [Err(why)], "{offer}");
            assert_eq!(accept([offer], &MOST), None);
            let next = "permessage-deflate; server_max_window_bits=9";
            let got = accept([offer, next], &MOST);
            assert_eq!(got.and_then(|params| params.server_max_window_bits), Some(9), "{offer}");
        }
        // 8 is a number that may be said, and that we cannot do.
        let eight = "permessage-deflate; server_max_window_bits=8";
        let offer = offers([eight]).next().unwrap().unwrap();
        assert_eq!(offer.accept(&MOST), Err(Declined::Window(SERVER_BITS)));
        let list = [eight, ", permessage-deflate,, other"].concat();
        assert_eq!(chosen(&list, &MOST).as_deref(), Some("permessage-deflate"));
        assert_eq!(accept([], &MOST), None);
        assert_eq!(accept(["", " , "], &MOST), None);
    }

    /// Section 5.1: a client fails a connection whose server chose what was not offered.
    #[test]
    fn a_client_holds_the_answer_against_its_offer() {
        let all = Offer {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: Some(12),
            client_max_window_bits: Some(Some(11)),
        };
        let asks = Offer { client_max_window_bits: Some(None), ..Offer::default() };
        let (head, none) = ("permessage-deflate; server_no_context_takeover", Offer::default());
        for (offer, answer, want) in [
            (none, "permessage-deflate; client_max_window_bits=9", Err(Declined::NotOffered(CLIENT_BITS))),
            (asks, "permessage-deflate; client_max_window_bits", Err(Declined::Value(CLIENT_BITS))),
            (asks, "permessage-deflate; client_max_window_bits=8", Err(Declined::Window(CLIENT_BITS))),
            (asks, "permessage-deflate; client_max_window_bits=9", Ok((15, 9))),
            (none, "permessage-deflate; server_max_window_bits=8", Ok((8, 15))),
            (none, "permessage-deflate; nonsense", Err(Declined::UnknownParameter)),
            (none, "permessage-bzip2", Err(Declined::UnknownExtension)),
            (none, "permessage-deflate, permessage-deflate", Err(Declined::Twice)),
            (
                all,
                "permessage-deflate; server_max_window_bits=12",
                Err(Declined::NotOffered(SERVER_NO_CONTEXT)),
            ),
            (all, head, Err(Declined::NotOffered(SERVER_BITS))),
            (all, &[head, "; server_max_window_bits=13"].concat(), Err(Declined::NotOffered(SERVER_BITS))),
            (all, &[head, "; server_max_window_bits=9"].concat(), Ok((9, 11))),
            (
                all,
                &[head, "; server_max_window_bits=9; client_max_window_bits=12"].concat(),
                Err(Declined::NotOffered(CLIENT_BITS)),
            ),
        ] {
            let bits = |params: Option<Params>| {
                let params = params.unwrap();
                (params.server_max_window_bits.unwrap_or(15), params.client_max_window_bits.unwrap_or(15))
            };
            assert_eq!(offer.agreed([answer]).map(bits), want, "{answer}");
        }
        assert_eq!(none.agreed([]), Ok(None));
    }

    fn any_offer() -> impl Strategy<Value = Offer> {
        let bits = || proptest::option::of(8..16u8);
        (any::<bool>(), any::<bool>(), bits(), proptest::option::of(bits())).prop_map(|(a, b, c, d)| Offer {
            server_no_context_takeover: a,
            client_no_context_takeover: b,
            server_max_window_bits: c,
            client_max_window_bits: d,
        })
    }

    proptest! {
        /// Whatever a server of ours answers, a client of ours agrees to.
        #[test]
        fn both_sides_agree(
            offer in any_offer(),
            server_context_takeover: bool,
            client_context_takeover: bool,
            server_max_window_bits in 9..16u8,
            client_max_window_bits in 9..16u8,
        ) {
            let text = offer.to_string();
            prop_assert_eq!(offers([&text[..]]).collect::<Vec<_>>(), [Ok(offer)]);
            let wanted = Wanted {
                server_context_takeover, client_context_takeover, server_max_window_bits, client_max_window_bits,
            };
            if let Some(params) = accept([&text[..]], &wanted) {
                let answer = params.to_string();
                let agreed = offer.agreed([&answer[..]]).unwrap().unwrap();
                let bits = |params: Params| params.server_max_window_bits.unwrap_or(15);
                prop_assert_eq!(bits(agreed), bits(params));
                prop_assert!(offer.server_max_window_bits.is_none_or(|most| bits(agreed) <= most));
                prop_assert_eq!(agreed.server_no_context_takeover, params.server_no_context_takeover);
                prop_assert_eq!(agreed.client_no_context_takeover, params.client_no_context_takeover);
            } else {
                prop_assert_eq!(offer.server_max_window_bits, Some(8));
            }
        }

        #[test]
        fn any_header_is_read(header in "[ ,;=\"\\\\a-z_0-9]{0,60}|\\PC{0,40}") {
            for offer in offers([&header[..]]).flatten() {
                prop_assert_eq!(offers([&offer.to_string()[..]]).collect::<Vec<_>>(), [Ok(offer)]);
            }
        }
    }
}
