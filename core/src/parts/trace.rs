//! Trace context (W3C Trace Context, level 1): which trace a message belongs to.

use core::fmt;

use crate::entropy::Entropy;

/// The name of the field that carries a [`TraceContext`] as text (section 3.2), in every protocol that has
/// named fields.
pub const TRACEPARENT: &str = "traceparent";

/// The name of the field beside it in which vendors of tracing keep what is theirs (section 3.3).
pub const TRACESTATE: &str = "tracestate";

/// The longest `tracestate` that has to be handed on, in octets (section 3.3.1.5).
pub const TRACESTATE_MAX: usize = 512;

/// Octets of the text form: version, trace id, parent id and flags in hexadecimal, with `-` between.
pub const TEXT_LEN: usize = 55;

/// Where the `-` are in it.
const DASHES: [usize; 3] = [2, 35, 52];
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The trace that something belongs to, and its place there, in 25 octets: trace id (16), the id of the span
/// that it comes from (8), flags (1).
///
/// ```
/// use bowline_core::trace::TraceContext;
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context = TraceContext::parse(text).unwrap();
/// assert!(context.is_valid() && context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// assert_eq!(context.trace_id()[..2], [0x0a, 0xf7]);
/// assert_eq!(TraceContext::parse("00-0af7-b7ad-01"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext([u8; 25]);

impl TraceContext {
    /// From its octets, whatever they are.
    #[must_use]
    pub const fn from_bytes(octets: [u8; 25]) -> Self {
        Self(octets)
    }

    /// Its octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 25] {
        &self.0
    }

    /// A new trace, which is sampled.
    pub fn draw(entropy: &mut (impl Entropy + ?Sized)) -> Self {
        let mut octets = [0; 25];
        entropy.wire(&mut octets[..24]);
        // Ids of zeros are none (sections 3.2.2.3, 3.2.2.4).
        octets[0] |= 1;
        octets[16] |= 1;
        octets[24] = 1;
        Self(octets)
    }

    /// From exactly the text that [`to_text`](Self::to_text) gives. Another version, length or case is
    /// none of this.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; TEXT_LEN] = text.as_bytes().try_into().ok()?;
        let mut octets = [0; 26];
        let places = (0..TEXT_LEN).filter(|at| !DASHES.contains(at));
        for (n, at) in places.enumerate() {
            let digit = DIGITS.iter().position(|digit| *digit == text[at])?;
            octets[n / 2] = octets[n / 2] << 4 | digit as u8;
        }
        let [version, context @ ..] = octets;
        (version == 0 && DASHES.iter().all(|at| text[*at] == b'-')).then_some(Self(context))
    }

    /// The text form, version 00.
    #[must_use]
    pub fn to_text(&self) -> [u8; TEXT_LEN] {
        let mut text = [b'-'; TEXT_LEN];
        let places = (0..TEXT_LEN).filter(|at| !DASHES.contains(at));
        let digits = core::iter::once(&0).chain(&self.0).flat_map(|octet| [octet >> 4, octet & 15]);
        for (at, digit) in places.zip(digits) {
            text[at] = DIGITS[usize::from(digit)];
        }
        text
    }

    /// The id of the trace.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        core::array::from_fn(|at| self.0[at])
    }

    /// The id of the span that it comes from.
    #[must_use]
    pub fn parent_id(&self) -> [u8; 8] {
        core::array::from_fn(|at| self.0[16 + at])
    }

    /// Whether somebody wants it recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.0[24] & 1 == 1
    }

    /// Whether it says anything: neither id is all zeros.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.trace_id() != [0; 16] && self.parent_id() != [0; 8]
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a text may be a `tracestate`: visible ASCII, spaces and tabs, no more than has to be handed on. Its list
/// is nobody's to look at on the way.
#[must_use]
pub fn is_tracestate(text: &str) -> bool {
    let allowed = |b| matches!(b, b'\t' | 0x20..=0x7e);
    (1..=TRACESTATE_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Scripted, Seeded};
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn what_is_drawn_is_valid_and_sampled() {
        let zeros = TraceContext::draw(&mut Scripted::new(&[0; 24], &[]));
        assert!(zeros.is_valid() && zeros.is_sampled());
        let mut entropy = Seeded::new(1);
        let (one, other) = (TraceContext::draw(&mut entropy), TraceContext::draw(&mut entropy));
        assert!(one.trace_id() != other.trace_id() && one.parent_id() != other.parent_id());
    }

    #[test]
    fn ids_of_zeros_say_nothing() {
        let mut octets = [1; 25];
        octets[..16].fill(0);
        assert!(!TraceContext::from_bytes(octets).is_valid());
        let mut octets = [1; 25];
        octets[16..24].fill(0);
        assert!(!TraceContext::from_bytes(octets).is_valid());
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00--af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ééééééééééééééééééééééééééé0",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_tracestate_is_short_and_ascii() {
        assert!(is_tracestate("rojo=00f067aa0ba902b7, congo=t61"));
        assert!(!is_tracestate("") && !is_tracestate("a=\u{e9}") && !is_tracestate("a=\n"));
        assert!(is_tracestate(&"a".repeat(512)) && !is_tracestate(&"a".repeat(513)));
    }

    proptest! {
        #[test]
        fn text_and_octets_are_the_same(octets in proptest::array::uniform25(any::<u8>())) {
            let context = TraceContext::from_bytes(octets);
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,60}|[0-9a-f-]{50,60}") {
            if let Some(context) = TraceContext::parse(&text) {
                prop_assert_eq!(context.to_string(), text);
            }
        }
    }
}
