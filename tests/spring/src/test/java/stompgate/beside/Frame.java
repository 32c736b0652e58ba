package stompgate.beside;

import java.util.Map;
import java.util.TreeMap;

/** What a client was sent, with whatever is random or a number of a version left out. */
record Frame(String command, Map<String, String> headers, String body) {
    static final String CLOSE = "CLOSE";

    static Frame close(int code) {
        return new Frame(CLOSE, Map.of("code", "" + code), "");
    }

    static Frame parse(String text, boolean isBinary) {
        var end = text.indexOf("\n\n");
        var lines = text.substring(0, end).split("\n");
        var headers = new TreeMap<String, String>();
        for (int i = 1; i < lines.length; i++) {
            var parts = lines[i].split(":", 2);
            headers.putIfAbsent(parts[0], parts[1]);
        }
        if (isBinary) headers.put("(message)", "binary");
        return new Frame(lines[0], headers, text.substring(end + 2, text.lastIndexOf('\0')));
    }

    /** `own` is the part of names that this dialogue alone has. */
    Frame normalised(String own) {
        var shown = new TreeMap<String, String>();
        headers.forEach((name, value) -> shown.put(name, shown(name, value).replace(own, "~")));
        return new Frame(command, shown, body.replace(own, "~"));
    }

    private static String shown(String name, String value) {
        return switch (name) {
            case "ack", "message-id", "session", "stompgate-error" -> "*";
            case "server" -> value.replaceFirst("/.*", "");
            default -> value.replaceAll("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "*");
        };
    }

    String receipt() {
        return headers.getOrDefault("receipt-id", "");
    }
}
