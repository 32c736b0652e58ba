package stompgate.beside;

/** One of the two. Spring has WebSocket and SockJS at paths of their own, the gateway both at one. */
record Server(boolean isSpring, String host, int port) {
    String webSocket() {
        return "ws://" + host + ":" + port + "/ws";
    }

    String sockJs() {
        return "http://" + host + ":" + port + (isSpring ? "/sockjs" : "/ws");
    }
}
