package stompgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What run.sh leaves out is not there: fails as soon as it is, so that its tests are run. */
class NotYetTest {
    @Test
    @Tag("no-sockjs")
    void sockJsIsNotServed() throws Exception {
        var info = HttpRequest.newBuilder(URI.create(Transport.SOCKJS_XHR.url() + "/info")).build();
        assertEquals(404, HttpClient.newHttpClient().send(info, BodyHandlers.discarding()).statusCode());
    }

    @Test
    @Tag("no-user")
    void usersHaveNoDestinations() throws Exception {
        try (var ann = Peer.connect(Transport.WEBSOCKET, "ann")) {
            ann.sendUnconfirmed("/user/joe/queue/x", "x");
            assertEquals("Unknown destination", Peer.inTime(ann.error).getFirst("message"));
        }
    }
}
