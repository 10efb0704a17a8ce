//! The stories again, with every line over a WebSocket: what is spoken knows nothing of it. Left out are those
//! that look at how the transport itself is ended, or leave no room for a request.

use proptest::prelude::*;

use crate::endpoint::carrier::tests::over_websocket;

told_again!(over_websocket, a_handshake_that_hangs_is_given_up);
