//! The fields of a head that was found to be well-formed.

/// Fields, in the order in which they came; they borrow the head.
///
/// Their lines are read again each time, which costs less than a table of them: most are never asked
/// for.
///
/// ```
/// use bowline_core::http::RequestHead;
/// let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\r\n";
/// let request = RequestHead::parse(head)?;
/// assert_eq!(request.headers.get("connection"), Some(&b"keep-alive, Upgrade"[..]));
/// assert!(request.headers.has_token("Connection", "upgrade"));
/// # Ok::<(), bowline_core::http::Fault>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'b> {
    /// Whole lines, each a field, without the empty line that ends them.
    lines: &'b [u8],
}

impl<'b> Headers<'b> {
    /// Of lines that were checked: each has a colon, and ends in CRLF.
    pub(super) const fn new(lines: &'b [u8]) -> Self {
        Self { lines }
    }

    /// Names as they were written, and values without the white space around them. A value may have
    /// any octets but controls.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        let mut rest = self.lines;
        core::iter::from_fn(move || {
            let end = memchr::memchr(b'\n', rest)?;
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            let colon = memchr::memchr(b':', line)?;
            Some((core::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
        })
    }

    /// The values of all fields of that name, whatever its letters' case.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// The same as text; nothing where it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'b str> {
        core::str::from_utf8(self.get(name)?).ok()
    }

    /// The elements of lists between commas, of all fields of that name together (RFC 9110 §5.6.1).
    /// Empty ones are left out, and so is what is not UTF-8.
    pub fn list<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b str> + use<'b, 'n> {
        let elements = self.all(name).flat_map(|value| value.split(|b| *b == b','));
        elements.filter_map(|e| core::str::from_utf8(e.trim_ascii()).ok()).filter(|e| !e.is_empty())
    }

    /// Whether such a list has this element, whatever its letters' case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|element| element.eq_ignore_ascii_case(token))
    }

    /// The lines as they were written.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.lines
    }
}
