package stompgate.client;

import static java.util.stream.IntStream.range;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** /user, as Spring resolves it. */
@Tag("user")
class UserTest {
    @Test
    void sp70EverySessionOfAUserGetsAMessageOnceAndNobodyElse() throws Exception {
        var queue = SessionContract.unique("/queue/");
        try (var ann = connect("ann"); var joe = connect("joe"); var again = connect("joe")) {
            var anns = ann.subscribe("/user" + queue);
            var joes = joe.subscribe("/user" + queue);
            var others = again.subscribe("/user" + queue);
            ann.send("/user/joe" + queue, "for joe");
            ann.send("/user/ann" + queue, "for ann");
            ann.send("/user/joe" + queue, "the end");
            for (var inbox : new Inbox[] {joes, others}) {
                var message = inbox.next();
                assertEquals("for joe", message.body());
                assertEquals("/user" + queue, message.headers().getDestination());
                assertEquals(inbox.subscription.getSubscriptionId(), message.headers().getSubscription());
                assertEquals("the end", inbox.next().body());
            }
            assertEquals("for ann", anns.next().body());
            assertTrue(anns.isEmpty() && joes.isEmpty() && others.isEmpty());
        }
    }

    @Test
    void sp56AThousandMessagesToAUserComeInOrder() throws Exception {
        var queue = SessionContract.unique("/queue/");
        try (var ann = connect("ann"); var joe = connect("joe")) {
            var inbox = joe.subscribe("/user" + queue);
            range(0, 1000).forEach(i -> ann.sendUnconfirmed("/user/joe" + queue, "" + i));
            assertEquals(range(0, 1000).mapToObj(i -> "" + i).toList(), inbox.bodies(1000));
        }
    }

    @Test
    void sp70ASlashInANameIsEncoded() throws Exception {
        var queue = SessionContract.unique("/queue/");
        try (var ann = connect("ann"); var team = connect("team/a")) {
            var inbox = team.subscribe("/user" + queue);
            ann.send("/user/team%2Fa" + queue, "hello");
            assertEquals("hello", inbox.next().body());
        }
    }

    @Test
    void sp70ASessionMayBeNamedInsteadOfItsUser() throws Exception {
        var queue = SessionContract.unique("/queue/");
        try (var ann = connect("ann"); var joe = connect("joe"); var again = connect("joe")) {
            var joes = joe.subscribe("/user" + queue);
            var others = again.subscribe("/user" + queue);
            ann.send("/user/" + Peer.inTime(joe.connected).getFirst("session") + queue, "for one session");
            ann.send("/user/joe" + queue, "for all");
            assertEquals("for one session", joes.next().body());
            assertEquals("for all", joes.next().body());
            assertEquals("for all", others.next().body());
        }
    }

    @Test
    void sp71NobodyIsThere() throws Exception {
        try (var ann = connect("ann")) {
            ann.send(SessionContract.unique("/user/nobody/queue/"), "lost");
            assertTrue(ann.session.isConnected());
        }
    }

    private static Peer connect(String user) throws Exception {
        return Peer.connect(Transport.WEBSOCKET, user);
    }
}
