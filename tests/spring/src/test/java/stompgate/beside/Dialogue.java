package stompgate.beside;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.Function;

/** Frames that a client sends, and how many answers it waits for before the next one. */
final class Dialogue {
    static final String CONNECT = "CONNECT accept-version:1.2 host:/ login:ann passcode:ann";

    private static final String FENCE = "fence";

    private final List<Step> steps = new ArrayList<>();
    private String[] protocols = {"v12.stomp"};
    private boolean isFenced = true;

    /** What is sent may depend on what came before. */
    private record Step(Function<List<Frame>, List<String>> messages, int spring, int gateway) {}

    static Dialogue connected() {
        return new Dialogue().say(CONNECT, 1);
    }

    Dialogue protocols(String... protocols) {
        this.protocols = protocols;
        return this;
    }

    /** Nothing is answered after it, not even what shows that all was. */
    Dialogue unfenced() {
        isFenced = false;
        return this;
    }

    /** In one line: headers are separated by blanks, the body follows a bar. `~` is the dialogue's own name. */
    Dialogue say(String frame, int answers) {
        return say(frame, answers, answers);
    }

    Dialogue say(String frame, int spring, int gateway) {
        return raw(written(frame), spring, gateway);
    }

    Dialogue say(Function<List<Frame>, String> frame, int answers) {
        steps.add(new Step(frames -> List.of(written(frame.apply(frames))), answers, answers));
        return this;
    }

    /** As it is, in so many messages. */
    Dialogue raw(String message, int spring, int gateway) {
        return raw(List.of(message), spring, gateway);
    }

    Dialogue raw(List<String> messages, int spring, int gateway) {
        steps.add(new Step(frames -> messages, spring, gateway));
        return this;
    }

    static String written(String frame) {
        var parts = frame.split(" \\| ", 2);
        return parts[0].replace(' ', '\n') + "\n\n" + (parts.length > 1 ? parts[1] : "") + "\0";
    }

    /**
     * Whatever comes until the end, and if the session goes on then, until a RECEIPT shows that all has come. It is not
     * asked for while a server may be closing: what was sent before a connection is reset can be lost.
     */
    List<Frame> with(Server server) throws Exception {
        var own = "own" + UUID.randomUUID().toString().replace("-", "");
        try (var wire = new Wire(server.webSocket(), protocols)) {
            var seen = List.<Frame>of();
            for (var step : steps) {
                var wanted = seen.size() + (server.isSpring() ? step.spring : step.gateway);
                for (var message : step.messages.apply(seen)) wire.sendIfOpen(message.replace("~", own));
                seen = wire.until(frames -> frames.size() >= wanted);
            }
            if (isFenced && contains(seen, "CONNECTED") && !Wire.isClosed(seen)) seen = fenced(wire);
            var all = new ArrayList<>(seen.stream().map(it -> it.normalised(own)).toList());
            all.add(0, new Frame("HANDSHAKE", Map.of("protocol", wire.protocol()), ""));
            return all;
        }
    }

    private static List<Frame> fenced(Wire wire) throws Exception {
        wire.sendIfOpen(written("SEND destination:/topic/" + FENCE + " receipt:" + FENCE));
        var all = wire.until(frames -> frames.stream().anyMatch(it -> it.receipt().equals(FENCE)));
        return all.stream().filter(it -> !it.receipt().equals(FENCE)).toList();
    }

    private static boolean contains(List<Frame> frames, String command) {
        return frames.stream().anyMatch(it -> it.command().equals(command));
    }
}
