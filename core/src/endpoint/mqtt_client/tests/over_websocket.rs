//! Every story again, with every line over a WebSocket: what is spoken knows nothing of it.

use proptest::prelude::*;

use super::lossless::{lossless, op};
use crate::endpoint::carrier::tests::over_websocket;

again! { over_websocket:
    behaviour:
        what_is_published_offline_waits_in_order_within_limits
        a_full_queue_refuses_or_drops_the_oldest
        a_lost_session_is_made_anew
        filters_of_a_session_from_before_can_be_given_up
        what_was_in_flight_is_published_anew
        the_will_is_published_when_the_line_breaks_and_not_after_a_close
        messages_are_routed_by_identifier_or_by_filter
        a_subscription_tells_what_became_of_each_filter
        what_is_not_acknowledged_by_hand_comes_again
        nothing_is_read_while_nobody_takes_events
        an_expiry_goes_on_while_a_message_waits
        the_server_may_choose_the_client_identifier
        what_would_fail_again_is_not_tried_again
        a_drain_finishes_what_waits_and_a_close_does_not
        a_silent_server_is_given_up
        an_authentication_goes_step_by_step
        names_and_secrets_stay_out_of_debug
        a_server_may_send_the_client_elsewhere
    ;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn nothing_is_lost_and_qos_2_comes_once(
        v5 in any::<bool>(),
        window in 1u16..5,
        ops in prop::collection::vec(op(), 0..120),
    ) {
        over_websocket(|| lossless(v5, window, ops))?;
    }
}
