//! What a page says, and what pages are told of anything.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(json);
