//! Two sessions against each other, across cuts.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(session_pair);
