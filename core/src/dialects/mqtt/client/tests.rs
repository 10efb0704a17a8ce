//! A client against the server's side, on virtual time.

mod pair;
mod rules;
