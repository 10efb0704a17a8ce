//! A client against a scripted server in memory, on virtual time.

mod anything;
mod connecting;
mod delivery;
mod ending;
mod flow;
#[cfg(feature = "noise")]
pub(in crate::endpoint) mod over_noise;
mod over_websocket;
mod requests;
mod rooms;
mod world;
