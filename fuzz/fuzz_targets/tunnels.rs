//! Tunnels, from both ends.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(tunnels);
