//! The bodies of the targets.

mod client;
mod datagram;
mod framers;
mod http;
mod hub;
mod json;
mod mqtt_codec;
mod mqtt_pair;
mod mqtt_server;
mod pair;
mod prx1;
mod secure;
mod server;
mod session;
mod tunnels;
mod websocket;
mod websocket_pair;

pub use client::{client, client_websocket};
pub use datagram::datagram;
pub use framers::framers;
pub use http::http;
pub use hub::hub;
pub use json::{json, json_server};
pub use mqtt_codec::mqtt_codec;
pub use mqtt_pair::mqtt_pair;
pub use mqtt_server::mqtt_server;
pub use pair::session_pair;
pub use prx1::prx1;
pub use secure::secure;
pub use server::server;
pub use session::{session_client, session_server};
pub use tunnels::tunnels;
pub use websocket::websocket;
pub use websocket_pair::websocket_pair;
