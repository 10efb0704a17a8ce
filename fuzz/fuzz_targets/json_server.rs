//! A whole server with pages over WebSocket and by requests.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(json_server);
