//! The store against a model of what it should hold, and in trouble.

mod model;
mod round_trip;
mod trouble;
