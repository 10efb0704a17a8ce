//! Answers that wait for a store, and a server that starts again.
