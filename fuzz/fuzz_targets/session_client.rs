//! A client against anything.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(session_client);
