//! A client against a scripted server in memory, on virtual time.

mod anything;
mod connecting;
mod delivery;
mod ending;
mod flow;
mod over_websocket;
mod requests;
mod rooms;
mod world;
