//! Whole endpoints: a server with its hub, and clients that stay connected.

/// Tells stories of neighbouring modules again, each by a function that has its world differ: another carrier,
/// or compression.
#[cfg(test)]
macro_rules! again {
    ($telling:ident: $($about:ident: $($story:ident)*;)*) => {
        $(mod $about {
            $(#[test]
            fn $story() {
                super::$telling(super::super::$about::$story);
            })*
        })*
    };
}

pub mod bridge;
mod carrier;
pub mod client;
mod message;
pub mod mqtt_client;
pub mod server;
pub mod web_stream;
