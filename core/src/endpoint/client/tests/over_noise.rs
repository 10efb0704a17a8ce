//! The stories again, with every line in the records of Noise: the session knows nothing of it. Left out are those
//! that look at how the transport itself is ended, or count the octets that go over it. Then what the secure mode
//! has of its own.

use core::cell::Cell;
use core::time::Duration;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::super::*;
use crate::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use crate::entropy::Seeded;
use crate::lifecycle::Transport;
use crate::secure::{Opening, Records, Rekey, SecretKey, ServerKeys, Step};

std::thread_local! {
    /// Whether lines of this thread's worlds are in the secure mode.
    static OVER_NOISE: Cell<bool> = const { Cell::new(false) };
}

/// Tells a story again, with every line in the secure mode.
fn over_noise<T>(story: impl FnOnce() -> T) -> T {
    OVER_NOISE.set(true);
    let told = story();
    OVER_NOISE.set(false);
    told
}

pub(super) fn is_told() -> bool {
    OVER_NOISE.get()
}

/// These settings, in the secure mode where that is told.
pub(super) fn secure(mut config: ClientConfig) -> ClientConfig {
    if is_told() && config.noise.is_none() {
        let server = ServerTrust::Keys(vec![server_key().public()]);
        config.noise = Some(quick(NoiseKeys::Static { own: None, server }));
    }
    config
}

/// Keys change all the time.
fn quick(keys: NoiseKeys) -> NoiseConfig {
    let mut noise = NoiseConfig::new(keys);
    noise.rekey = Rekey { octets: 300, every: Duration::from_secs(1) };
    noise
}

fn server_key() -> SecretKey {
    SecretKey::from_octets([7; 32])
}

/// The server's side of a line.
pub(in crate::endpoint) struct Side {
    keys: ServerKeys,
    opening: Option<Opening>,
    records: Option<Records>,
}

impl Default for Side {
    fn default() -> Self {
        let mut keys = ServerKeys::default();
        keys.own = Some(server_key());
        Self { keys, opening: Some(Opening::accept()), records: None }
    }
}

impl Side {
    pub(in crate::endpoint) fn decode(
        &mut self,
        received: &mut GrowingRecvBuf,
        to_send: &mut SharedSendBuf,
        within: &mut GrowingRecvBuf,
    ) {
        if let Some(opening) = &mut self.opening {
            match opening.recv(received, Some(&self.keys), &mut Seeded::new(9)) {
                Ok(Step::Done(opened)) => {
                    let rekey = Rekey { octets: 200, every: Duration::from_millis(300) };
                    self.records = Some(Records::new(opened, rekey));
                    self.opening = None;
                }
                Ok(_) => opening.poll_transmit(to_send),
                Err(fault) => {
                    opening.refuse(fault.refusal());
                    opening.poll_transmit(to_send);
                    self.opening = None;
                }
            }
        }
        let Some(records) = &mut self.records else { return };
        while records.recv(received).unwrap() {}
        let opened = records.opened();
        let n = opened.filled().len();
        assert_eq!(within.push(opened.take(n)), n);
    }

    pub(in crate::endpoint) fn encode(
        &mut self,
        now: Instant,
        owed: Transport,
        within: &mut SharedSendBuf,
        to_send: &mut SharedSendBuf,
    ) -> Transport {
        let Some(records) = &mut self.records else { return Transport::Open };
        let octets: Vec<u8> = within.slices().flatten().copied().collect();
        within.sent(octets.len());
        records.seal(now, to_send, |sealing| sealing.put(&octets));
        owed
    }
}

again! { over_noise:
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
        over_noise(|| super::delivery::cuts_and_delays(seed));
    }
}
