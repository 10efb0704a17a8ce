//! What a subscription has to do with the values that topics keep.

/// Which retained messages a subscription begins with: MQTT's Retain Handling, and our own
/// protocol's parameter of the same meaning (SPEC §5.1).
///
/// ```
/// use bowline_core::retain::RetainHandling;
/// assert_eq!(RetainHandling::from_number(1), Some(RetainHandling::SendIfNew));
/// assert_eq!(RetainHandling::from_number(3), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetainHandling {
    /// Those that match, each time.
    #[default]
    Send,
    /// Those that match if the subscription is new.
    SendIfNew,
    /// None.
    Never,
}

impl RetainHandling {
    /// The number that it has on the wire: 0, 1, 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The one with this number; 3 and above mean nothing.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::Never),
            _ => None,
        }
    }
}
