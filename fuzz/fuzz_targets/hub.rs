//! The hub against a plain model of what its peers know.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(hub);
