package stompgate.client;

import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;

/** Spring's own SockJS client, forced to one transport after the other. */
@Tag("sockjs")
class SockJsTest {
    @Nested
    class WebSocket extends SessionContract {
        WebSocket() {
            super(Transport.SOCKJS_WEBSOCKET);
        }
    }

    @Nested
    class Xhr extends SessionContract {
        Xhr() {
            super(Transport.SOCKJS_XHR);
        }
    }

    @Nested
    class XhrStreaming extends SessionContract {
        XhrStreaming() {
            super(Transport.SOCKJS_XHR_STREAMING);
        }
    }
}
