package stompgate.client;

import org.junit.jupiter.api.Tag;

@Tag("sockjs")
class SockJsWebSocketTest extends SessionContract {
    SockJsWebSocketTest() {
        super(Transport.SOCKJS_WEBSOCKET);
    }
}
