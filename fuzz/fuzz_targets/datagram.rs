//! Two endpoints of datagram sessions, the path between them, and a hostile third.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(datagram);
