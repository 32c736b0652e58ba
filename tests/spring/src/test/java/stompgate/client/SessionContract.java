package stompgate.client;

import static java.util.concurrent.TimeUnit.SECONDS;
import static java.util.stream.IntStream.range;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.UUID;

import org.junit.jupiter.api.Test;
import org.springframework.messaging.simp.stomp.ConnectionLostException;
import org.springframework.messaging.simp.stomp.StompHeaders;

/** What a Spring client does with any STOMP server, by one transport. */
abstract class SessionContract {
    private static final int SPLIT_BYTES = 512;

    private final Transport transport;

    SessionContract(Transport transport) {
        this.transport = transport;
    }

    @Test
    void sp38ConnectedNamesTheVersionAndTheUser() throws Exception {
        try (var ann = connect("ann")) {
            var headers = Peer.inTime(ann.connected);
            assertEquals("1.2", headers.getFirst("version"));
            assertEquals("ann", headers.getFirst("user-name"));
        }
    }

    @Test
    void sp1WhatOneSessionSendsAnotherOneReceives() throws Exception {
        var topic = unique("/topic/");
        try (var ann = connect("ann"); var joe = connect("joe")) {
            var inbox = joe.subscribe(topic);
            ann.confirmed(headers -> {
                headers.setDestination(topic);
                headers.set("x-own", "a:b");
                return ann.session.send(headers, "hello".getBytes());
            });
            var message = inbox.next();
            assertEquals("hello", message.body());
            assertEquals(topic, message.headers().getDestination());
            assertEquals(inbox.subscription.getSubscriptionId(), message.headers().getSubscription());
            assertEquals("a:b", message.headers().getFirst("x-own"));
        }
    }

    @Test
    void sp83AReceiptNamesItsFrame() throws Exception {
        try (var ann = connect("ann")) {
            var asked = new StompHeaders[1];
            var receipt = ann.confirmed(headers -> {
                headers.setDestination(unique("/topic/"));
                asked[0] = headers;
                return ann.session.send(headers, new byte[0]);
            });
            assertEquals(asked[0].getReceipt(), receipt.getReceiptId());
        }
    }

    @Test
    void sp55AThousandMessagesComeBackInOrder() throws Exception {
        var topic = unique("/topic/");
        try (var ann = connect("ann")) {
            var inbox = ann.subscribe(topic);
            range(0, 1000).forEach(i -> ann.sendUnconfirmed(topic, "" + i));
            assertEquals(range(0, 1000).mapToObj(i -> "" + i).toList(), inbox.bodies(1000));
        }
    }

    @Test
    void aQueueIsForOneOfItsConsumersAndWaitsForThem() throws Exception {
        var queue = unique("/queue/");
        try (var ann = connect("ann")) {
            ann.send(queue, "one");
            ann.send(queue, "two");
            var inbox = ann.subscribe(queue);
            assertEquals("one", inbox.next().body());
            assertEquals("two", inbox.next().body());
        }
    }

    @Test
    void sp83AFrameMaySpanManyMessages() throws Exception {
        var topic = unique("/topic/");
        var body = "0123456789".repeat(700);
        try (var ann = Peer.connect(transport, "ann", it -> it.setOutboundMessageSizeLimit(SPLIT_BYTES))) {
            var inbox = ann.subscribe(topic);
            ann.send(topic, body);
            assertEquals(body, inbox.next().body());
        }
    }

    @Test
    void nothingComesAfterUnsubscribe() throws Exception {
        var topic = unique("/topic/");
        try (var ann = connect("ann")) {
            var ended = ann.subscribe(topic);
            var other = ann.subscribe(topic);
            ann.confirmed(headers -> {
                ended.subscription.unsubscribe(headers);
                return ended.subscription;
            });
            ann.send(topic, "late");
            assertEquals("late", other.next().body());
            // Frames come in order, and the RECEIPT of this one after whatever the first SEND led to.
            ann.send(topic, "later");
            assertTrue(ended.isEmpty(), "nothing comes to a subscription that has ended");
        }
    }

    /** The gateway closes a client that is silent for three seconds, and Spring's client a silent gateway. */
    @Test
    void sp83HeartBeatsKeepASilentSessionAlive() throws Exception {
        try (var ann = Peer.connect(transport, "ann", it -> it.setDefaultHeartbeat(new long[] {1000, 1000}))) {
            assertEquals("1000,1000", Peer.inTime(ann.connected).getFirst("heart-beat"));
            assertTrue(ann.watch.heartbeats.await(Peer.ANSWER_SECONDS, SECONDS), Watch.HEARTBEATS + " heart-beats");
            ann.send(unique("/topic/"), "still here");
        }
    }

    @Test
    void sp51AFrameThatIsRefusedGetsAnErrorAndTheEnd() throws Exception {
        try (var ann = connect("ann")) {
            var headers = new StompHeaders();
            headers.setDestination("/bogus/x");
            headers.setReceipt("mine");
            ann.session.send(headers, new byte[0]);
            var error = Peer.inTime(ann.error);
            assertEquals("Unknown destination", error.getFirst("message"));
            assertEquals("mine", error.getReceiptId());
            assertInstanceOf(ConnectionLostException.class, Peer.inTime(ann.lost));
            assertEquals(1002, Peer.inTime(ann.watch.closed).getCode());
        }
    }

    @Test
    void aWrongPasscodeIsAnErrorBeforeConnected() throws Exception {
        var refused = assertThrows(Exception.class, () -> connect("nobody").close());
        assertInstanceOf(ConnectionLostException.class, refused.getCause());
    }

    final Peer connect(String user) throws Exception {
        return Peer.connect(transport, user);
    }

    static String unique(String kind) {
        return kind + "spring-" + UUID.randomUUID();
    }
}
