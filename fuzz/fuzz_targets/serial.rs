//! The ends of a serial line, and what happens to octets between them.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(serial);
