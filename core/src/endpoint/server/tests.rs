//! A server and clients of every dialect in memory, on virtual time: one story for each rule.

mod cross;
mod hostile;
mod http;
mod inspect;
mod json;
mod json_requests;
mod mqtt;
mod over_websocket;
mod prx1;
mod store;
mod tracing;
mod web;
mod world;
