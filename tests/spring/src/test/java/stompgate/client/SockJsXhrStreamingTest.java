package stompgate.client;

import org.junit.jupiter.api.Tag;

@Tag("sockjs")
class SockJsXhrStreamingTest extends SessionContract {
    SockJsXhrStreamingTest() {
        super(Transport.SOCKJS_XHR_STREAMING);
    }
}
