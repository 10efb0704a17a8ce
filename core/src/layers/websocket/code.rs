//! Close codes (RFC 6455, section 7.4).

/// Why a connection is closed, as a Close frame carries it, or as it is told in place of one
/// ([`NO_STATUS`](CloseCode::NO_STATUS), [`ABNORMAL`](CloseCode::ABNORMAL)).
///
/// ```
/// use bowline_core::websocket::CloseCode;
/// assert!(CloseCode::NORMAL.is_sendable() && CloseCode(4000).is_sendable());
/// assert!(!CloseCode::NO_STATUS.is_sendable() && !CloseCode(999).is_sendable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose was fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// A protocol error.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of data that is not accepted here.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A Close frame came without a code. Never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// The connection ended without a Close frame. Never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// Data that does not fit its kind: text that is not UTF-8, a deflate stream that is none.
    pub const INVALID_DATA: Self = Self(1007);
    /// A policy was violated.
    pub const POLICY: Self = Self(1008);
    /// A message too big to be taken.
    pub const TOO_BIG: Self = Self(1009);
    /// The server chose none of the extensions that a client needs.
    pub const EXTENSION: Self = Self(1010);
    /// The server met something unexpected.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts.
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded: come back later.
    pub const TRY_AGAIN: Self = Self(1013);
    /// A gateway got a bad answer.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether a Close frame may carry it: what sections 7.4.1 and 7.4.2 define, or IANA registered
    /// since (1012 to 1014), and 3000 to 4999, which libraries and applications use.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl core::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 7.4.1, and what is reserved in 7.4.2.
    #[test]
    fn which_codes_a_frame_may_carry() {
        let all: std::vec::Vec<u16> = (0..=u16::MAX).filter(|n| CloseCode(*n).is_sendable()).collect();
        let want = (1000..=1003).chain(1007..=1014).chain(3000..=4999);
        assert!(all.into_iter().eq(want));
    }
}
