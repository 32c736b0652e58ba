package stompgate.client;

import java.net.URI;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;

import org.springframework.http.HttpHeaders;
import org.springframework.web.socket.CloseStatus;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.WebSocketMessage;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.client.WebSocketClient;
import org.springframework.web.socket.handler.WebSocketHandlerDecorator;

/** Sees what Spring's StompSession keeps to itself: heart-beats, the sub-protocol, how the connection was closed. */
final class Watch implements WebSocketClient {
    static final int HEARTBEATS = 5;

    final CountDownLatch heartbeats = new CountDownLatch(HEARTBEATS);
    final CompletableFuture<CloseStatus> closed = new CompletableFuture<>();
    volatile String protocol;
    private final WebSocketClient client;

    Watch(WebSocketClient client) {
        this.client = client;
    }

    @Override
    public CompletableFuture<WebSocketSession> execute(WebSocketHandler handler, String url, Object... variables) {
        return client.execute(new Decorator(handler), url, variables);
    }

    @Override
    public CompletableFuture<WebSocketSession> execute(WebSocketHandler handler, WebSocketHttpHeaders headers,
            URI url) {
        return client.execute(new Decorator(handler), headers, url);
    }

    private final class Decorator extends WebSocketHandlerDecorator {
        Decorator(WebSocketHandler handler) {
            super(handler);
        }

        @Override
        public void afterConnectionEstablished(WebSocketSession session) throws Exception {
            protocol = session.getAcceptedProtocol();
            super.afterConnectionEstablished(session);
        }

        @Override
        public void handleMessage(WebSocketSession session, WebSocketMessage<?> message) throws Exception {
            if ("\n".equals(message.getPayload())) heartbeats.countDown();
            super.handleMessage(session, message);
        }

        @Override
        public void afterConnectionClosed(WebSocketSession session, CloseStatus status) throws Exception {
            closed.complete(status);
            super.afterConnectionClosed(session, status);
        }
    }
}
