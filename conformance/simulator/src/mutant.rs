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
    /// Of a broker: it is told that a batch is committed when that is begun.
    CommitEarly,
    /// Of a broker: a transaction is torn by its death, not dropped whole.
    TearTransaction,
    /// Of a broker: that an identifier was received with QoS 2 is not stored.
    ForgetReceived,
    /// Of a broker: that such an identifier is free again is not stored.
    ForgetForgotten,
    /// Of a broker: that a delivery was sent is not stored.
    ForgetSent,
    /// Of a broker: that a delivery with QoS 2 was received is not stored.
    ForgetReleased,
    /// Of a broker: tasks are not stored.
    ForgetTask,
    /// Of a broker: retained messages are not stored.
    ForgetRetained,
    /// Of a broker: subscriptions are not stored.
    ForgetSubscription,
    /// Of a broker: what waits for a session is restored backwards.
    ReverseQueue,
    /// Of a broker: its clients do not know what they received with QoS 2.
    ForgetAsClient,
    /// Of a room: what a restart begins has the name of the epoch before.
    ForgetEpoch,
    /// Of a room: a page sends again under another key.
    ForgetKey,
    /// Of a room: the last message that a member reads back vanishes.
    LoseHistory,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 24] = [
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
        Mutant::CommitEarly,
        Mutant::TearTransaction,
        Mutant::ForgetReceived,
        Mutant::ForgetForgotten,
        Mutant::ForgetSent,
        Mutant::ForgetReleased,
        Mutant::ForgetTask,
        Mutant::ForgetRetained,
        Mutant::ForgetSubscription,
        Mutant::ReverseQueue,
        Mutant::ForgetAsClient,
        Mutant::ForgetEpoch,
        Mutant::ForgetKey,
        Mutant::LoseHistory,
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
