package stompgate.beside;

/** One of the two, at `host:port/ws`. */
record Server(boolean isSpring, String host, int port) {
    String webSocket() {
        return "ws://" + host + ":" + port + "/ws";
    }

    String http() {
        return "http://" + host + ":" + port + "/ws";
    }

    String name() {
        return isSpring ? "Spring" : "the gateway";
    }
}
