//! What `src/broker/mod.rs` promises, case by case, held against every back end.
//!
//! `cargo test --test it broker_contract::memory` runs all cases on the embedded broker. With the feature
//! `test-rabbitmq`, `broker_contract::amqp` runs the same ones on the RabbitMQ of `STOMPGATE_TEST_AMQP_URL`, and
//! `broker_contract::stomp` on the STOMP plugin of `STOMPGATE_TEST_STOMP_RABBITMQ`.

#[cfg(feature = "test-rabbitmq")]
mod amqp;
pub(crate) mod fixture;
mod memory;
#[cfg(feature = "test-rabbitmq")]
mod stomp;

mod confirms;
mod durable;
mod messages;
mod queues;
mod settling;
mod topics;
mod users;

/// Calls `$run!` with every case there is. A case that some back ends are not held to says why.
macro_rules! for_each_case {
    ($run:ident) => {
        $run! {
            topics: a_topic_message_reaches_its_subscriber;
            topics: what_is_published_after_a_subscribe_reaches_it;
            topics: a_topic_keeps_the_order_of_its_publisher;
            topics: a_topic_message_reaches_all_of_many_subscribers;
            topics: a_publisher_receives_what_it_is_subscribed_to;
            topics: a_star_stands_for_one_word;
            topics: a_hash_stands_for_any_number_of_words;
            topics: wildcards_in_a_published_topic_are_words_like_others;
            topics: a_pattern_that_matches_in_many_ways_gets_it_once;
            topics: overlapping_subscriptions_of_one_session_each_get_it_once;
            topics: an_unsubscribed_topic_is_silent;
            topics: a_topic_can_be_subscribed_again;
            topics: a_closed_link_leaves_the_others_of_its_topic_alone;
            topics: a_session_that_is_given_up_does_not_disturb_the_others;
            topics: an_acknowledged_topic_delivers_no_more_than_its_prefetch;
            topics: subscribes_that_are_not_waited_for_take_effect_in_order;
            queues: a_queue_message_waits_for_its_consumer;
            queues: a_queue_keeps_the_order_of_its_publisher;
            queues: each_queue_message_goes_to_one_of_its_consumers;
            queues: consumers_with_credit_take_turns;
            queues: a_consumer_without_credit_is_passed_over;
            queues: every_ack_mode_is_held_to_its_prefetch;
            queues: an_unsubscribed_consumer_is_passed_over;
            queues: a_queue_without_consumers_keeps_what_comes;
            queues: wildcards_in_a_queue_name_are_part_of_the_name;
            queues: a_queue_name_may_hold_slashes_and_any_letters, not on stomp: "the broker writes the destination of a MESSAGE; RabbitMQ encodes what is not ASCII";
            queues: a_queue_and_a_topic_of_one_name_are_two_things;
            queues: two_consumers_of_one_session_compete_too;
            queues: a_backlog_larger_than_the_send_buffer_reaches_its_consumer;
            settling: what_is_accepted_is_gone;
            settling: what_is_discarded_is_gone;
            settling: what_is_requeued_comes_again_before_what_is_younger;
            settling: what_is_requeued_can_go_to_another_consumer;
            settling: a_closed_link_returns_what_is_unsettled_in_order;
            settling: a_dropped_link_returns_what_is_unsettled_as_well;
            settling: a_consumer_that_waits_gets_what_a_closed_link_returns;
            settling: settling_gives_credit_back;
            settling: an_unknown_token_is_ignored;
            settling: settling_twice_changes_nothing;
            settling: the_token_of_one_delivery_does_not_settle_the_next;
            settling: what_was_delivered_is_settled_after_the_unsubscribe_too, not on stomp: "brokers take no ACK for a subscription that is over";
            settling: what_is_unsettled_stays_so_after_the_unsubscribe, not on stomp: "brokers take no NACK for a subscription that is over";
            settling: many_tokens_are_settled_at_once;
            settling: tokens_of_two_subscriptions_are_settled_together;
            messages: a_body_of_a_mebibyte_arrives;
            messages: a_body_of_every_byte_arrives;
            messages: an_empty_body_arrives;
            messages: headers_of_any_text_arrive;
            messages: many_headers_arrive;
            messages: headers_with_a_meaning_elsewhere_arrive;
            messages: message_ids_are_unique;
            messages: a_wildcard_subscription_is_shown_the_published_topic;
            messages: an_expired_message_is_not_delivered;
            confirms: a_topic_without_subscribers_is_confirmed;
            confirms: publishes_are_confirmed_in_their_order;
            confirms: publishes_to_several_destinations_keep_their_order_in_each;
            confirms: a_link_that_closes_keeps_what_was_confirmed;
            durable: a_durable_subscription_keeps_what_comes_while_nobody_is_connected;
            durable: two_sessions_with_one_durable_id_compete;
            durable: durable_subscriptions_differ_by_id_and_by_topic, not on stomp: "an id is used once in a connection, and this session uses one twice";
            durable: an_unsubscribe_keeps_a_durable_subscription_unless_it_is_final;
            durable: a_final_unsubscribe_ends_the_other_sessions_of_that_id;
            durable: replies_come_to_the_session_that_asked;
            durable: two_names_for_replies_are_two_queues;
            durable: a_reply_queue_ends_with_its_session, not on amqp: "RabbitMQ drops what is sent to a queue that is not there, and confirms it", not on stomp: "the same";
            durable: a_reply_queue_that_never_was_takes_nothing, not on amqp: "RabbitMQ drops what is sent to a queue that is not there, and confirms it", not on stomp: "the same";
            durable: a_durable_subscription_returns_what_is_unsettled;
            users: a_message_to_a_user_reaches_each_of_their_sessions_once, not on stomp: "users are not served in front of a STOMP broker";
            users: a_message_to_a_user_is_shown_as_it_was_subscribed, not on stomp: "users are not served in front of a STOMP broker";
            users: a_message_to_a_user_reaches_only_what_they_subscribed, not on stomp: "users are not served in front of a STOMP broker";
            users: a_message_to_a_session_reaches_that_one_alone, not on stomp: "users are not served in front of a STOMP broker";
            users: a_session_without_a_user_is_reached_by_its_id, not on stomp: "users are not served in front of a STOMP broker";
            users: nothing_in_the_name_of_a_user_is_a_wildcard, not on stomp: "users are not served in front of a STOMP broker";
            users: the_name_of_a_user_and_the_id_of_a_session_are_two_things, not on stomp: "users are not served in front of a STOMP broker";
            users: sp56_a_user_gets_a_thousand_messages_in_their_order, not on stomp: "users are not served in front of a STOMP broker";
            users: what_is_sent_to_nobody_is_confirmed_and_not_kept, not on stomp: "users are not served in front of a STOMP broker";
            users: an_unsubscribed_user_is_silent, not on stomp: "users are not served in front of a STOMP broker";
            users: what_acknowledges_below_user_gets_everything_at_once, not on stomp: "users are not served in front of a STOMP broker";
            users: a_session_may_only_subscribe_for_itself;
        }
    };
}

use for_each_case;
