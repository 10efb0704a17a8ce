//! Framers against a plain decoder of everything at once.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(framers);
