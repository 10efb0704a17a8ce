//! A WebSocket client and server against each other.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(websocket_pair);
