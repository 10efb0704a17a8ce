//! Flow control: how much a peer may send ([`credit`]), and how fast ([`rate`]).

pub mod credit;
pub mod rate;
