//! A client over a WebSocket, between its application and whatever is on the other end.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(client_websocket);
