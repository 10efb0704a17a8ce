//! A whole server that is asked over HTTP, and opened to WebSockets.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(http);
