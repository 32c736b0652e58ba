package stompgate.beside;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The same frames to both servers. What is answered differently is in differences.md, or a fault. */
@Tag("beside")
class BesideTest {
    private static final int PART_CHARS = 8000;
    private static final int TRIES = 5;
    private static final String SUBSCRIBE = "SUBSCRIBE id:0 destination:/topic/~ receipt:s";
    private static final String UPGRADE = "Connection:Upgrade Upgrade:websocket Sec-WebSocket-Version:";
    private static final String KEY = " Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==";

    private static final Allowed ALLOWED = new Allowed();
    private static Servers servers;

    private final List<String> faults = new ArrayList<>();

    @BeforeAll
    static void start() throws Exception {
        servers = new Servers();
    }

    @AfterAll
    static void stop() {
        servers.close();
        assertEquals(List.of(), ALLOWED.unused(), "differences that are listed and did not occur");
    }

    @AfterEach
    void everyDifferenceIsAllowed() {
        assertEquals("", String.join("\n", faults));
    }

    @Test
    void connect() throws Exception {
        same("CONNECT", Dialogue.connected());
        same("STOMP", new Dialogue().say(Dialogue.CONNECT.replace("CONNECT", "STOMP"), 1));
        same("CONNECT, another host", new Dialogue().say(Dialogue.CONNECT.replace("host:/", "host:example.org"), 1));
    }

    @Test
    void versions() throws Exception {
        for (var versions : List.of("1.0", "1.1", "1.1,1.0", "1.0,1.1,1.2", "1.2,9.9")) {
            same("version " + versions, new Dialogue().say(Dialogue.CONNECT.replace("1.2", versions), 1));
        }
        same("version 9.9", new Dialogue().say(Dialogue.CONNECT.replace("1.2", "9.9"), 2));
        same("no version", new Dialogue().say(Dialogue.CONNECT.replace("accept-version:1.2 ", ""), 1));
    }

    @Test
    void heartBeats() throws Exception {
        for (var pair : List.of("0,0", "10000,10000", "20000,0", "0,20000")) {
            same("heart-beat " + pair, new Dialogue().say(Dialogue.CONNECT + " heart-beat:" + pair, 1));
        }
        same("heart-beat x", new Dialogue().say(Dialogue.CONNECT + " heart-beat:x", 2));
        same("a heart-beat is answered by nothing", Dialogue.connected().raw("\n", 0, 0));
    }

    @Test
    void topics() throws Exception {
        same("a topic", Dialogue.connected().say(SUBSCRIBE, 1)
            .say("SEND destination:/topic/~ receipt:p x-own:a\\cb | hello", 2)
            .say("SEND destination:/topic/~ content-type:text/plain | no receipt", 1)
            .say("SEND destination:/topic/~ receipt:empty", 2)
            .say("UNSUBSCRIBE id:0 receipt:u", 1)
            .say("SEND destination:/topic/~ receipt:late | late", 1));
        same("wildcards", Dialogue.connected()
            .say("SUBSCRIBE id:0 destination:/topic/~.* receipt:s", 1)
            .say("SEND destination:/topic/~.a receipt:p | hello", 2)
            .say("SEND destination:/topic/~.a.b receipt:p | hello", 1));
        same("two subscriptions", Dialogue.connected()
            .say("SUBSCRIBE id:a destination:/topic/~ receipt:a", 1)
            .say("SUBSCRIBE id:b destination:/topic/~ receipt:b", 1)
            .say("UNSUBSCRIBE id:a receipt:u", 1)
            .say("SEND destination:/topic/~ receipt:p | hello", 2));
    }

    @Test
    void bodies() throws Exception {
        var json = "content-type:application/json;charset=UTF-8 | {\"a\":\"\u00e4\u20ac\"}";
        same("JSON", Dialogue.connected().say(SUBSCRIBE, 1).say("SEND destination:/topic/~ " + json, 1));
        same("octets", Dialogue.connected().say(SUBSCRIBE, 1)
            .say("SEND destination:/topic/~ content-type:application/octet-stream | abc", 1));
        same("a NUL in a body", Dialogue.connected().say(SUBSCRIBE, 1)
            .say("SEND destination:/topic/~ content-length:3 | a\0b", 1));
        same("a content-type that is none", Dialogue.connected().say(SUBSCRIBE, 1)
            .say("SEND destination:/topic/~ content-type:none | abc", 2, 1));
    }

    @Test
    void queues() throws Exception {
        same("a queue", Dialogue.connected()
            .say("SUBSCRIBE id:0 destination:/queue/~ receipt:s", 1)
            .say("SEND destination:/queue/~ receipt:p | hello", 2)
            .say("UNSUBSCRIBE id:0 receipt:u", 1));
        same("acknowledgements", Dialogue.connected()
            .say("SUBSCRIBE id:0 destination:/queue/~ ack:client-individual receipt:s", 1)
            .say("SEND destination:/queue/~ receipt:1 | one", 2)
            .say(frames -> "NACK id:" + last(frames).headers().get("ack") + " receipt:n", 2)
            .say(frames -> "ACK id:" + last(frames).headers().get("ack") + " receipt:a", 1));
        same("a transaction", Dialogue.connected()
            .say("SUBSCRIBE id:0 destination:/queue/~ receipt:s", 1)
            .say("BEGIN transaction:t receipt:b", 1)
            .say("SEND destination:/queue/~ transaction:t | kept", 0)
            .say("COMMIT transaction:t receipt:c", 2)
            .say("BEGIN transaction:t receipt:b", 1)
            .say("SEND destination:/queue/~ transaction:t | dropped", 0)
            .say("ABORT transaction:t receipt:a", 1));
    }

    @Test
    void beforeConnect() throws Exception {
        same("SEND before CONNECT", new Dialogue().say("SEND destination:/topic/~ receipt:r", 2));
        same("DISCONNECT before CONNECT", new Dialogue().say("DISCONNECT receipt:r", 2));
        same("a heart-beat before CONNECT", new Dialogue().raw("\n", 2, 0).say(Dialogue.CONNECT, 1));
        same("CONNECT with a body", new Dialogue().say(Dialogue.CONNECT + " | body", 2));
    }

    @Test
    void refused() throws Exception {
        for (var frame : List.of(Dialogue.CONNECT, "FOO receipt:r", "SEND nocolon", "SEND :noname",
                "SEND destination:/topic/\\x receipt:r", "SEND receipt:r | x", "SEND destination:/queue/ receipt:r",
                "SEND destination:/topic/a/b receipt:r", "SUBSCRIBE id:0 receipt:r", SUBSCRIBE + " ack:bogus",
                "SUBSCRIBE id:0 destination:/topic/a/b receipt:r", SUBSCRIBE + " | body",
                "UNSUBSCRIBE id:none receipt:r", "UNSUBSCRIBE receipt:r", "ACK id:none receipt:r", "NACK receipt:r",
                "BEGIN receipt:r", "COMMIT transaction:none receipt:r", "ABORT transaction:none receipt:r",
                "CONNECTED version:1.2", "MESSAGE destination:/topic/~ receipt:r | x", "RECEIPT receipt-id:r",
                "ERROR receipt:r | x")) {
            same(frame, Dialogue.connected().say(frame, 2));
        }
        same("CR without LF", Dialogue.connected().raw("SEND\rdestination:/topic/x\n\n\0", 2, 2));
        same("CR LF", Dialogue.connected().raw("SEND\r\ndestination:/topic/~\r\nreceipt:r\r\n\r\nx\0", 1, 1));
    }

    @Test
    void refusedByTheGatewayAlone() throws Exception {
        for (var frame : List.of("SEND destination:/topic/~ content-length:-1 receipt:r | x",
                "SEND destination:/topic/~ content-length:x receipt:r | x",
                "SUBSCRIBE destination:/topic/~ receipt:r")) {
            same(frame, Dialogue.connected().say(frame, 1, 2));
        }
        for (var command : List.of("SEND", "SUBSCRIBE id:0")) {
            var frame = command + " destination:/other/~ receipt:r";
            same(frame, Dialogue.connected().say(frame, 0, 2));
        }
    }

    @Test
    void disconnect() throws Exception {
        same("DISCONNECT", Dialogue.connected().unfenced().say("DISCONNECT", 0, 1));
        same("DISCONNECT with a receipt", Dialogue.connected().unfenced().say("DISCONNECT receipt:bye", 3, 2));
    }

    @Test
    void sizes() throws Exception {
        same("a body of 10,000 letters", Dialogue.connected().say(SUBSCRIBE, 1).say(send(10_000), 1));
        same("a frame in parts", Dialogue.connected().say(SUBSCRIBE, 1).raw(parts(send(30_000)), 1, 1));
        var both = Dialogue.written(SUBSCRIBE) + "\n" + Dialogue.written("SEND destination:/topic/~ | hello") + "\n";
        same("several frames in a message", Dialogue.connected().raw(both, 2, 2));
        same("a message over the limit", Dialogue.connected().say(send(80_000), 1, 2));
        same("a frame over the limit in parts", Dialogue.connected().raw(parts(send(80_000)), 2, 2));
    }

    @Test
    void handshakes() throws Exception {
        for (var offered : List.of("v12.stomp", "v10.stomp,v11.stomp", "V11.STOMP", "other,v12.stomp", "other", "")) {
            var protocols = offered.isEmpty() ? new String[0] : offered.split(",");
            same("sub-protocols " + offered, new Dialogue().protocols(protocols).say(Dialogue.CONNECT, 1));
        }
        for (var request : List.of("POST ", "GET  " + UPGRADE + "12" + KEY, "GET  " + UPGRADE + "13",
                "GET  Origin:http://other.example " + UPGRADE + "13" + KEY)) {
            same(request, Http.exchange(http(servers.spring), request), Http.exchange(http(servers.gateway), request));
        }
    }

    @Test
    @Tag("sockjs")
    void sockJs() throws Exception {
        for (var request : List.of("GET ", "GET /", "GET /info", "GET /info Origin:http://other.example", "POST /info",
                "OPTIONS /info", "GET /iframe.html", "GET /000/none/xhr_send", "POST /000/none/xhr_send | [\"x\"]",
                "POST /000/~/xhr", "POST /000/~/bogus", "POST /000/xhr", "GET /000/~/htmlfile", "GET /000/~/jsonp")) {
            same("SockJS " + request, Http.exchange(servers.spring.sockJs(), request),
                Http.exchange(servers.gateway.sockJs(), request));
        }
    }

    @Test
    @Tag("app")
    void app() throws Exception {
        same("/app by the default topic", Dialogue.connected()
            .say("SUBSCRIBE id:0 destination:/topic/increment receipt:s", 1)
            .say("SEND destination:/app/increment | 5", 1)
            .say("SEND destination:/app/increment receipt:r | 5", 1, 2));
        same("/app without a reply", Dialogue.connected().say("SEND destination:/app/nothing receipt:r | x", 0, 1));
        same("/app answers a SUBSCRIBE", Dialogue.connected().say("SUBSCRIBE id:7 destination:/app/number", 1));
        same("/app answers a SUBSCRIBE with a receipt", Dialogue.connected()
            .say("SUBSCRIBE id:7 destination:/app/number receipt:r", 1, 2));
        same("UNSUBSCRIBE of what /app has answered", Dialogue.connected()
            .say("SUBSCRIBE id:7 destination:/app/number", 1).say("UNSUBSCRIBE id:7", 2, 0));
        same("/app that nobody handles", Dialogue.connected().say("SEND destination:/app/none | x", 0));
    }

    @Test
    @Tag("user")
    void user() throws Exception {
        same("/user by name", Dialogue.connected().say("SUBSCRIBE id:0 destination:/user/queue/~ receipt:s", 1)
            .say("SEND destination:/user/ann/queue/~ x-own:1 | hello", 1)
            .say("UNSUBSCRIBE id:0 receipt:u", 1)
            .say("SEND destination:/user/ann/queue/~ | late", 0));
        same("/user that nobody is", Dialogue.connected().say("SEND destination:/user/nobody-~/queue/x | x", 0));
        same("/user without a destination", Dialogue.connected().say("SEND destination:/user/ann | x", 0, 2));
    }

    @Test
    @Tag("app")
    @Tag("user")
    void repliesToUsers() throws Exception {
        for (var name : List.of("sum", "mine")) {
            same("/app replies to /user/queue/" + name, Dialogue.connected()
                .say("SUBSCRIBE id:0 destination:/user/queue/" + name + " receipt:s", 1)
                .say("SEND destination:/app/" + name + " | 5", 1));
        }
        same("/app tells of an exception", Dialogue.connected()
            .say("SUBSCRIBE id:0 destination:/user/queue/error receipt:s", 1)
            .say("SEND destination:/app/bad | x", 1));
    }

    private static String send(int chars) {
        return "SEND destination:/topic/~ | " + "x".repeat(chars);
    }

    private static List<String> parts(String line) {
        var frame = Dialogue.written(line);
        var parts = new ArrayList<String>();
        for (int i = 0; i < frame.length(); i += PART_CHARS) {
            parts.add(frame.substring(i, Math.min(i + PART_CHARS, frame.length())));
        }
        return parts;
    }

    private static Frame last(List<Frame> frames) {
        return frames.stream().filter(it -> it.command().equals("MESSAGE")).reduce((a, b) -> b).orElseThrow();
    }

    private static String http(Server server) {
        return server.webSocket().replaceFirst("^ws", "http");
    }

    private void same(String name, Dialogue dialogue) throws Exception {
        var spring = dialogue.with(servers.spring);
        // Spring closes before it has sent its ERROR when it is not done yet with the frame before.
        for (int i = 1; i < TRIES && hasLostItsError(spring); i++) spring = dialogue.with(servers.spring);
        same(name, spring, dialogue.with(servers.gateway));
    }

    private static boolean hasLostItsError(List<Frame> frames) {
        return frames.contains(Frame.close(1002)) && frames.stream().noneMatch(it -> it.command().equals("ERROR"));
    }

    private void same(String name, List<Frame> spring, List<Frame> gateway) {
        faults.addAll(ALLOWED.faults(name, Differences.between(spring, gateway)));
    }
}
