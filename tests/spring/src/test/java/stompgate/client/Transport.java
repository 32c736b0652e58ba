package stompgate.client;

import java.util.List;

import org.springframework.web.client.RestTemplate;
import org.springframework.web.socket.client.WebSocketClient;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.sockjs.client.RestTemplateXhrTransport;
import org.springframework.web.socket.sockjs.client.SockJsClient;
import org.springframework.web.socket.sockjs.client.WebSocketTransport;

/**
 * The ways that a Spring client has to the gateway, whose URL is in STOMPGATE_TEST_URL. With their own defaults: a
 * WebSocket message may have 8,192 characters then.
 */
enum Transport {
    SOCKJS_WEBSOCKET,
    SOCKJS_XHR,
    SOCKJS_XHR_STREAMING,
    WEBSOCKET;

    private static final String URL = System.getenv("STOMPGATE_TEST_URL");

    WebSocketClient client() {
        return switch (this) {
            case SOCKJS_WEBSOCKET -> new SockJsClient(List.of(new WebSocketTransport(new StandardWebSocketClient())));
            case SOCKJS_XHR -> new SockJsClient(List.of(xhr(true)));
            case SOCKJS_XHR_STREAMING -> new SockJsClient(List.of(xhr(false)));
            case WEBSOCKET -> new StandardWebSocketClient();
        };
    }

    String url() {
        if (URL == null) throw new IllegalStateException("STOMPGATE_TEST_URL is not set; see run.sh");
        return this == WEBSOCKET ? URL : URL.replaceFirst("^ws", "http");
    }

    private static RestTemplateXhrTransport xhr(boolean polling) {
        var transport = new RestTemplateXhrTransport(new RestTemplate());
        transport.setXhrStreamingDisabled(polling);
        return transport;
    }
}
