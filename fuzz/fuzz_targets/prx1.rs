//! PRX1, whatever comes.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(prx1);
