//! WebSocket frames, against tungstenite.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(websocket);
