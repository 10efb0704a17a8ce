//! The client against our own server, on virtual time, over a line that may break after any octet.

mod behaviour;
mod lossless;
mod over_websocket;
mod world;
