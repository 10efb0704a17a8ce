//! Every story again, with every line over a WebSocket: what is spoken knows nothing of it.

use super::world::over_websocket;

macro_rules! again {
    ($($dialect:ident: $($story:ident)*;)*) => {
        $(mod $dialect {
            $(#[test]
            fn $story() {
                super::over_websocket(super::super::$dialect::$story);
            })*
        })*
    };
}

again! {
    cross:
        messages_reach_all_dialects
        retained_messages_reach_all_dialects
        events_tell_the_dialects
        properties_go_along
        requests_cross_dialects
        a_will_expires_from_its_publication_on
    ;
    mqtt:
        messages_reach_subscribers
        each_quality_is_acknowledged_in_its_way
        exactly_once_in_is_exactly_once
        what_was_not_settled_comes_again
        the_clients_receive_maximum_is_kept
        the_servers_receive_maximum_is_enforced
        what_a_client_cannot_take_is_left_out
        nobody_and_nothing_are_told
        a_client_identifier_is_taken_over
        who_has_no_identifier_gets_one_or_is_refused
        another_user_does_not_get_a_session
        a_will_is_published_unless_its_client_leaves
        a_will_waits
        sessions_stay_as_long_as_they_are_to
        retained_messages_come_as_they_are_asked_for
        overlapping_subscriptions_get_one_message
        shared_subscriptions_are_balanced
        topics_and_filters_are_checked
        silence_ends_a_connection
        topic_aliases_are_resolved
        a_draining_server_redirects
        the_server_says_why_it_ends
        what_does_not_begin_well_ends
        enhanced_authentication
        a_client_that_takes_too_little_is_told
    ;
    prx1:
        who_proves_who_it_is_comes_in
        messages_and_their_acknowledgements
        the_last_value_is_kept
        the_same_user_again_goes_on_with_its_session
        silence_and_nonsense_close
        queues_hand_out_what_waits_when_they_are_drained
        a_draining_server_lets_go_who_has_acknowledged
    ;
    store:
        what_is_acknowledged_is_stored_before
        what_is_said_again_is_answered_no_sooner
        a_session_that_is_discarded_does_not_come_back
        our_own_protocol_and_prx1_wait_as_well
        a_close_waits_for_what_came_before_it
        a_store_that_takes_nothing_is_told_where_there_are_words
        sessions_of_mqtt_outlive_the_server
        sessions_of_our_own_protocol_outlive_the_server
        sessions_of_prx1_outlive_the_server
        a_store_that_is_behind_slows_its_publishers
    ;
}
