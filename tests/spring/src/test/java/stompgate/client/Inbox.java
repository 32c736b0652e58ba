package stompgate.client;

import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;

import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession.Subscription;
import org.springframework.web.socket.CloseStatus;

/** What a subscription received. */
final class Inbox implements StompFrameHandler {
    Subscription subscription;
    private final CompletableFuture<CloseStatus> closed;
    private final BlockingQueue<Received> received = new LinkedBlockingQueue<>();

    record Received(StompHeaders headers, String body) {}

    Inbox(Watch watch) {
        closed = watch.closed;
    }

    Received next() throws InterruptedException {
        var next = received.poll(Peer.ANSWER_SECONDS, SECONDS);
        assertNotNull(next, "a MESSAGE within " + Peer.ANSWER_SECONDS + " s; the connection: " + closed);
        return next;
    }

    List<String> bodies(int count) throws InterruptedException {
        var bodies = new ArrayList<String>();
        while (bodies.size() < count) bodies.add(next().body());
        return bodies;
    }

    boolean isEmpty() {
        return received.isEmpty();
    }

    @Override
    public Type getPayloadType(StompHeaders headers) {
        return byte[].class;
    }

    @Override
    public void handleFrame(StompHeaders headers, Object payload) {
        received.add(new Received(headers, payload == null ? "" : new String((byte[]) payload)));
    }
}
