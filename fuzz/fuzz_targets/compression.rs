//! Compressed payloads through a server, some of them made up.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(compression);
