package stompgate.client;

import static java.util.stream.IntStream.rangeClosed;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicBoolean;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.springframework.messaging.simp.stomp.StompHeaders;
import stompgate.Handlers;

/** /app, answered by an HTTP service that behaves as Spring's controllers do. */
@Tag("app")
class AppTest {
    private static Handlers handlers;

    @BeforeAll
    static void startHandlers() throws Exception {
        handlers = new Handlers();
    }

    @AfterAll
    static void stopHandlers() {
        handlers.close();
    }

    @Test
    void sp53AReplyGoesToTheTopicOfItsPath() throws Exception {
        try (var ann = connect("ann"); var joe = connect("joe")) {
            var inbox = joe.subscribe("/topic/increment");
            ann.send("/app/increment", "5");
            var message = inbox.next();
            assertEquals("6", message.body());
            assertEquals("/topic/increment", message.headers().getDestination());
        }
    }

    @Test
    void sp52AReceiptSaysThatTheHandlerHasAnswered() throws Exception {
        try (var ann = connect("ann")) {
            ann.send("/app/nothing", "x");
            assertTrue(ann.session.isConnected());
        }
    }

    @Test
    void sp57ASubscriptionIsAnsweredOnceAndDirectly() throws Exception {
        try (var ann = connect("ann")) {
            var inbox = new Inbox(ann.watch);
            inbox.subscription = ann.session.subscribe("/app/number", inbox);
            var message = inbox.next();
            assertEquals("42", message.body());
            assertEquals("/app/number", message.headers().getDestination());
            assertEquals(inbox.subscription.getSubscriptionId(), message.headers().getSubscription());
        }
    }

    @Test
    void anAnsweredSubscriptionMayBeUnsubscribed() throws Exception {
        try (var ann = connect("ann")) {
            var inbox = ann.subscribe("/app/number");
            assertEquals("42", inbox.next().body());
            ann.confirmed(headers -> {
                inbox.subscription.unsubscribe(headers);
                return inbox.subscription;
            });
            assertTrue(inbox.isEmpty());
        }
    }

    @Test
    @Tag("user")
    void sp58AnExceptionGoesToTheUser() throws Exception {
        try (var ann = connect("ann")) {
            var inbox = ann.subscribe("/user/queue/error");
            ann.sendUnconfirmed("/app/bad", "x");
            var message = inbox.next();
            assertEquals("Got error: Bad input", message.body());
            assertEquals("/user/queue/error", message.headers().getDestination());
        }
    }

    @Test
    @Tag("user")
    void sp59WhatAHandlerKeepsForASessionIsItsOwnAndInOrder() throws Exception {
        try (var ann = connect("ann"); var again = connect("ann")) {
            var inbox = ann.subscribe("/user/queue/sum");
            rangeClosed(1, 10).forEach(i -> ann.sendUnconfirmed("/app/sum", "" + i));
            assertEquals("55", inbox.bodies(10).get(9));
            again.send("/app/sum", "1");
            assertEquals("1", inbox.next().body());
        }
    }

    @Test
    @Tag("user")
    void sp74AReplyMayBeForTheSessionAlone() throws Exception {
        try (var ann = connect("ann"); var again = connect("ann")) {
            var mine = ann.subscribe("/user/queue/mine");
            var others = again.subscribe("/user/queue/mine");
            ann.send("/app/mine", "first");
            again.send("/app/mine", "second");
            assertEquals("first", mine.next().body());
            assertEquals("second", others.next().body());
            assertTrue(mine.isEmpty() && others.isEmpty());
        }
    }

    @Test
    void sp74AReplyMayHaveSeveralDestinations() throws Exception {
        var name = SessionContract.unique("");
        try (var ann = connect("ann")) {
            var a = ann.subscribe("/topic/" + name + ".a");
            var b = ann.subscribe("/topic/" + name + ".b");
            ann.send("/app/everywhere", name);
            assertEquals(name, a.next().body());
            assertEquals(name, b.next().body());
        }
    }

    @Test
    void aReceiptIsNotGivenForWhatFailed() throws Exception {
        try (var ann = connect("ann")) {
            var answered = new AtomicBoolean();
            var headers = new StompHeaders();
            headers.setDestination("/app/bad");
            headers.setReceipt("mine");
            ann.session.send(headers, "x".getBytes()).addReceiptTask(() -> answered.set(true));
            // What one session sends is handled in order.
            ann.send("/app/nothing", "x");
            assertFalse(answered.get());
        }
    }

    private static Peer connect(String user) throws Exception {
        return Peer.connect(Transport.WEBSOCKET, user);
    }
}
