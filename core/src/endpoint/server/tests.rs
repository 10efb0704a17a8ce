//! A server and its clients in memory, on virtual time.
