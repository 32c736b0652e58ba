package stompgate.client;

import java.util.List;

import jakarta.websocket.ContainerProvider;
import org.springframework.web.client.RestTemplate;
import org.springframework.web.socket.client.WebSocketClient;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.sockjs.client.RestTemplateXhrTransport;
import org.springframework.web.socket.sockjs.client.SockJsClient;
import org.springframework.web.socket.sockjs.client.WebSocketTransport;

/** The ways that a Spring client has to the gateway, whose URL is in STOMPGATE_TEST_URL. */
enum Transport {
    SOCKJS_WEBSOCKET,
    SOCKJS_XHR,
    SOCKJS_XHR_STREAMING,
    WEBSOCKET;

    private static final int MESSAGE_CHARS_MAX = 64 * 1024;
    private static final String URL = System.getenv("STOMPGATE_TEST_URL");

    WebSocketClient client() {
        return switch (this) {
            case SOCKJS_WEBSOCKET -> new SockJsClient(List.of(new WebSocketTransport(webSocket())));
            case SOCKJS_XHR -> new SockJsClient(List.of(xhr(true)));
            case SOCKJS_XHR_STREAMING -> new SockJsClient(List.of(xhr(false)));
            case WEBSOCKET -> webSocket();
        };
    }

    String url() {
        if (URL == null) throw new IllegalStateException("STOMPGATE_TEST_URL is not set; see run.sh");
        return this == WEBSOCKET ? URL : URL.replaceFirst("^ws", "http");
    }

    /** Of a message Tomcat's client takes 8 KiB, unless it is told otherwise. */
    private static WebSocketClient webSocket() {
        var container = ContainerProvider.getWebSocketContainer();
        container.setDefaultMaxTextMessageBufferSize(MESSAGE_CHARS_MAX);
        return new StandardWebSocketClient(container);
    }

    private static RestTemplateXhrTransport xhr(boolean polling) {
        var transport = new RestTemplateXhrTransport(new RestTemplate());
        transport.setXhrStreamingDisabled(polling);
        return transport;
    }
}
