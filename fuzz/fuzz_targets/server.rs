//! A whole server among honest clients, liars and noise.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(server);
