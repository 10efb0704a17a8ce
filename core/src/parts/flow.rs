//! Flow control: how much a peer may send ([`credit`]).

pub mod credit;
