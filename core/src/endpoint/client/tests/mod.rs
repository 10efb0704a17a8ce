//! A client against a scripted server in memory, on virtual time.

/// The stories that are told again whatever carries a line, by a function that has their worlds differ; after it, those
/// of `connecting` that not every carrier can tell. Left out are those that look at how the transport itself is ended,
/// or count its octets.
macro_rules! told_again {
    ($telling:ident $(, $also:ident)*) => {
        again! { $telling:
            connecting:
                each_authentication_connects_or_ends_it
                a_server_that_does_not_know_the_password_is_left
                octets_may_come_one_by_one
                attempts_back_off_and_go_round_the_endpoints
                a_limit_of_attempts_or_of_patience_ends_it
                what_cannot_get_better_ends_it_and_the_rest_does_not
                a_session_that_is_refused_is_forgotten_once
                a_session_that_the_server_ended_is_not_resumed
                credentials_that_do_not_fit_end_it
                time_that_jumps_does_no_harm
                a_silent_server_is_found_out_and_an_idle_one_is_kept
                $($also)*
            ;
            delivery:
                a_cut_at_every_octet_loses_and_doubles_nothing
                two_cuts_one_after_the_other_do_not_either
                a_large_message_drops_nothing_where_it_cannot_fit
                at_most_once_is_accepted_when_written
                order_is_kept_between_both_kinds_also_from_offline
                a_lost_session_sends_again_and_says_so
                sessions_that_do_not_outlive_connections_are_lost_each_time
                only_unanswered_subscriptions_are_sent_again_after_a_resume
                a_refused_subscription_is_no_more
                the_offline_queue_keeps_its_limits_and_its_policy
                what_is_in_flight_is_not_dropped_for_newer_ones
                at_most_once_waits_for_a_connection_only_if_wanted
                what_has_waited_too_long_or_is_too_large_is_dropped
                messages_keep_topic_properties_and_payload
                it_speaks_with_the_server_of_this_crate
                an_acknowledgement_lets_the_next_ones_go
            ;
            ending:
                close_ends_the_session_and_is_the_last_event
                nothing_comes_after_the_last_event
                close_without_a_connection_is_at_once
                a_drain_finishes_all_over_connections_if_it_must
                a_drain_waits_for_answers_until_its_deadline
                an_idle_drain_is_done_at_once
                a_server_that_drains_is_left_for_where_it_says
                a_server_that_drains_is_left_at_its_deadline
                a_faulty_server_is_told_and_left_for_a_while
                a_reason_without_words_is_its_code
            ;
            flow:
                a_stalled_application_gets_no_more_credit_and_bounds_memory
                at_the_limit_nothing_is_read_and_nobody_is_taken_for_dead
                a_subscriptions_own_window_blocks_it_alone
                reliable_messages_are_acknowledged_when_taken
                messages_for_an_ended_subscription_are_taken_as_received
                connections_that_fail_do_not_pile_up_events
                pings_measure_the_round_trip
                commands_of_the_servers_are_answered
                what_waits_to_be_sent_does_not_hide_that_the_transport_takes_nothing
            ;
            requests:
                a_request_is_answered_once
                many_answers_come_until_the_last
                a_request_ends_here_when_its_time_is_up
                a_request_ends_with_its_connection_but_waits_for_one
                a_cancelled_request_is_told_and_its_answer_ignored
                requests_have_a_limit
                requests_to_us_are_answered
                requests_that_nobody_can_answer_are_answered_at_once
                a_request_to_us_ends_by_cancel_and_with_its_connection
                an_id_in_use_breaks_the_rules
                a_request_that_is_not_taken_ends_with_the_reason
            ;
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            /// Random cuts, pieces, room and pauses: all arrives once and in order.
            #[test]
            fn random_cuts_and_delays(seed in any::<u64>()) {
                $telling(|| super::delivery::cuts_and_delays(seed));
            }
        }
    };
}

mod anything;
mod connecting;
mod delivery;
mod ending;
mod flow;
#[cfg(feature = "noise")]
pub(in crate::endpoint) mod over_noise;
mod over_websocket;
mod requests;
mod rooms;
mod world;
