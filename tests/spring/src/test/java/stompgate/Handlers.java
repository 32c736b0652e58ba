package stompgate;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;

/** What stompgate.app.Numbers is in Spring, as the HTTP service that gateway.toml names. */
public final class Handlers implements AutoCloseable {
    private static final int PORT = Integer.parseInt(System.getenv().getOrDefault("STOMPGATE_TEST_HANDLERS_PORT", "0"));

    private final HttpServer server;
    private final Map<String, Integer> sums = new ConcurrentHashMap<>();

    public Handlers() throws IOException {
        server = HttpServer.create(new InetSocketAddress("127.0.0.1", PORT), 0);
        server.createContext("/", this::answer);
        server.start();
    }

    @Override
    public void close() {
        server.stop(0);
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            var asked = exchange.getRequestHeaders();
            var answered = exchange.getResponseHeaders();
            var body = new String(exchange.getRequestBody().readAllBytes());
            answered.set("Content-Type", "text/plain;charset=UTF-8");
            switch (asked.getFirst("Stompgate-Event") + " " + asked.getFirst("Stompgate-Path")) {
                case "send /increment" -> reply(exchange, 200, "" + (Integer.parseInt(body) + 1));
                case "send /nothing" -> exchange.sendResponseHeaders(204, -1);
                case "send /sum" -> {
                    answered.set("Stompgate-Send-To-User", "/queue/sum");
                    var session = asked.getFirst("Stompgate-Session");
                    reply(exchange, 200, "" + sums.merge(session, Integer.parseInt(body), Integer::sum));
                }
                case "send /mine" -> {
                    answered.set("Stompgate-Send-To-User", "/queue/mine");
                    answered.set("Stompgate-Broadcast", "false");
                    reply(exchange, 200, body);
                }
                case "send /everywhere" -> {
                    answered.set("Stompgate-Send-To", "/topic/" + body + ".a, /topic/" + body + ".b");
                    reply(exchange, 200, body);
                }
                case "send /bad" -> reply(exchange, 400, "Got error: Bad input");
                case "subscribe /number" -> reply(exchange, 200, "42");
                default -> reply(exchange, 404, "no such handler");
            }
        }
    }

    private static void reply(HttpExchange exchange, int status, String body) throws IOException {
        var bytes = body.getBytes();
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
    }
}
