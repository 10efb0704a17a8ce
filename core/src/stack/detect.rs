//! Which dialect a connection begins with.
//!
//! | first octets | are |
//! |---|---|
//! | `b0` | our own protocol: the session refuses what is not its preface, and says so |
//! | `16 03` | TLS: a handshake of any version since SSL 3 |
//! | capital letters and `-`, then a space | HTTP: the method of a request, also `PRI` of HTTP/2 |
//! | `1x`, a remaining length, `00 04 PRX1` | PRX1 |
//! | `1x`, a remaining length, `00 04 MQTT` or `00 06 MQIsdp` | MQTT |
//! | `10`, and another name | MQTT, which answers that it does not speak that version |
//! | `18`, and another name | PRX1, which refuses it: only there does that bit mean anything |
//!
//! MQTT and PRX1 have the same fixed header and begin with a CONNECT that names its protocol. Where
//! the name is neither's, or cannot be (a length without an end, a body too short), bit 3 of the first
//! octet decides: MQTT reserves it, in PRX1 it asks for a clean start. Whoever is chosen finds the
//! same fault and has the words for it.

/// No opening takes more octets than this to be told from all others: the longest method of HTTP
/// that is recognised, and the space behind it.
pub const OPENING_MAX: usize = METHOD_MAX + 1;

/// The registered methods of HTTP have up to 17 octets.
const METHOD_MAX: usize = 24;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Our own protocol.
    Bowline,
    /// MQTT, of any version.
    Mqtt,
    /// PRX1.
    Prx1,
    /// Typed JSON: in WebSockets only, so nothing begins with it.
    Json,
    /// A request of HTTP.
    Http,
    /// A handshake of TLS: what is spoken inside is detected inside.
    Tls,
}

/// What is known of a connection by its first octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detection {
    /// Ask again when more have come.
    NeedMore,
    /// This; more octets change nothing.
    Known(Dialect),
    /// None that is known here; more octets change nothing.
    Unknown,
}

/// Tells what a connection begins with by its first `octets`: all that have come, never a later part.
///
/// It decides with as few as it can, and always with [`OPENING_MAX`]. A decision stays with any number
/// of octets more.
#[must_use]
pub fn detect(octets: &[u8]) -> Detection {
    match *octets {
        [] | [0x16] => Detection::NeedMore,
        [0xb0, ..] => Detection::Known(Dialect::Bowline),
        [0x16, 3, ..] => Detection::Known(Dialect::Tls),
        [first @ 0x10..=0x1f, ref rest @ ..] => detect_connect(first, rest),
        [b'A'..=b'Z', ..] => detect_http(octets),
        _ => Detection::Unknown,
    }
}

/// The protocols' names, with their lengths.
const NAMES: [(&[u8], Dialect); 3] =
    [(b"\x00\x04MQTT", Dialect::Mqtt), (b"\x00\x06MQIsdp", Dialect::Mqtt), (b"\x00\x04PRX1", Dialect::Prx1)];

/// A CONNECT of MQTT or PRX1, behind its first octet.
fn detect_connect(first: u8, octets: &[u8]) -> Detection {
    let other = if first & 8 == 0 { Dialect::Mqtt } else { Dialect::Prx1 };
    let Some(end) = octets.iter().take(4).position(|b| b & 0x80 == 0) else {
        return if octets.len() < 4 { Detection::NeedMore } else { Detection::Known(other) };
    };
    let (length, body) = octets.split_at(end + 1);
    let size = length.iter().rev().fold(0, |n, b| n << 7 | usize::from(b & 0x7f));
    let body = &body[..body.len().min(size)];
    // Only a name of the one that is not chosen otherwise can still change anything.
    let mut decided = Detection::Known(other);
    for (name, dialect) in NAMES {
        if dialect == other || name.len() > size {
            continue;
        }
        if body.starts_with(name) {
            return Detection::Known(dialect);
        }
        if name.starts_with(body) {
            decided = Detection::NeedMore;
        }
    }
    decided
}

/// A request line of HTTP.
fn detect_http(octets: &[u8]) -> Detection {
    match octets.iter().take(OPENING_MAX).find(|b| !matches!(b, b'A'..=b'Z' | b'-')) {
        Some(b' ') => Detection::Known(Dialect::Http),
        Some(_) => Detection::Unknown,
        None if octets.len() < OPENING_MAX => Detection::NeedMore,
        None => Detection::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// After how many octets it is decided, and how.
    fn decided(octets: &[u8]) -> (usize, Detection) {
        let decision = |n: &usize| detect(&octets[..*n]) != Detection::NeedMore;
        let n = (0..=octets.len()).find(decision).unwrap_or(octets.len());
        (n, detect(&octets[..n]))
    }

    fn known(octets: &[u8]) -> (usize, Dialect) {
        match decided(octets) {
            (n, Detection::Known(dialect)) => (n, dialect),
            other => panic!("{other:?} of {octets:02x?}"),
        }
    }

    #[test]
    fn our_own_preface_begins_like_nothing_else() {
        assert_eq!(known(&crate::session::PREFACE), (1, Dialect::Bowline));
    }

    #[test]
    fn the_names_tell_mqtt_from_prx1() {
        // MQTT 3.1.1 and 5, 3.1, and PRX1 with and without clean start.
        assert_eq!(known(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"), (5, Dialect::Mqtt));
        assert_eq!(known(b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"), (4, Dialect::Mqtt));
        assert_eq!(known(b"\x10\x15\x00\x04PRX1\x0f\x00\x02pw"), (8, Dialect::Prx1));
        assert_eq!(known(b"\x18\x12\x00\x04PRX1\x0f\x00\x01p"), (5, Dialect::Prx1));
        // Long ones: the remaining length takes up to four octets, also without need.
        assert_eq!(known(b"\x10\xff\xff\xff\x7f\x00\x04MQTT"), (8, Dialect::Mqtt));
        assert_eq!(known(b"\x10\x95\x80\x80\x00\x00\x04PRX1"), (11, Dialect::Prx1));
        // Bits that are reserved are for those to refuse who reserve them.
        assert_eq!(known(b"\x1f\x0c\x00\x04MQTT"), (8, Dialect::Mqtt));
        assert_eq!(known(b"\x1a\x0e\x00\x06MQIsdp"), (10, Dialect::Mqtt));
        assert_eq!(known(b"\x16\x15\x00\x04PRX1"), (8, Dialect::Prx1));
    }

    #[test]
    fn another_name_goes_to_whom_the_clean_start_bit_means() {
        for (opening, n) in [
            (&b"\x10\x06\x00\x04MQTX"[..], 5),
            (b"\x10\x06\x00\x04PRX2", 8),
            (b"\x10\x06\x00\x03PRX", 4),
            (b"\x10\x05\x00\x04PRX1", 2),
            (b"\x10\x00", 2),
            (b"\x10\x80\x80\x80\x80\x01", 5),
        ] {
            let mut opening = opening.to_vec();
            assert_eq!(known(&opening), (n, Dialect::Mqtt), "{opening:02x?}");
            opening[0] = 0x18;
            assert_eq!(known(&opening).1, Dialect::Prx1, "{opening:02x?}");
        }
    }

    #[test]
    fn http_and_tls_are_known() {
        assert_eq!(known(b"GET / HTTP/1.1\r\n"), (4, Dialect::Http));
        assert_eq!(known(b"PRI * HTTP/2.0\r\n"), (4, Dialect::Http));
        assert_eq!(known(b"M-SEARCH * HTTP/1.1\r\n"), (9, Dialect::Http));
        assert_eq!(known(b"UPDATEREDIRECTREF / HTTP/1.1\r\n"), (18, Dialect::Http));
        assert_eq!(known(b"\x16\x03\x01\x02\x00\x01"), (2, Dialect::Tls));
    }

    #[test]
    fn what_is_none_of_them_is_seen_soon() {
        for (octets, n) in [
            (&b"SSH-2.0-OpenSSH_9.2"[..], 5),
            (b"get / HTTP/1.1", 1),
            (b"\x00\x00", 1),
            (b"\x20\x02\x00\x00", 1),
            (b"\x80\x2e\x01\x03\x01", 1),
            (b"GET/", 4),
            (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", OPENING_MAX),
        ] {
            assert_eq!(decided(octets), (n, Detection::Unknown), "{octets:02x?}");
        }
        assert_eq!(detect(b""), Detection::NeedMore);
    }

    /// A whole opening and what it is, of each dialect.
    fn opening() -> impl Strategy<Value = (Vec<u8>, Dialect)> {
        let rest = prop::collection::vec(any::<u8>(), 0..300);
        let connect = (rest.clone(), 0..3usize, any::<bool>()).prop_map(|(rest, name, clean)| {
            let (name, dialect) = NAMES[name];
            let size = name.len() + rest.len();
            let flags = if clean && dialect == Dialect::Prx1 { 8 } else { 0 };
            let mut octets = std::vec![0x10 | flags];
            match size {
                0..0x80 => octets.push(size as u8),
                _ => octets.extend([size as u8 | 0x80, (size >> 7) as u8]),
            }
            octets.extend_from_slice(name);
            octets.extend(rest);
            (octets, dialect)
        });
        let after = |begin: Vec<u8>, dialect| {
            rest.clone().prop_map(move |rest| ([&begin[..], &rest].concat(), dialect))
        };
        let http = "[A-Z]{1,24} /[a-z]{0,9} HTTP/1.1\r\n".prop_map(|s| (s.into_bytes(), Dialect::Http));
        prop_oneof![
            4 => connect,
            1 => after(crate::session::PREFACE.to_vec(), Dialect::Bowline),
            1 => after(std::vec![0x16, 3], Dialect::Tls),
            2 => http,
        ]
    }

    proptest! {
        /// No part of an opening is taken for anything else, and the whole is known.
        #[test]
        fn openings_are_known_and_their_parts_not_mistaken((octets, dialect) in opening()) {
            for n in 0..octets.len() {
                let so_far = detect(&octets[..n]);
                prop_assert!(matches!(so_far, Detection::NeedMore) || so_far == Detection::Known(dialect));
            }
            prop_assert_eq!(detect(&octets), Detection::Known(dialect));
        }

        /// A decision is made in time and stays.
        #[test]
        fn decisions_stay(first in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..40)) {
            for first in [first, 0x10, 0x18, 0x16, b'P'] {
                let octets = [&[first][..], &rest].concat();
                let (n, decision) = decided(&octets);
                prop_assert!(decision != Detection::NeedMore || octets.len() < OPENING_MAX);
                prop_assert!((n..=octets.len()).all(|n| detect(&octets[..n]) == decision));
            }
        }
    }
}
