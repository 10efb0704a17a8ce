//! Messages from one dialect to the others.
