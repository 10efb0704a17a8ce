//! The secure mode of our own protocol, with somebody in between.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(secure);
