//! A server and clients of every dialect in memory, on virtual time: one story for each rule.

#[cfg(feature = "deflate")]
mod compression;
mod cross;
mod hostile;
mod http;
mod http_parts;
mod inspect;
mod json;
mod json_requests;
mod json_rooms;
mod mqtt;
mod over_websocket;
mod plugins;
mod prx1;
mod secured;
mod store;
mod tracing;
mod web;
mod world;
