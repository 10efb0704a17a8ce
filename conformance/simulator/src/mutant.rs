//! Faults on purpose: each must be caught, or the invariants prove nothing.

/// A fault in the world around the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutant {
    /// A delivery at least once vanishes after it was acknowledged.
    LoseDelivery,
    /// A delivery comes twice.
    RepeatDelivery,
    /// Two deliveries of one publisher change places.
    SwapDeliveries,
    /// The last answer to a request vanishes.
    LoseResponse,
    /// The last answer to a request comes twice.
    RepeatResponse,
    /// A responder's answer is never sent, though it was given.
    ForgetAnswer,
    /// Connections that have something to send are not woken.
    ForgetWake,
    /// The server is not told that a transport is gone.
    ForgetDisconnect,
    /// Octets change on their way.
    FlipBit,
    /// The hub is never told the time.
    ForgetHubTimer,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 10] = [
        Mutant::LoseDelivery,
        Mutant::RepeatDelivery,
        Mutant::SwapDeliveries,
        Mutant::LoseResponse,
        Mutant::RepeatResponse,
        Mutant::ForgetAnswer,
        Mutant::ForgetWake,
        Mutant::ForgetDisconnect,
        Mutant::FlipBit,
        Mutant::ForgetHubTimer,
    ];

    /// Whether it strikes at this occasion: most strike once.
    pub(crate) const fn strikes(self, occasion: u64) -> bool {
        match self {
            Mutant::ForgetWake | Mutant::ForgetHubTimer => true,
            Mutant::FlipBit => occasion % 50 == 20,
            Mutant::ForgetDisconnect => occasion == 3,
            Mutant::ForgetAnswer => occasion >= 20,
            _ => occasion == 20,
        }
    }
}
