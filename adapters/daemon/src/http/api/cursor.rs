//! Where a row stands in a sorted list, and how a page says where the next goes on.

use std::hash::{DefaultHasher, Hasher};

/// Octets of a name at most by which it is sorted; those that are the same up to there are sorted by what
/// follows in no order that means anything, but always the same.
const SORTED: usize = 256;

/// The place of a row: what weighs most first, then by name as people read it, then by what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// What is missing to the most weight.
    light: u64,
    name: Vec<u8>,
    id: u64,
}

impl Place {
    pub(super) fn new(weight: u64, name: &str, id: u64) -> Self {
        Self { light: u64::MAX - weight, name: natural(name), id }
    }

    /// The text of a cursor.
    pub(super) fn text(&self) -> String {
        let octets = [&self.light.to_be_bytes()[..], &self.id.to_be_bytes(), &self.name].concat();
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// What a cursor's text says; nothing if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_hex || !text.len().is_multiple_of(2) || text.len() > 2 * (16 + SORTED) {
            return None;
        }
        let octets = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok());
        let octets = octets.collect::<Option<Vec<u8>>>()?;
        let (light, rest) = octets.split_first_chunk()?;
        let (id, name) = rest.split_first_chunk()?;
        Some(Self { light: u64::from_be_bytes(*light), name: name.to_vec(), id: u64::from_be_bytes(*id) })
    }
}

/// A name in other octets, whose order is the one that people expect: large letters are as small ones,
/// and 9 comes before 10.
fn natural(name: &str) -> Vec<u8> {
    let small: String = name.chars().take(SORTED).flat_map(char::to_lowercase).collect();
    let (mut octets, mut rest) = (Vec::with_capacity(small.len()), &*small);
    while let Some(first) = rest.chars().next() {
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let (run, behind) = rest.split_at(if behind.len() < rest.len() {
            rest.len() - behind.len()
        } else {
            first.len_utf8()
        });
        if first.is_ascii_digit() {
            // How many digits it has decides, where digits have their place among other letters.
            let number = run.trim_start_matches('0');
            octets.extend([b'0', u8::try_from(number.len()).unwrap_or(u8::MAX)]);
            octets.extend(number.bytes());
        } else {
            octets.extend(run.bytes());
        }
        rest = behind;
    }
    octets.truncate(SORTED);
    octets
}

/// What tells one name from another.
pub(super) fn id_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_that_people_expect() {
        let sorted = [
            "",
            "#",
            "+/a",
            "2",
            "03",
            "10",
            "a",
            "A/1",
            "a/9",
            "a/10",
            "a/10/x",
            "a/010b",
            "a/123456789012",
            "B",
            "room-2",
            "room-10",
            "zoé",
            "Zürich",
            "Ωmega",
        ];
        let mut places: Vec<(Place, &str)> =
            sorted.iter().rev().map(|name| (Place::new(0, name, 0), *name)).collect();
        places.sort();
        assert_eq!(places.iter().map(|(_, name)| *name).collect::<Vec<_>>(), sorted);
        // What weighs more comes first, whatever it is called.
        assert!(Place::new(2, "z", 9) < Place::new(1, "a", 1));
        assert!(Place::new(1, "a", 1) < Place::new(1, "a", 2));
    }

    #[test]
    fn a_cursor_is_short_and_leads_back() {
        for (weight, name) in [(0, ""), (u64::MAX, "é/10"), (7, &*"long/1".repeat(20_000))] {
            let place = Place::new(weight, name, id_of(name));
            let text = place.text();
            assert!(text.len() <= 2 * (16 + SORTED), "{}", text.len());
            assert_eq!(Place::parse(&text), Some(place));
        }
        for wrong in ["", "-1", "00", "%zz", &"0".repeat(31), &"é".repeat(16), &"0".repeat(2 * (17 + SORTED))]
        {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
