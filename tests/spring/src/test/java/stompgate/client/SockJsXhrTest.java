package stompgate.client;

import org.junit.jupiter.api.Tag;

@Tag("sockjs")
class SockJsXhrTest extends SessionContract {
    SockJsXhrTest() {
        super(Transport.SOCKJS_XHR);
    }
}
