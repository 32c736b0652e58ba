package stompgate.client;

import static java.util.concurrent.TimeUnit.SECONDS;

import java.lang.reflect.Type;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Function;

import org.springframework.messaging.MessageDeliveryException;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSession.Receiptable;
import org.springframework.messaging.simp.stomp.StompSessionHandlerAdapter;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.messaging.WebSocketStompClient;

/** Spring's WebSocketStompClient, connected to the gateway. What it does is answered in time, or the test fails. */
final class Peer extends StompSessionHandlerAdapter implements AutoCloseable {
    /** As long as Spring's client waits for a RECEIPT by itself. */
    static final int ANSWER_SECONDS = 15;

    final CompletableFuture<StompHeaders> connected = new CompletableFuture<>();
    final CompletableFuture<StompHeaders> error = new CompletableFuture<>();
    final CompletableFuture<Throwable> lost = new CompletableFuture<>();
    final Watch watch;
    final StompSession session;
    private final ThreadPoolTaskScheduler scheduler = new ThreadPoolTaskScheduler();

    /** `user` logs in with their own name as passcode. */
    static Peer connect(Transport transport, String user) throws Exception {
        return connect(transport, user, it -> {});
    }

    static Peer connect(Transport transport, String user, Consumer<WebSocketStompClient> options) throws Exception {
        return new Peer(transport, user, options);
    }

    private Peer(Transport transport, String user, Consumer<WebSocketStompClient> options) throws Exception {
        scheduler.setDaemon(true);
        scheduler.initialize();
        watch = new Watch(transport.client());
        var client = new WebSocketStompClient(watch);
        client.setTaskScheduler(scheduler);
        options.accept(client);
        var login = new StompHeaders();
        login.setLogin(user);
        login.setPasscode(user);
        session = inTime(client.connectAsync(transport.url(), protocols(), login, this));
    }

    private static WebSocketHttpHeaders protocols() {
        var headers = new WebSocketHttpHeaders();
        headers.setSecWebSocketProtocol(List.of("v11.stomp", "v12.stomp"));
        return headers;
    }

    static <T> T inTime(CompletableFuture<T> answer) throws Exception {
        return answer.get(ANSWER_SECONDS, SECONDS);
    }

    /** Is over when the gateway has confirmed it. */
    Inbox subscribe(String destination) throws Exception {
        var inbox = new Inbox(watch);
        confirmed(headers -> inbox.subscription = session.subscribe(to(destination, headers), inbox));
        return inbox;
    }

    /** Is over when the gateway has confirmed it. */
    void send(String destination, String body) throws Exception {
        confirmed(headers -> session.send(to(destination, headers), body.getBytes()));
    }

    void sendUnconfirmed(String destination, String body) {
        session.send(destination, body.getBytes());
    }

    /** Hands `act` headers with a receipt, and returns those of the RECEIPT. */
    StompHeaders confirmed(Function<StompHeaders, Receiptable> act) throws Exception {
        var headers = new StompHeaders();
        headers.setReceipt("receipt-" + UUID.randomUUID());
        var receipt = act.apply(headers);
        var answer = new CompletableFuture<StompHeaders>();
        receipt.addReceiptTask(answer::complete);
        receipt.addReceiptLostTask(() -> answer.completeExceptionally(new AssertionError("no RECEIPT")));
        return inTime(answer);
    }

    private static StompHeaders to(String destination, StompHeaders headers) {
        headers.setDestination(destination);
        return headers;
    }

    @Override
    public void afterConnected(StompSession session, StompHeaders headers) {
        connected.complete(headers);
    }

    @Override
    public Type getPayloadType(StompHeaders headers) {
        return byte[].class;
    }

    /** Spring hands over what belongs to no subscription here: ERROR. */
    @Override
    public void handleFrame(StompHeaders headers, Object payload) {
        error.complete(headers);
    }

    @Override
    public void handleException(StompSession session, StompCommand command, StompHeaders headers, byte[] payload,
            Throwable exception) {
        lost.complete(exception);
    }

    @Override
    public void handleTransportError(StompSession session, Throwable exception) {
        lost.complete(exception);
    }

    @Override
    public void close() {
        try {
            session.disconnect();
        } catch (IllegalStateException | MessageDeliveryException e) {
            // The gateway has closed it.
        }
        scheduler.shutdown();
    }
}
