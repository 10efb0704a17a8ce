//! Text is UTF-8 (RFC 6455, sections 5.6 and 8.1), wherever it is cut.

/// From so many octets on a vectorised check is worth its start.
const BULK: usize = 64;

/// Checks text that may end in the middle of a character: how many octets of such a one it ends with (0 to
/// 3), or where the first octet is that no UTF-8 can go on from.
#[inline]
pub(super) fn check(text: &[u8]) -> Result<usize, usize> {
    let checked = if text.len() < BULK {
        core::str::from_utf8(text).map_err(|e| (e.valid_up_to(), e.error_len()))
    } else {
        simdutf8::compat::from_utf8(text).map_err(|e| (e.valid_up_to(), e.error_len()))
    };
    match checked {
        Ok(_) => Ok(0),
        Err((valid, None)) => Ok(text.len() - valid),
        Err((valid, Some(_))) => Err(valid),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use proptest::prelude::*;

    /// Checked in pieces, as it is received: where it fails, and at which piece.
    fn in_pieces(pieces: &[&[u8]]) -> Result<usize, (usize, usize)> {
        let (mut all, mut tail) = (Vec::new(), 0);
        for (i, piece) in pieces.iter().enumerate() {
            let from = all.len() - tail;
            all.extend_from_slice(piece);
            tail = check(&all[from..]).map_err(|at| (i, from + at))?;
        }
        Ok(tail)
    }

    /// Section 8.1, by RFC 3629: overlong forms, surrogates, what is above U+10FFFF, and octets that are
    /// never there are refused at the octet that makes them so.
    #[test]
    fn what_is_not_utf8_is_refused_at_once() {
        for (bad, good) in [
            (&b"\xc0"[..], 0),
            (b"\xc1", 0),
            (b"\xf5", 0),
            (b"\xff", 0),
            (b"\x80", 0),
            (b"\xe0\x80", 1),
            (b"\xe0\x9f", 1),
            (b"\xed\xa0", 1),
            (b"\xf0\x8f", 1),
            (b"\xf4\x90", 1),
            (b"\xe2\x82a", 2),
            (b"\xf0\x9f\x98a", 3),
        ] {
            let octets: Vec<&[u8]> = bad.chunks(1).collect();
            assert_eq!(in_pieces(&octets), Err((good, 0)), "{bad:x?}");
            assert_eq!(in_pieces(&octets[..good]), Ok(good), "{bad:x?}");
        }
    }

    proptest! {
        #[test]
        fn a_cut_changes_nothing(
            text in "\\PC{0,200}",
            spoil in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
            cuts in proptest::collection::vec(1..40usize, 0..20),
        ) {
            let mut octets = text.into_bytes();
            if let Some((index, octet)) = spoil.filter(|_| !octets.is_empty()) {
                let at = index.index(octets.len());
                octets[at] = octet;
            }
            let mut pieces = Vec::new();
            let mut rest = &octets[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let want = match core::str::from_utf8(&octets) {
                Ok(_) => Ok(0),
                Err(e) if e.error_len().is_none() => Ok(octets.len() - e.valid_up_to()),
                Err(e) => Err(e.valid_up_to()),
            };
            prop_assert_eq!(in_pieces(&pieces).map_err(|(_, at)| at), want);
        }
    }
}
