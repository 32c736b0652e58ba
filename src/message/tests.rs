//! What a subscriber is sent, and what is shared.

use super::*;

fn message() -> Message {
    let headers = Headers::from_iter([("content-type", "text/plain"), ("reply", "a:b\\c")]);
    Message::new("m-1", "/topic/a:b", headers, Bytes::from_static(b"hi"))
}

fn check(frame: &[u8], expected: &str) {
    assert_eq!(str::from_utf8(frame).unwrap(), expected);
}

#[test]
fn a_delivery_is_written_as_its_version_wants_it() {
    let expected = "MESSAGE\nsubscription:sub-0\ndestination:/topic/a:b\nmessage-id:m-1\nredelivered:false\n\
                    content-type:text/plain\nreply:a:b\\c\ncontent-length:2\n\nhi\0";
    check(&message().shared_frame(Version::V1_0, Some("sub-0")), expected);
    let expected = "MESSAGE\nsubscription:sub-0\ndestination:/topic/a\\cb\nmessage-id:m-1\nredelivered:false\n\
                    content-type:text/plain\nreply:a\\cb\\\\c\ncontent-length:2\n\nhi\0";
    check(&message().shared_frame(Version::V1_1, Some("sub-0")), expected);
    check(&message().shared_frame(Version::V1_2, Some("sub-0")), expected);
}

#[test]
fn only_version_1_2_has_an_ack_header_and_only_when_an_ack_is_awaited() {
    let message = Message::new("m-1", "/queue/a", Headers::new(), Bytes::new());
    let marks = Marks { ack_id: Some("T_7"), redelivered: true, ..Marks::default() };
    let old = "MESSAGE\nsubscription:s\ndestination:/queue/a\nmessage-id:T_7\nredelivered:true\n\n\0";
    check(&message.frame(Version::V1_0, Some("s"), marks), old);
    check(&message.frame(Version::V1_1, Some("s"), marks), old);
    let new = "MESSAGE\nsubscription:s\ndestination:/queue/a\nmessage-id:T_7\nredelivered:true\nack:T_7\n\n\0";
    check(&message.frame(Version::V1_2, Some("s"), marks), new);
    let unacknowledged = "MESSAGE\nsubscription:s\ndestination:/queue/a\nmessage-id:m-1\nredelivered:false\n\n\0";
    check(&message.frame(Version::V1_2, Some("s"), Marks::default()), unacknowledged);
}

#[test]
fn s28_a_loss_is_told_once_and_to_nobody_else() {
    let message = Message::new("m-1", "/topic/a", Headers::new(), Bytes::new());
    let told = "MESSAGE\nsubscription:s\ndestination:/topic/a\nmessage-id:m-1\nredelivered:false\nx-dropped:12\n\n\0";
    let marks = Marks { dropped: 12, ..Marks::default() };
    for version in [Version::V1_0, Version::V1_1, Version::V1_2] {
        check(&message.frame(version, Some("s"), marks), told);
        check(&message.shared_frame(version, Some("s")), &told.replace("x-dropped:12\n", ""));
    }
}

#[test]
fn a3_without_an_id_there_is_no_subscription_header() {
    let expected = "MESSAGE\ndestination:/queue/a\nmessage-id:m-1\nredelivered:false\n\n\0";
    let message = Message::new("m-1", "/queue/a", Headers::new(), Bytes::new());
    check(&message.shared_frame(Version::V1_2, Some("s")), &format!("MESSAGE\nsubscription:s{}", &expected[7..]));
    check(&message.shared_frame(Version::V1_2, None), expected);
}

#[test]
fn a_publisher_can_not_speak_for_the_gateway() {
    let own =
        ["ack", "content-length", "destination", "message-id", "redelivered", "subscription", "user-name", "x-dropped"];
    for name in own.into_iter().chain(["stompgate-", "stompgate-error"]) {
        for written in [name.to_owned(), format!("{name} "), format!("\t{name}"), format!("\u{FEFF}{name}\u{A0}")] {
            assert!(is_own_header(&written), "{written:?}");
        }
    }
    for name in ["", " ", "Ack", "message", "message-id-2", "user", "stompgate", "x-stompgate-error", "content-type"] {
        assert!(!is_own_header(name), "{name:?}");
    }
}

#[test]
fn the_same_subscription_id_and_version_share_their_bytes() {
    let message = message();
    let first = message.shared_frame(Version::V1_2, Some("sub-0"));
    assert_eq!(message.clone().shared_frame(Version::V1_2, Some("sub-0")).as_ptr(), first.as_ptr());
    for (version, subscription) in [(Version::V1_1, "sub-0"), (Version::V1_2, "sub-1")] {
        let other = message.shared_frame(version, Some(subscription));
        assert_ne!(other.as_ptr(), first.as_ptr());
        assert!(str::from_utf8(&other).unwrap().contains(&format!("subscription:{subscription}\n")));
    }
}

#[test]
fn a_message_remembers_few_frames_whatever_ids_clients_use() {
    let message = message();
    let mut frames: Vec<Bytes> =
        (0..100).map(|it| message.shared_frame(Version::V1_2, Some(&format!("client-{it}")))).collect();
    let remembered = frames.iter().filter(|it| !it.is_unique()).count();
    assert_eq!(remembered, 4);
    // Those that came last; a client that came back is remembered again.
    assert!(frames[..96].iter().all(Bytes::is_unique));
    frames.push(message.shared_frame(Version::V1_2, Some("client-0")));
    assert_eq!(message.shared_frame(Version::V1_2, Some("client-0")).as_ptr(), frames[100].as_ptr());
}

#[test]
fn the_size_of_a_message_counts_all_it_holds() {
    assert_eq!(message().size(), "/topic/a:b".len() + "content-typetext/plainreplya:b\\c".len() + 2);
}
