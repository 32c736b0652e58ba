package stompgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class WebSocketTest extends SessionContract {
    WebSocketTest() {
        super(Transport.WEBSOCKET);
    }

    @Test
    void sp82TheFirstSubProtocolOfTheClientIsChosen() throws Exception {
        try (var ann = connect("ann")) {
            assertEquals("v11.stomp", ann.watch.protocol);
        }
    }
}
